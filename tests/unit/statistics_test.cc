#include "cache/statistics.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace dbc {
namespace {

TEST(StatisticsTest, CountersStartAtZeroAndAreApart) {
  Statistics statistics;
  for (size_t i = 0; i < static_cast<size_t>(Counter::kCount); ++i)
    EXPECT_EQ(statistics.sum(static_cast<Counter>(i)), 0u);
  statistics.add(Counter::kDiskHits);
  statistics.add(Counter::kPuts, 5);
  statistics.add(Counter::kPuts, 0);
  for (size_t i = 0; i < static_cast<size_t>(Counter::kCount); ++i) {
    auto counter = static_cast<Counter>(i);
    EXPECT_EQ(statistics.sum(counter), counter == Counter::kDiskHits ? 1u : counter == Counter::kPuts ? 5u : 0u);
  }
}

// More threads than stripes, so that some share one.
TEST(StatisticsTest, NothingIsLostBetweenThreads) {
  constexpr size_t kThreads = 2 * kStripes + 1;
  constexpr uint64_t kTimes = 1000;
  Statistics statistics;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (uint64_t j = 0; j < kTimes; ++j) statistics.add(Counter::kMemoryHits);
    });
  }
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(statistics.sum(Counter::kMemoryHits), kThreads * kTimes);
}

// Taken back on another thread than it was counted on.
TEST(StatisticsTest, AHitCanBeTakenBackAnywhere) {
  Statistics statistics;
  statistics.add(Counter::kDiskHits, 3);
  std::thread([&] { statistics.add(Counter::kDiskHits, -1); }).join();
  EXPECT_EQ(statistics.sum(Counter::kDiskHits), 2u);
}

TEST(StatisticsTest, ASumIsNeverBelowZero) {
  Statistics statistics;
  statistics.add(Counter::kDiskHits, -1);
  EXPECT_EQ(statistics.sum(Counter::kDiskHits), 0u);
  statistics.add(Counter::kDiskHits);
  EXPECT_EQ(statistics.sum(Counter::kDiskHits), 0u);
}

}  // namespace
}  // namespace dbc
