// P4: a put, one transaction each, beside a prepared upsert.
#include "cases.h"
#include "library.h"
#include "plain_table.h"
#include "results.h"
#include "workload.h"

namespace bench {

void puts() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const Sequence skewed = zipf(kItems, kSkew, 1 << 18, 5), any = uniform(kItems, 1 << 18, 6);
  const std::string value = letters(kValueSize);
  PlainTable table(path("puts-plain.db"));
  table.fill(keys, value);
  Library cache(path("puts.db"), {});
  cache.fill(keys, value);
  cache.flush();

  constexpr uint64_t kMask = (1 << 18) - 1, kCalls = 10'000;
  uint64_t next = kItems;
  repeat([&](int repetition) {
    uint64_t at = static_cast<uint64_t>(repetition) * kCalls;
    auto any_key = [&](uint64_t i) -> const std::string & { return keys[any[(at + i) & kMask]]; };
    auto skewed_key = [&](uint64_t i) -> const std::string & { return keys[skewed[(at + i) & kMask]]; };
    measure("P4 upsert, zipf", kCalls, [&](uint64_t i) { table.put(skewed_key(i), value); });
    measure("P4 put, zipf", kCalls, [&](uint64_t i) { cache.put(skewed_key(i), value); });
    measure("P4 upsert, uniform", kCalls, [&](uint64_t i) { table.put(any_key(i), value); });
    measure("P4 put, uniform", kCalls, [&](uint64_t i) { cache.put(any_key(i), value); });
    measure("P4 upsert, fresh", kCalls / 4, [&](uint64_t i) { table.put(key_of(next + i), value); });
    measure("P4 put, fresh", kCalls / 4, [&](uint64_t i) { cache.put(key_of(next + i), value); });
    next += kCalls;
  });
}

}  // namespace bench
