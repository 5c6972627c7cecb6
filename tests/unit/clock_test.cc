#include "base/clock.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

namespace dbc {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kEpoch = 1'700'000'000 * kSecond;

TEST(MonotonicWallClock, TellsTheWallClock) {
  MonotonicWallClock clock;
  EXPECT_TRUE(clock.due(5 * kSecond));
  clock.adjust(kEpoch, 5 * kSecond);
  EXPECT_DOUBLE_EQ(clock.at(5 * kSecond), 1.7e9);
  EXPECT_DOUBLE_EQ(clock.at(5 * kSecond + kSecond / 2), 1.7e9 + 0.5);
}

TEST(MonotonicWallClock, IsDueBeforeTheFirstLookWhateverTheMonotonicClockReads) {
  MonotonicWallClock clock;
  EXPECT_TRUE(clock.due(0));
  EXPECT_TRUE(clock.due(-kSecond));
}

TEST(MonotonicWallClock, LooksAboutOnceASecond) {
  MonotonicWallClock clock;
  clock.adjust(kEpoch, 10 * kSecond);
  EXPECT_FALSE(clock.due(10 * kSecond));
  EXPECT_FALSE(clock.due(10 * kSecond + kSecond / 2));
  EXPECT_TRUE(clock.due(11 * kSecond + kSecond / 2));
  clock.adjust(kEpoch + 2 * kSecond, 12 * kSecond);
  EXPECT_FALSE(clock.due(12 * kSecond + kSecond / 2));
  EXPECT_TRUE(clock.due(14 * kSecond));
}

TEST(MonotonicWallClock, FollowsAStepForward) {
  MonotonicWallClock clock;
  clock.adjust(kEpoch, 0);
  clock.adjust(kEpoch + 3602 * kSecond, 2 * kSecond);
  EXPECT_DOUBLE_EQ(clock.at(2 * kSecond), 1.7e9 + 3602);
}

TEST(MonotonicWallClock, KeepsItsOffsetAfterAStepBackwards) {
  MonotonicWallClock clock;
  clock.adjust(kEpoch, 0);
  clock.adjust(kEpoch - 3600 * kSecond, 2 * kSecond);
  EXPECT_DOUBLE_EQ(clock.at(2 * kSecond), 1.7e9 + 2);
  EXPECT_FALSE(clock.due(2 * kSecond));
}

// Each thread publishes what it was told; whoever reads that first must not be told less afterwards.
template <typename Read>
bool runs_backwards(Read read) {
  std::atomic<double> latest{0};
  std::atomic<bool> backwards{false};
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::minstd_rand random(seed + 1);
      for (int i = 0; i < 50'000; ++i) {
        double before = latest.load(std::memory_order_acquire);
        double time = read(random);
        if (time < before) backwards = true;
        while (time > before && !latest.compare_exchange_weak(before, time, std::memory_order_release)) {
        }
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  return backwards;
}

TEST(MonotonicWallClock, NeverRunsBackwardsAcrossThreadsWhileTheWallClockJumps) {
  MonotonicWallClock clock;
  auto monotonic = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  clock.adjust(kEpoch + monotonic(), monotonic());
  EXPECT_FALSE(runs_backwards([&](std::minstd_rand &random) {
    int64_t time = monotonic();
    clock.adjust(kEpoch + time + static_cast<int64_t>(random() % 1000) * kSecond - 500 * kSecond, time);
    return clock.at(monotonic());
  }));
}

TEST(Now, NeverRunsBackwardsAcrossThreads) {
  EXPECT_FALSE(runs_backwards([](std::minstd_rand &) { return now(); }));
}

TEST(Now, IsTheWallClock) {
  auto wall = [] { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); };
  double before = wall();
  double time = now();
  double after = wall();
  EXPECT_GT(time, before - 2);
  EXPECT_LT(time, after + 2);
}

TEST(Now, Advances) {
  double before = now();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(now(), before + 0.019);
}

}  // namespace
}  // namespace dbc
