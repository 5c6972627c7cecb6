// What a memory hit is made of: the same steps by themselves, in the same run as the whole.
#define XXH_INLINE_ALL
#include <time.h>
#include <xxhash.h>

#include <atomic>
#include <unordered_map>

#include "cases.h"
#include "library.h"
#include "results.h"
#include "share/generations.h"
#include "workload.h"

namespace bench {

void pieces() {
  const std::vector<std::string> keys = keys_of(0, kHotItems);
  const Sequence hot = uniform(kHotItems, 1 << 16, 1);
  const std::string value = letters(kValueSize);
  Library cache(path("pieces.db"), {}), ahead(path("pieces-ahead.db"), {});
  cache.fill(keys, value);
  ahead.fill(keys, value);
  cache.flush();
  std::unordered_map<std::string, uint64_t> map;
  for (const std::string &key : keys) map[key] = 1;
  std::vector<std::atomic<uint64_t>> words(kHotItems);
  std::vector<std::atomic<uint64_t>> shared_words(dbc::Generations::kMemory);
  dbc::Generations generations(shared_words.data());
  std::vector<uint64_t> hashes;
  for (const std::string &key : keys) hashes.push_back(XXH3_64bits(key.data(), key.size()));

  auto key = [&](uint64_t i) -> const std::string & { return keys[hot[i & 0xffff]]; };
  constexpr uint64_t kCalls = 1'000'000;
  uint64_t sum = 0;
  double time = 1e10;
  repeat([&](int) {
    measure("pieces: a memory hit", kCalls, [&](uint64_t i) { cache.get(key(i)); });
    // Times ahead of the clock's, and ever later: the order moves as it does without.
    measure("pieces: a memory hit, time given", kCalls, [&](uint64_t i) { ahead.get(key(i), ++time); });
    measure("pieces: the wall clock", kCalls, [&](uint64_t) {
      timespec now;
      clock_gettime(CLOCK_REALTIME, &now);
      sum += static_cast<uint64_t>(now.tv_nsec);
    });
    measure("pieces: the hash of a key", kCalls, [&](uint64_t i) { sum += XXH3_64bits(key(i).data(), key(i).size()); });
    // All that a hit pays for what other processes may have done; the hash is there already, and an item knows its word.
    measure("pieces: the generation of a key", kCalls,
            [&](uint64_t i) { sum += generations.word(hashes[hot[i & 0xffff]]) == 0 ? 1 : 0; });
    measure("pieces: a map's find", kCalls, [&](uint64_t i) { sum += map.find(key(i))->second; });
    measure("pieces: an atomic add and its undoing", kCalls, [&](uint64_t i) {
      words[hot[i & 0xffff]].fetch_add(1, std::memory_order_acquire);
      words[hot[i & 0xffff]].fetch_sub(1, std::memory_order_release);
    });
  });
  fact("pieces: checksum", static_cast<double>(sum % 1000));  // keeps the compiler from leaving them out
}

}  // namespace bench
