// The library's clock: wall clock time that never runs backwards within a process.
//
// It is CLOCK_MONOTONIC plus an offset to CLOCK_REALTIME. The offset is looked at again about once a second and only
// ever raised, so the clock follows steps forward and the time a machine was suspended within a second. After a step
// backwards of the wall clock it keeps its offset: it stays ahead by that step until the wall clock is stepped forward
// again or the process ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

namespace dbc {

// Seconds since the epoch, never less than what any thread of this process was told before (equal is possible: a double
// has steps of about a quarter microsecond there). Any thread.
double now();

// The arithmetic of now(), with both clocks as inputs. Readings are nanoseconds.
//
// Never backwards: a result is a monotone function of monotonic + offset. If one call happened before another, in the
// same thread or through any synchronisation, then the later one has a monotonic reading at least as large, and, by the
// coherence of one atomic variable even when it is read relaxed, an offset at least as large, for the offset only
// grows. Calls that nothing orders have no earlier and later that anyone could see.
class MonotonicWallClock {
 public:
  // Is it time to read the wall clock too, for adjust()? Always before the first adjust(). Acquire: who is told no sees
  // the offset of that adjust().
  bool due(int64_t monotonic) const { return monotonic >= next_look_.load(std::memory_order_acquire); }

  // `realtime` must have been read no later than `monotonic`: a delay between the two then makes the offset too small,
  // which a later look mends, and never too large, which nothing could.
  void adjust(int64_t realtime, int64_t monotonic);

  // Seconds since the epoch. (A product is as monotone as a quotient, and sooner there.)
  double at(int64_t monotonic) const {
    return static_cast<double>(monotonic + offset_.load(std::memory_order_relaxed)) * 1e-9;
  }

 private:
  static constexpr int64_t kLookInterval = 1'000'000'000;

  std::atomic<int64_t> offset_{std::numeric_limits<int64_t>::min() / 2};  // only grows
  std::atomic<int64_t> next_look_{std::numeric_limits<int64_t>::min()};   // on the monotonic clock
};

}  // namespace dbc
