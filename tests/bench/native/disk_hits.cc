// P3: a get from disk, beside a SELECT.
#include "cases.h"
#include "library.h"
#include "plain_table.h"
#include "results.h"
#include "workload.h"

namespace bench {

void disk_hits() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const Sequence skewed = zipf(kItems, kSkew, 1 << 20, 3), any = uniform(kItems, 1 << 20, 4);
  const std::string value = letters(kValueSize);
  PlainTable table(path("disk-plain.db"));
  table.fill(keys, value);
  // With no memory tier every get is a disk hit, also those of the few keys that zipf asks for most. With one of 1 %
  // and keys asked for evenly, all but 1 % are; they come into memory then, and another goes.
  Library without(path("disk.db"), {.memory_items = 0});
  without.fill(keys, value);
  without.flush();
  Library small(path("disk-small.db"), {.memory_items = kItems / 100});
  small.fill(keys, value);
  small.flush();
  Library defaults(path("disk-default.db"), {});
  defaults.fill(keys, value);
  defaults.flush();

  constexpr uint64_t kMask = (1 << 20) - 1, kCalls = 50'000;
  char buffer[kValueSize];
  repeat([&](int repetition) {
    uint64_t at = static_cast<uint64_t>(repetition) * kCalls;
    auto any_key = [&](uint64_t i) -> const std::string & { return keys[any[(at + i) & kMask]]; };
    auto skewed_key = [&](uint64_t i) -> const std::string & { return keys[skewed[(at + i) & kMask]]; };
    measure("P3 select", kCalls, [&](uint64_t i) { table.get(any_key(i), buffer, kValueSize); });
    measure("P3 get", kCalls, [&](uint64_t i) { small.get(any_key(i), buffer, kValueSize); });
    small.flush();
    measure("P3 select, zipf", kCalls, [&](uint64_t i) { table.get(skewed_key(i), buffer, kValueSize); });
    measure("P3 get, zipf, no memory tier", kCalls,
            [&](uint64_t i) { without.get(skewed_key(i), buffer, kValueSize); });
    without.flush();
    measure("P3 get, zipf, default memory tier", kCalls,
            [&](uint64_t i) { defaults.get(skewed_key(i), buffer, kValueSize); });
    defaults.flush();
  });
}

}  // namespace bench
