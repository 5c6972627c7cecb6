// P10: memory for each item in the memory tier, beyond its key and value: what malloc gives out more of when the
// items come in, less what SQLite takes of it for its page caches, which have limits of their own.
#include <malloc.h>
#include <sqlite3.h>

#include "cases.h"
#include "library.h"
#include "results.h"
#include "workload.h"

namespace bench {
namespace {

double allocated() {
  struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks) + static_cast<double>(info.hblkhd) -
         static_cast<double>(sqlite3_memory_used());
}

}  // namespace

void footprint() {
  const std::string value = letters(kValueSize);
  // Tables grow in steps: the same just before one and just after.
  for (uint64_t items : {uint64_t{50'000}, kItems, uint64_t{140'000}, uint64_t{200'000}}) {
    const std::vector<std::string> keys = keys_of(0, items);
    Library cache(path("footprint" + std::to_string(items) + ".db"), {.memory_items = items});
    cache.fill(keys, value);
    cache.close();
    Library again(path("footprint" + std::to_string(items) + ".db"), {.memory_items = items});
    for (size_t i = 0; i < keys.size(); i += kBatch) {  // fills SQLite's page cache and brings nothing into memory
      again.get_many({keys.begin() + static_cast<ptrdiff_t>(i), keys.begin() + static_cast<ptrdiff_t>(i + kBatch)});
    }
    again.get(keys[0]);
    again.flush();
    double before = allocated();
    for (const std::string &key : keys) again.get(key);
    again.flush();
    double after = allocated();
    require(again.stat(DBC_STAT_CURRENT_MEMORY_ITEMS) == items, "P10", "not all items are in memory");
    double each = (after - before) / static_cast<double>(items - 1) - static_cast<double>(keys[0].size() + kValueSize);
    record("P10 memory an item", "bytes", each);
    fact("P10 memory an item, of " + std::to_string(items), each);
  }
}

}  // namespace bench
