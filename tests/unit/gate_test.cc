#include "base/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace dbc {
namespace {

TEST(GateTest, LetsInUntilItIsClosed) {
  Gate gate;
  EXPECT_FALSE(gate.closed());
  {
    Gate::Pass first(gate), second(gate);
    EXPECT_TRUE(first.admitted());
    EXPECT_TRUE(second.admitted());
  }
  EXPECT_TRUE(gate.close());
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(Gate::Pass(gate).admitted());
  gate.wait_until_empty();  // those who were refused are not inside
}

TEST(GateTest, OneCallerCloses) {
  Gate gate;
  std::atomic<int> closers{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (gate.close()) ++closers;
    });
  }
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(closers, 1);
}

TEST(GateTest, WaitsForWhoIsInside) {
  Gate gate;
  auto pass = std::make_unique<Gate::Pass>(gate);
  gate.close();
  std::atomic<bool> empty{false};
  std::thread waiter([&] {
    gate.wait_until_empty();
    empty = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_FALSE(empty);
  EXPECT_TRUE(pass->admitted());  // closing does not throw out
  pass.reset();
  waiter.join();
  EXPECT_TRUE(empty);
}

// A pass may end on another thread than the one that began it, whose stripe it counts on.
TEST(GateTest, APassMayEndOnAnotherThread) {
  Gate gate;
  auto pass = std::make_unique<Gate::Pass>(gate);
  std::thread([&] { pass.reset(); }).join();
  gate.close();
  gate.wait_until_empty();
}

// Nobody is inside once the wait is over, however entering and closing meet.
TEST(GateTest, NobodyIsInsideAfterTheWait) {
  for (int round = 0; round < 200; ++round) {
    Gate gate;
    std::atomic<bool> alive{true};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        while (true) {
          Gate::Pass pass(gate);
          if (!pass.admitted()) return;
          if (!alive) ++wrong;
        }
      });
    }
    gate.close();
    gate.wait_until_empty();
    alive = false;
    for (std::thread &thread : threads) thread.join();
    ASSERT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace dbc
