// Stripes: counters that many threads add to are split over cache lines, and each thread keeps to one of them.
#pragma once

#include <atomic>
#include <cstddef>

namespace dbc {

inline constexpr size_t kStripes = 32;
inline constexpr size_t kCacheLine = 64;

// The calling thread's stripe, below kStripes. Plain thread-local storage without a destructor: unloading the library
// or ending a thread has nothing to run.
inline size_t thread_stripe() {
  static std::atomic<size_t> next{0};
  thread_local size_t stripe = kStripes;
  if (stripe == kStripes) stripe = next.fetch_add(1, std::memory_order_relaxed) % kStripes;
  return stripe;
}

}  // namespace dbc
