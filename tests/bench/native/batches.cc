// P5: put_many, beside the same rows by upserts in one transaction.
#include <unordered_set>

#include "cases.h"
#include "library.h"
#include "plain_table.h"
#include "results.h"
#include "workload.h"

namespace bench {
namespace {

// Batches of different keys among the first `items`, in no order.
std::vector<std::vector<std::string>> random_batches(uint64_t items, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<std::string>> batches(count);
  for (std::vector<std::string> &batch : batches) {
    std::unordered_set<uint64_t> chosen;
    while (batch.size() < kBatch) {
      uint64_t number = random() % items;
      if (chosen.insert(number).second) batch.push_back(key_of(number));
    }
  }
  return batches;
}

}  // namespace

void batches() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const std::string value = letters(kValueSize);
  PlainTable table(path("batches-plain.db"));
  table.fill(keys, value);
  Library cache(path("batches.db"), {});
  cache.fill(keys, value);
  cache.flush();

  const auto overwrites = random_batches(kItems, 64, 7);
  constexpr uint64_t kBatches = 20;
  uint64_t next = kItems;
  repeat([&](int repetition) {
    uint64_t at = static_cast<uint64_t>(repetition) * kBatches;
    std::vector<std::vector<std::string>> fresh;
    for (uint64_t i = 0; i < kBatches; ++i, next += kBatch) fresh.push_back(keys_of(next, kBatch));
    measure(
        "P5 upserts", kBatches, [&](uint64_t i) { table.fill(overwrites[(at + i) % overwrites.size()], value); },
        kBatch);
    measure(
        "P5 put_many", kBatches, [&](uint64_t i) { cache.put_many(overwrites[(at + i) % overwrites.size()], value); },
        kBatch);
    measure(
        "P5 upserts, fresh", kBatches, [&](uint64_t i) { table.fill(fresh[i], value); }, kBatch);
    measure(
        "P5 put_many, fresh", kBatches, [&](uint64_t i) { cache.put_many(fresh[i], value); }, kBatch);
    cache.flush();
  });
}

}  // namespace bench
