// P1: a get from memory, beside the least that any cache in memory must do.
#include <cstring>
#include <unordered_map>

#include "cases.h"
#include "library.h"
#include "results.h"
#include "workload.h"

namespace bench {

void memory_hits() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const Sequence hot = uniform(kHotItems, 1 << 16, 1), skewed = zipf(kItems, kSkew, 1 << 18, 2);
  const std::string value = letters(kValueSize);
  std::unordered_map<std::string, std::string> map;
  Library cache(path("memory.db"), {.memory_items = kItems});
  for (const std::string &key : keys) map[key] = value;
  cache.fill(keys, value);
  cache.flush();

  char buffer[kValueSize];
  auto find_and_copy = [&](const std::string &key) {
    std::memcpy(buffer, map.find(key)->second.data(), kValueSize);
    asm volatile("" : : "r"(buffer) : "memory");
  };
  auto key_at = [&](const Sequence &sequence, uint64_t i) -> const std::string & {
    return keys[sequence[i & (sequence.size() - 1)]];
  };
  repeat([&](int) {
    measure("P1 map find and copy", 1'000'000, [&](uint64_t i) { find_and_copy(key_at(hot, i)); });
    measure("P1 get", 1'000'000, [&](uint64_t i) { cache.get(key_at(hot, i)); });
    measure("P1 get, copied", 1'000'000, [&](uint64_t i) { cache.get(key_at(hot, i), buffer, kValueSize); });
    measure("P1 map find and copy, zipf", 500'000, [&](uint64_t i) { find_and_copy(key_at(skewed, i)); });
    measure("P1 get, zipf", 500'000, [&](uint64_t i) { cache.get(key_at(skewed, i)); });
  });
  require(cache.stat(DBC_STAT_DISK_HITS) == 0, "P1", "a get went to disk");
}

}  // namespace bench
