#include "memory/epoch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace dbc {
namespace {

void mark(void *object) { *static_cast<bool *>(object) = true; }
void count(void *object) { ++*static_cast<int *>(object); }

void retire(Epoch &epoch, void *object, Epoch::Free free, size_t bytes = 1) {
  epoch.reserve(1);
  epoch.retire(object, free, bytes);
}

TEST(Epoch, FreesAtOnceWithoutReaders) {
  Epoch epoch;
  bool freed = false;
  retire(epoch, &freed, mark);
  EXPECT_FALSE(freed);
  EXPECT_EQ(epoch.retired(), 1u);
  epoch.collect();
  EXPECT_TRUE(freed);
  EXPECT_EQ(epoch.retired(), 0u);
}

TEST(Epoch, FreesNothingWhileAGuardIsHeld) {
  Epoch epoch;
  bool freed = false;
  {
    EpochGuard guard(epoch);
    retire(epoch, &freed, mark);
    for (int i = 0; i < 10; ++i) epoch.collect();
    EXPECT_FALSE(freed);
    {
      EpochGuard nested(epoch);
      epoch.collect();
    }
    epoch.collect();
    EXPECT_FALSE(freed);
  }
  epoch.collect();
  EXPECT_TRUE(freed);
}

TEST(Epoch, AGuardOfAnotherThreadHolds) {
  Epoch epoch;
  bool freed = false;
  std::atomic<bool> inside{false}, leave{false};
  std::thread reader([&] {
    EpochGuard guard(epoch);
    inside = true;
    while (!leave) std::this_thread::yield();
  });
  while (!inside) std::this_thread::yield();
  retire(epoch, &freed, mark);
  for (int i = 0; i < 10; ++i) epoch.collect();
  EXPECT_FALSE(freed);
  leave = true;
  reader.join();
  epoch.collect();
  EXPECT_TRUE(freed);
}

// Readers relieve one another so that at every collect() some guard is held; each object must still be freed once its
// own readers are gone.
TEST(Epoch, SteadyReadersDoNotHoldUpTheFreeing) {
  Epoch epoch;
  std::vector<std::unique_ptr<bool>> freed;
  std::unique_ptr<EpochGuard> guards[2] = {std::make_unique<EpochGuard>(epoch), nullptr};
  size_t most = 0;
  for (int round = 0; round < 1000; ++round) {
    freed.push_back(std::make_unique<bool>(false));
    retire(epoch, freed.back().get(), mark);
    epoch.collect();
    EXPECT_FALSE(*freed.back()) << "a guard from before the retirement is held";
    guards[(round + 1) % 2] = std::make_unique<EpochGuard>(epoch);
    guards[round % 2].reset();
    epoch.collect();
    most = std::max(most, epoch.retired());
  }
  EXPECT_LE(most, 8u);
  guards[0].reset();
  guards[1].reset();
  epoch.collect();
  for (const auto &one : freed) EXPECT_TRUE(*one);
}

TEST(Epoch, IsDueByObjectsAndByBytes) {
  Epoch epoch;
  int freed = 0;
  retire(epoch, &freed, count);
  epoch.collect_if_due();
  EXPECT_EQ(freed, 0) << "one small object is not worth the look";
  for (int i = 1; i < 64; ++i) retire(epoch, &freed, count);
  epoch.collect_if_due();
  EXPECT_EQ(freed, 64);
  retire(epoch, &freed, count, size_t{1} << 20);
  epoch.collect_if_due();
  EXPECT_EQ(freed, 65);
  retire(epoch, &freed, count);
  epoch.collect_if_due();
  EXPECT_EQ(freed, 65) << "bytes already freed must not count";
}

TEST(Epoch, TheDestructorFreesTheRest) {
  int freed = 0;
  {
    Epoch epoch;
    auto guard = std::make_unique<EpochGuard>(epoch);
    retire(epoch, &freed, count);
    epoch.collect();
    retire(epoch, &freed, count);
    guard.reset();
    EXPECT_EQ(freed, 0);
  }
  EXPECT_EQ(freed, 2);
}

TEST(Epoch, ReservesForLargeBatches) {
  Epoch epoch;
  int freed = 0;
  epoch.reserve(10000);
  for (int i = 0; i < 10000; ++i) epoch.retire(&freed, count, 1);
  epoch.collect();
  EXPECT_EQ(freed, 10000);
  retire(epoch, &freed, count);
  epoch.collect();
  EXPECT_EQ(freed, 10001);
}

TEST(Epoch, AClosedOneHasWaitedForItsGuards) {
  Epoch epoch;
  auto guard = std::make_unique<EpochGuard>(epoch);
  EXPECT_TRUE(guard->admitted());
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    epoch.close();
    epoch.wait_until_left();
    closed = true;
  });
  while (guard->admitted()) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(closed);
  guard->tally();  // how it ends makes no difference
  guard.reset();
  closer.join();
  EXPECT_TRUE(closed);
  EXPECT_FALSE(EpochGuard(epoch).admitted());
  bool freed = false;
  {
    EpochGuard late(epoch);
    retire(epoch, &freed, mark);
    epoch.collect();
    EXPECT_FALSE(freed) << "it protects what it finds all the same";
  }
  epoch.collect();
  EXPECT_TRUE(freed);
}

