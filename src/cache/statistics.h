// Statistics: what a handle counted. Striped, so that counting a hit costs other threads nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/stripe.h"

namespace dbc {

enum class Counter : size_t {
  kMemoryHits,
  kDiskHits,
  kMisses,
  kMemoryEvictions,
  kDiskEvictions,
  kPuts,
  kDeletes,
  kMemoryExpired,
  kDiskExpired,
  kDiscarded,
  kCount,
};

class Statistics {
 public:
  void add(Counter counter, int64_t amount = 1) {
    stripes_[thread_stripe()].counts[static_cast<size_t>(counter)].fetch_add(amount, std::memory_order_relaxed);
  }

  // `elsewhere`: what else is to be added.
  uint64_t sum(Counter counter, uint64_t elsewhere = 0) const {
    auto sum = static_cast<int64_t>(elsewhere);
    for (const Stripe &stripe : stripes_) {
      sum += stripe.counts[static_cast<size_t>(counter)].load(std::memory_order_relaxed);
    }
    // A hit that is being taken back (see Cache::discard) can be seen before the hit.
    return sum < 0 ? 0 : static_cast<uint64_t>(sum);
  }

 private:
  struct alignas(kCacheLine) Stripe {
    std::array<std::atomic<int64_t>, static_cast<size_t>(Counter::kCount)> counts{};
  };
  std::array<Stripe, kStripes> stripes_;
};

// One consistent look: the gets are the sum of what they came to.
struct StatisticsSnapshot {
  uint64_t memory_hits, disk_hits, misses, memory_evictions, disk_evictions, total_puts, total_gets, total_deletes,
      current_memory_items, current_disk_items, memory_bytes, disk_bytes, memory_expired, disk_expired, discarded;
};

}  // namespace dbc
