#include "share/writer_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/status.h"
#include "processes.h"
#include "share/byte_lock.h"
#include "share/shared_file.h"

namespace dbc {
namespace {

using testing::Child;
using testing::SharedObject;
using testing::TemporaryDirectory;
using testing::wait_for;
using Seconds = std::chrono::duration<double>;
using Clock = std::chrono::steady_clock;

constexpr Seconds kNone{0};
constexpr Seconds kShort{0.05};
constexpr Seconds kLong{30};  // nothing here takes that long unless it is broken

// One user of a file, with a descriptor of its own.
struct Handle {
  explicit Handle(const std::string &path) : file(path, 0600), lock(file.descriptor(), file.queue()) {}
  SharedFile file;
  WriterLock lock;
};

Seconds since(Clock::time_point start) { return Clock::now() - start; }

size_t thread_count() {
  auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

void sleep_for(Seconds time) { std::this_thread::sleep_for(time); }

class WriterLockTest : public ::testing::Test {
 protected:
  // Helpers of the test before may still be ending; these tests count threads, and fork.
  void SetUp() override {
    static const size_t kThreads = [] {
      std::thread([] {}).join();  // a sanitizer starts a thread of its own with the first
      sleep_for(kShort);
      return thread_count();
    }();
    ASSERT_TRUE(wait_for([] { return thread_count() <= kThreads; }));
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_ / "cache.db-dbc";
};

TEST_F(WriterLockTest, HandlesOfOneProcessExcludeEachOther) {
  Handle a(path_), b(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  EXPECT_FALSE(b.lock.try_lock_for(kNone));
  a.lock.unlock();
  ASSERT_TRUE(b.lock.try_lock_for(kNone));
  EXPECT_FALSE(a.lock.try_lock_for(kNone));
  b.lock.unlock();
}

TEST_F(WriterLockTest, ThreadsOfOneHandleExcludeEachOther) {
  SharedFile file(path_, 0600);
  for (int descriptor : {-1, file.descriptor()}) {
    WriterLock lock(descriptor, file.queue());
    ASSERT_TRUE(lock.try_lock_for(kNone));
    std::thread([&] { EXPECT_FALSE(lock.try_lock_for(kNone)); }).join();
    lock.unlock();
    std::thread([&] {
      EXPECT_TRUE(lock.try_lock_for(kNone));
      lock.unlock();
    }).join();
  }
}

TEST_F(WriterLockTest, NoTimeTriesOnce) {
  Handle a(path_), b(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  size_t threads = thread_count();
  for (double time : {0.0, -1.0, -std::numeric_limits<double>::infinity(), std::nan("")}) {
    EXPECT_FALSE(b.lock.try_lock_for(Seconds(time))) << time;
    std::thread([&] { EXPECT_FALSE(a.lock.try_lock_for(Seconds(time))) << time; }).join();
  }
  EXPECT_LE(thread_count(), threads);  // nobody was sent to wait
  a.lock.unlock();
}

TEST_F(WriterLockTest, TimeIsHonouredAgainstAnotherHandle) {
  Handle a(path_), b(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  auto start = Clock::now();
  EXPECT_FALSE(b.lock.try_lock_for(Seconds(0.2)));
  EXPECT_GE(since(start), Seconds(0.2));
  EXPECT_LT(since(start), Seconds(5));
  a.lock.unlock();
}

TEST_F(WriterLockTest, TimeIsHonouredAgainstAnotherThread) {
  Handle a(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  std::thread([&] {
    auto start = Clock::now();
    EXPECT_FALSE(a.lock.try_lock_for(Seconds(0.2)));
    EXPECT_GE(since(start), Seconds(0.2));
    EXPECT_LT(since(start), Seconds(5));
  }).join();
  a.lock.unlock();
}

TEST_F(WriterLockTest, TimesBeyondAllClocksWait) {
  for (double time : {1e9, 1e10, 1e300, std::numeric_limits<double>::max(), std::numeric_limits<double>::infinity()}) {
    Handle a(path_), b(path_);
    ASSERT_TRUE(a.lock.try_lock_for(kNone));
    std::atomic<bool> unlocked{false};
    std::vector<std::thread> waiters;
    for (Handle *handle : {&a, &b}) {
      waiters.emplace_back([&, handle] {
        EXPECT_TRUE(handle->lock.try_lock_for(Seconds(time))) << time;
        EXPECT_TRUE(unlocked);
        handle->lock.unlock();
      });
    }
    sleep_for(kShort);
    unlocked = true;
    a.lock.unlock();
    for (std::thread &waiter : waiters) waiter.join();
  }
}

TEST_F(WriterLockTest, AWaiterIsWokenByTheUnlock) {
  Handle a(path_), b(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  std::thread waiter([&] {
    auto start = Clock::now();
    EXPECT_TRUE(b.lock.try_lock_for(kLong));
    EXPECT_LT(since(start), kLong / 3);
    b.lock.unlock();
  });
  sleep_for(kShort);
  a.lock.unlock();
  waiter.join();
}

TEST_F(WriterLockTest, TheLockDiesWithItsHolder) {
  Handle mine(path_);
  SharedObject<std::atomic<bool>> held;
  Child holder([&] {
    Handle handle(path_);
    if (!handle.lock.try_lock_for(kNone)) return 1;
    *held = true;
    pause();
    return 2;
  });
  ASSERT_TRUE(wait_for([&] { return held->load(); }));
  ASSERT_FALSE(mine.lock.try_lock_for(kNone));
  Clock::time_point killed;
  std::thread killer([&] {
    sleep_for(kShort);
    killed = Clock::now();
    holder.kill_and_wait();
  });
  bool got = mine.lock.try_lock_for(kLong);
  killer.join();
  ASSERT_TRUE(got);
  EXPECT_LT(since(killed), Seconds(5));
  mine.lock.unlock();
}

// What the child has inherited, descriptors or maps, must not keep the lock.
TEST_F(WriterLockTest, TheLockDiesWithItsHolderThoughAForkedChildGoesOn) {
  struct Family {
    std::atomic<pid_t> child{0};
  };
  SharedObject<Family> family;
  Child holder([&] {
    Handle handle(path_);
    if (!handle.lock.try_lock_for(kNone)) return 1;
    pid_t child = fork();
    if (child == 0) {
      for (;;) pause();
    }
    family->child = child;
    pause();
    return 2;
  });
  ASSERT_TRUE(wait_for([&] { return family->child != 0; }));
  Handle mine(path_);
  EXPECT_FALSE(mine.lock.try_lock_for(kNone));
  holder.kill_and_wait();
  EXPECT_TRUE(mine.lock.try_lock_for(Seconds(5)));
  kill(family->child, SIGKILL);
}

TEST_F(WriterLockTest, AWaiterThatDiesDoesNotHoldUpTheQueue) {
  Handle holder(path_), mine(path_);
  ASSERT_TRUE(holder.lock.try_lock_for(kNone));
  Child waiter([&] {
    Handle handle(path_);
    return handle.lock.try_lock_for(kLong) ? 1 : 2;
  });
  ASSERT_TRUE(wait_for([&] { return holder.file.queue()->arrived != 0; }));
  waiter.kill_and_wait();
  holder.lock.unlock();
  EXPECT_TRUE(mine.lock.try_lock_for(kLong));
  mine.lock.unlock();
  EXPECT_TRUE(holder.lock.try_lock_for(kLong));
  holder.lock.unlock();
}

TEST_F(WriterLockTest, ThreadsAreServedInOrderOfArrival) {
  Handle a(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  constexpr int kThreads = 6;
  std::vector<int> order;  // guarded by the lock under test
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      ASSERT_TRUE(a.lock.try_lock_for(kLong));
      order.push_back(i);
      a.lock.unlock();
    });
    sleep_for(kShort);  // it waits now
  }
  a.lock.unlock();
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_F(WriterLockTest, NoThreadOvertakesThoseThatWait) {
  // Two threads that lock again at once: with turns, neither gets far ahead of the other.
  WriterLock lock(-1);
  std::atomic<int> rounds[2] = {0, 0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::atomic<int> &mine : rounds) {
    threads.emplace_back([&] {
      while (!stop) {
        ASSERT_TRUE(lock.try_lock_for(kLong));
        ++mine;
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        lock.unlock();
      }
    });
  }
  sleep_for(Seconds(0.4));
  stop = true;
  for (std::thread &thread : threads) thread.join();
  EXPECT_GT(std::min(rounds[0], rounds[1]) * 4, std::max(rounds[0], rounds[1])) << rounds[0] << " " << rounds[1];
}

TEST_F(WriterLockTest, AThreadThatGivesUpLeavesTheQueue) {
  Handle a(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  std::thread gives_up([&] { EXPECT_FALSE(a.lock.try_lock_for(Seconds(0.1))); });
  std::thread stays([&] {
    EXPECT_TRUE(a.lock.try_lock_for(kLong));
    a.lock.unlock();
  });
  gives_up.join();
  a.lock.unlock();
  stays.join();
  EXPECT_TRUE(a.lock.try_lock_for(kNone));
  a.lock.unlock();
}

TEST_F(WriterLockTest, NoUpdateIsLostBetweenThreadsAndProcesses) {
  constexpr int kProcesses = 4, kThreads = 2, kRounds = 500;
  struct Counted {
    volatile uint64_t count = 0;
    std::atomic<bool> go{false};
  };
  SharedObject<Counted> shared;
  std::list<Child> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.emplace_back([&] {
      Handle handle(path_);
      while (!shared->go) usleep(100);
      std::atomic<int> failures{0};
      std::vector<std::thread> threads;
      for (int j = 0; j < kThreads; ++j) {
        threads.emplace_back([&] {
          for (int k = 0; k < kRounds; ++k) {
            if (!handle.lock.try_lock_for(kLong)) ++failures;
            uint64_t count = shared->count;
            if (k % 8 == 0) sched_yield();
            shared->count = count + 1;
            handle.lock.unlock();
          }
        });
      }
      for (std::thread &thread : threads) thread.join();
      return failures > 0 ? 1 : 0;
    });
  }
  shared->go = true;
  for (Child &child : children) EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(shared->count, uint64_t{kProcesses} * kThreads * kRounds);
}

// Short waits that often end just as the lock comes: every way out of a wait must leave the lock usable by others.
TEST_F(WriterLockTest, NoUpdateIsLostWhileManyGiveUp) {
  constexpr int kHandles = 3, kThreads = 2;
  std::list<Handle> handles;
  for (int i = 0; i < kHandles; ++i) handles.emplace_back(path_);
  std::atomic<int> inside{0}, got{0}, gave_up{0}, overlaps{0};
  std::vector<std::thread> threads;
  for (Handle &handle : handles) {
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 300; ++k) {
          if (!handle.lock.try_lock_for(Seconds(k % 5 * 0.0002))) {
            ++gave_up;
            continue;
          }
          if (++inside != 1) ++overlaps;
          std::this_thread::sleep_for(std::chrono::microseconds(100));
          --inside;
          ++got;
          handle.lock.unlock();
        }
      });
    }
  }
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(overlaps, 0);
  EXPECT_GT(got, 0);
  EXPECT_GT(gave_up, 0);
  for (Handle &handle : handles) {
    EXPECT_TRUE(handle.lock.try_lock_for(kLong));
    handle.lock.unlock();
  }
}

TEST_F(WriterLockTest, AGreedyWriterDoesNotStarveOthers) {
  Handle mine(path_);
  SharedObject<std::atomic<int>> turns;
  Child greedy([&] {
    Handle handle(path_);
    for (;;) {
      if (!handle.lock.try_lock_for(kLong)) return 1;
      ++*turns;
      // At work, not asleep: a sleeper that wakes is often preempted by the one it wakes.
      for (auto start = Clock::now(); since(start) < Seconds(0.01);) {
      }
      handle.lock.unlock();
    }
  });
  ASSERT_TRUE(wait_for([&] { return turns->load() > 0; }));
  constexpr int kRounds = 20;
  int overtaken = 0;
  for (int i = 0; i < kRounds; ++i) {
    int before = *turns;
    ASSERT_TRUE(mine.lock.try_lock_for(kLong)) << "round " << i;
    overtaken += *turns - before;
    mine.lock.unlock();
    sleep_for(Seconds(0.02));  // the other has it again
  }
  EXPECT_LE(overtaken, 2 * kRounds);
}

TEST_F(WriterLockTest, HandlesAreServedInOrderOfArrival) {
  // A process that does not get the processor for some milliseconds may be overtaken, which a busy machine can bring
  // about; an order by chance would be right once in 120 times.
  constexpr int kHandles = 5;
  auto in_order = [&] {
    Handle holder(path_);
    EXPECT_TRUE(holder.lock.try_lock_for(kNone));
    std::mutex mutex;  // ThreadSanitizer does not see the kernel's locks
    std::vector<int> order;
    std::list<Handle> handles;
    std::vector<std::thread> threads;
    for (int i = 0; i < kHandles; ++i) {
      uint32_t arrived = holder.file.queue()->arrived;
      Handle &handle = handles.emplace_back(path_);
      threads.emplace_back([&, i] {
        EXPECT_TRUE(handle.lock.try_lock_for(kLong));
        {
          std::lock_guard guard(mutex);
          order.push_back(i);
        }
        handle.lock.unlock();
      });
      EXPECT_TRUE(wait_for([&] { return holder.file.queue()->arrived == arrived + 1; }));
    }
    holder.lock.unlock();
    for (std::thread &thread : threads) thread.join();
    return order == std::vector<int>{0, 1, 2, 3, 4};
  };
  int right = 0;
  for (int i = 0; i < 20; ++i) right += in_order();
  EXPECT_GE(right, 5);
}

TEST_F(WriterLockTest, AHandleThatGivesUpLeavesTheQueue) {
  Handle a(path_), b(path_), c(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  std::thread stays([&] {
    EXPECT_TRUE(wait_for([&] { return a.file.queue()->arrived == 1; }));
    EXPECT_TRUE(c.lock.try_lock_for(kLong));
    c.lock.unlock();
  });
  EXPECT_FALSE(b.lock.try_lock_for(Seconds(0.1)));
  ASSERT_TRUE(wait_for([&] { return a.file.queue()->arrived == 2; }));
  a.lock.unlock();
  stays.join();
  EXPECT_EQ(a.file.queue()->served, 2u);
  EXPECT_TRUE(b.lock.try_lock_for(kNone));
  b.lock.unlock();
}

TEST_F(WriterLockTest, AWaitStartsNoThread) {
  Handle a(path_), b(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  size_t threads = thread_count();
  std::atomic<bool> done{false};
  std::thread unlocks([&] {
    ASSERT_TRUE(wait_for([&] { return a.file.queue()->arrived == 1; }));
    sleep_for(kShort);
    EXPECT_EQ(thread_count(), threads + 1);  // this one
    a.lock.unlock();
  });
  EXPECT_TRUE(b.lock.try_lock_for(kLong));
  b.lock.unlock();
  unlocks.join();
}

TEST_F(WriterLockTest, SignalsDoNotEndAWait) {
  Handle a(path_), b(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  struct sigaction action {
  }, before;
  action.sa_handler = [](int) {};  // without SA_RESTART
  sigaction(SIGUSR1, &action, &before);
  std::thread waiter([&] {
    auto start = Clock::now();
    EXPECT_FALSE(b.lock.try_lock_for(Seconds(0.2)));
    EXPECT_GE(since(start), Seconds(0.2));
  });
  for (int i = 0; i < 50; ++i) {
    pthread_kill(waiter.native_handle(), SIGUSR1);
    usleep(2000);
  }
  waiter.join();
  sigaction(SIGUSR1, &before, nullptr);
  a.lock.unlock();
}

// Nor do they keep a thread whose turn a dead waiter holds up from trying.
TEST_F(WriterLockTest, SignalsDoNotKeepAWaiterFromTrying) {
  Handle a(path_), b(path_);
  ASSERT_TRUE(a.lock.try_lock_for(kNone));
  struct sigaction action {
  }, before;
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, &before);
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    WriterQueue &queue = *b.file.queue();
    queue.arrived = queue.served + 1;  // a waiter that died
    EXPECT_FALSE(b.lock.try_lock_for(Seconds(0.2)));
    queue.arrived = queue.served + 1;
    EXPECT_TRUE(b.lock.try_lock_for(Seconds(60)));
    b.lock.unlock();
    done = true;
  });
  auto start = Clock::now();
  bool unlocked = false;
  while (!done && since(start) < Seconds(4)) {
    pthread_kill(waiter.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    if (!unlocked && since(start) > Seconds(0.5)) {
      // In a way that wakes nobody, as when its holder dies.
      unlock_byte(a.file.descriptor(), LockByte::kWriter);
      unlocked = true;
    }
  }
  EXPECT_TRUE(done) << "after " << since(start).count() << " s of signals";
  waiter.join();
  sigaction(SIGUSR1, &before, nullptr);
  a.lock.unlock();
}

// Whatever stands there: no lock is given twice, none is withheld, and soon the words make sense again.
TEST_F(WriterLockTest, NonsenseInTheQueueIsHarmless) {
  Handle a(path_), b(path_);
  WriterQueue &queue = *a.file.queue();
  const uint32_t values[] = {0, 1, 7, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  for (uint32_t arrived : values) {
    for (uint32_t served : values) {
      queue.arrived = arrived;
      queue.served = served;
      ASSERT_TRUE(a.lock.try_lock_for(kNone));
      EXPECT_FALSE(b.lock.try_lock_for(kNone));
      std::thread waiter([&] {
        EXPECT_TRUE(b.lock.try_lock_for(kLong));
        b.lock.unlock();
      });
      usleep(100);
      a.lock.unlock();
      waiter.join();
      ASSERT_TRUE(a.lock.try_lock_for(kLong));
      a.lock.unlock();
      EXPECT_EQ(queue.arrived, queue.served) << arrived << " " << served;
    }
  }
}

TEST_F(WriterLockTest, ADescriptorThatCannotBeLockedIsAnError) {
  int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(descriptor, 0);
  WriterQueue queue{};
  WriterLock lock(descriptor, &queue);
  for (int i = 0; i < 2; ++i) {  // the second: the turn was given back
    try {
      lock.try_lock_for(kShort);
      ADD_FAILURE() << "a write lock on a read-only descriptor";
    } catch (const Error &error) {
      EXPECT_EQ(error.status(), Status::kIo);
    }
  }
  close(descriptor);
}

TEST_F(WriterLockTest, AChildThatClosesItsCopyDoesNotUnlock) {
  auto mine = std::make_unique<Handle>(path_);
  Handle other(path_);
  ASSERT_TRUE(mine->lock.try_lock_for(kNone));
  Child child([&] {
    close(mine->file.descriptor());
    Handle fresh(path_);
    return fresh.lock.try_lock_for(kNone) ? 1 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_FALSE(other.lock.try_lock_for(kNone));
  mine->lock.unlock();
  EXPECT_TRUE(other.lock.try_lock_for(kNone));
  other.lock.unlock();
}

}  // namespace
}  // namespace dbc