// Threads that are inside when it closes, and threads that come: whoever was admitted has left when close() returns.
TEST(Epoch, NobodyIsInsideAClosedOne) {
  for (int round = 0; round < 200; ++round) {
    Epoch epoch;
    std::atomic<bool> open{true}, stop{false};
    std::atomic<int> late{0}, entered{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        do {
          EpochGuard guard(epoch);
          if (!guard.admitted()) continue;
          ++entered;
          if (!open) ++late;
        } while (!stop);
      });
    }
    while (entered < 10) std::this_thread::yield();
    epoch.close();
    epoch.wait_until_left();
    open = false;
    stop = true;
    for (std::thread &thread : threads) thread.join();
    ASSERT_EQ(late, 0) << "round " << round;
  }
}

TEST(Epoch, TalliesExactly) {
  constexpr uint64_t kThreads = 2 * kStripes + 1, kTimes = 1000;
  Epoch epoch;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (uint64_t j = 0; j < kTimes; ++j) {
        EpochGuard tallied(epoch), not_tallied(epoch);
        tallied.tally();
      }
    });
  }
  std::vector<std::unique_ptr<bool>> freed;
  for (int i = 0; i < 1000; ++i) {  // which flips the parity
    freed.push_back(std::make_unique<bool>(false));
    retire(epoch, freed.back().get(), mark);
    epoch.collect();
  }
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(epoch.tallied(), kThreads * kTimes);
  epoch.collect();
  EXPECT_EQ(epoch.retired(), 0u);
}

// One link, replaced all the time; the freed objects are poisoned, and no reader may see the poison.
TEST(Epoch, ReadersNeverSeeAFreedObject) {
  struct Object {
    uint64_t value = 42;
    static void free(void *object) {
      static_cast<Object *>(object)->value = 0;
      delete static_cast<Object *>(object);
    }
  };
  Epoch epoch;
  std::atomic<Object *> link{new Object};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> poisoned{0}, reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      do {
        EpochGuard guard(epoch);
        const Object *object = link.load(std::memory_order_seq_cst);
        for (int look = 0; look < 8; ++look) {
          if (object->value != 42) ++poisoned;
        }
        ++reads;
      } while (!stop);
    });
  }
  // A reader may lose its processor in the middle of a guard for longer than 50 000 rounds take: then go on, and let it
  // run.
  bool freed = false;
  for (int round = 0; round < 50000 || (!freed && round < 1000000); ++round) {
    size_t before = epoch.retired();
    retire(epoch, link.exchange(new Object, std::memory_order_seq_cst), Object::free);
    if (round % 4 == 0) epoch.collect();
    freed = freed || epoch.retired() <= before;
    if (round >= 50000 && round % 64 == 0) std::this_thread::yield();
  }
  while (reads < 1000) std::this_thread::yield();
  stop = true;
  for (std::thread &reader : readers) reader.join();
  EXPECT_EQ(poisoned, 0u);
  EXPECT_TRUE(freed) << "something must be freed while readers come and go";
  epoch.collect();
  EXPECT_EQ(epoch.retired(), 0u);
  delete link.load();
}

}  // namespace
}  // namespace dbc
