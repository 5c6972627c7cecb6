// P7: a put into a full cache, which evicts one, among few items and among many; beside an overwrite, which evicts
// none.
#include "cases.h"
#include "many.h"
#include "results.h"

namespace bench {

void evictions() {
  const std::string value = letters(kValueSize);
  constexpr uint64_t kFew = 10'000, kCalls = 10'000;
  Library few(path("few.db"), {.disk_items = kFew});
  few.fill(keys_of(0, kFew), value);
  Library many(many_items_file(), {.disk_items = many_items()});
  Library usual(path("usual.db"), {});
  const std::vector<std::string> keys = keys_of(0, kItems);
  usual.fill(keys, value);
  const Sequence skewed = zipf(kItems, kSkew, 1 << 18, 10);
  fact("P7 many items", static_cast<double>(many_items()));

  uint64_t next = many_items();
  repeat([&](int repetition) {
    uint64_t at = static_cast<uint64_t>(repetition) * kCalls;
    measure("P7 overwrite", kCalls, [&](uint64_t i) { usual.put(keys[skewed[(at + i) & ((1 << 18) - 1)]], value); });
    measure("P7 put, few items", kCalls, [&](uint64_t i) { few.put(key_of(next + i), value); });
    measure("P7 put, many items", kCalls, [&](uint64_t i) { many.put(key_of(next + i), value); });
    next += kCalls;
  });
  require(few.stat(DBC_STAT_DISK_EVICTIONS) > 0 && many.stat(DBC_STAT_DISK_EVICTIONS) > 0, "P7", "nothing was evicted");
}

}  // namespace bench
