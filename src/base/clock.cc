#include "base/clock.h"

#include <time.h>

namespace dbc {
namespace {

constinit MonotonicWallClock wall_clock;

int64_t read_clock(clockid_t id) {
  timespec time;
  clock_gettime(id, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

double now() {
  int64_t monotonic = read_clock(CLOCK_MONOTONIC);
  if (wall_clock.due(monotonic)) [[unlikely]] {
    int64_t realtime = read_clock(CLOCK_REALTIME);
    monotonic = read_clock(CLOCK_MONOTONIC);
    wall_clock.adjust(realtime, monotonic);
  }
  return wall_clock.at(monotonic);
}

void MonotonicWallClock::adjust(int64_t realtime, int64_t monotonic) {
  int64_t offset = realtime - monotonic;
  int64_t known = offset_.load(std::memory_order_relaxed);
  while (offset > known && !offset_.compare_exchange_weak(known, offset, std::memory_order_relaxed)) {
  }
  // After the offset, and with release order: a thread that finds no look due must not use an offset that was never
  // set.
  next_look_.store(monotonic + kLookInterval, std::memory_order_release);
}

}  // namespace dbc
