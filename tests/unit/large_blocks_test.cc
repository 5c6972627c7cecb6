#include "base/large_blocks.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "base/item.h"
#include "processes.h"

namespace dbc {
namespace {

constexpr size_t kMegabyte = 1 << 20;

// Under sanitizers nothing is kept.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKept = false;
#else
constexpr bool kKept = true;
#endif

// Bytes of memory that the process has.
[[maybe_unused]] size_t resident() {
  size_t size = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> size >> pages;
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// After the destructors of static objects, when asked to.
bool use_at_the_end = false;
void use_blocks() {
  if (!use_at_the_end) return;
  for (int i = 0; i < 3; ++i) {
    void *a = allocate_block(kMegabyte), *b = allocate_block(kMegabyte);
    if (a == b) _exit(1);
    std::memset(a, 1, kMegabyte);
    std::memset(b, 2, kMegabyte);
    free_block(a, kMegabyte);
    free_block(b, kMegabyte);
  }
}
__attribute__((constructor(101))) void register_first() { std::atexit(use_blocks); }

// Takes everything that is kept out of the way: blocks of another size displace it.
void displace_all() {
  std::vector<void *> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(allocate_block(15 * kMegabyte));
  for (void *block : blocks) free_block(block, 15 * kMegabyte);
}

TEST(LargeBlocksTest, ALargeBlockIsUsedAgain) {
  displace_all();
  void *first = allocate_block(1'000'000);
  free_block(first, 1'000'000);
  void *second = allocate_block(999'000);  // nearly as large
  EXPECT_TRUE(second == first || !kKept);
  void *third = allocate_block(1'000'000);
  EXPECT_NE(third, second);
  free_block(second, 999'000);
  free_block(third, 1'000'000);
}

TEST(LargeBlocksTest, EverySizeIsAsLargeAsAskedFor) {
  for (size_t bytes = 1; bytes < 40 * kMegabyte; bytes = bytes * 9 / 8 + 1) {
    for (size_t size : {bytes, bytes + 1, bytes}) {
      auto *block = static_cast<char *>(allocate_block(size));
      ASSERT_NE(block, nullptr);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % alignof(std::max_align_t), 0u);
      block[0] = block[size - 1] = 'x';
      free_block(block, size);
    }
  }
}

#ifndef __SANITIZE_ADDRESS__  // which keeps a lot more
TEST(LargeBlocksTest, WhatIsKeptIsBounded) {
  size_t before = resident();
  for (size_t size : {kMegabyte / 2, kMegabyte, 3 * kMegabyte, 17 * kMegabyte}) {
    std::vector<void *> blocks;
    for (int i = 0; i < 20; ++i) {
      blocks.push_back(allocate_block(size));
      std::memset(blocks.back(), i, size);
    }
    for (void *block : blocks) free_block(block, size);
    EXPECT_LE(resident(), before + 18 * kMegabyte) << size;
  }
}

// A tier of large values that is given up gives its memory back, though what was freed last is kept.
TEST(LargeBlocksTest, WhatIsKeptHoldsNothingElse) {
  size_t before = resident();
  for (size_t size : {300'000, 1'000'000, 5'000'000}) {
    std::vector<void *> blocks;
    while (blocks.size() * size < 200 * kMegabyte) {
      blocks.push_back(allocate_block(size));
      std::memset(blocks.back(), 1, size);
    }
    for (void *block : blocks) free_block(block, size);
    EXPECT_LE(resident(), before + 40 * kMegabyte) << size;
  }
}
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // both need more than any limit
// When the kernel gives no more maps, because of a limit of memory or of their number, what is kept is given up first.
TEST(LargeBlocksTest, WhatIsKeptMakesRoomAtALimit) {
  testing::Child child([] {
    std::vector<void *> blocks;
    for (int i = 0; i < 14; ++i) blocks.push_back(allocate_block(kMegabyte));
    for (void *block : blocks) free_block(block, kMegabyte);
    size_t size = 0;
    std::ifstream("/proc/self/statm") >> size;
    rlimit limit{};
    limit.rlim_cur = limit.rlim_max = size * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + 2 * kMegabyte;
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 2;
    void *block = allocate_block(8 * kMegabyte);
    return block ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}
#endif

TEST(LargeBlocksTest, SizesThatAreNotAskedForAnyMoreGo) {
  displace_all();
  auto use = [](size_t size, size_t count) {
    std::set<void *> blocks;
    while (blocks.size() < count) blocks.insert(allocate_block(size));
    for (void *block : blocks) free_block(block, size);
    return blocks;
  };
  use(kMegabyte, 16);
  std::set<void *> kept = use(2 * kMegabyte, 6);
  EXPECT_TRUE(use(2 * kMegabyte, 6) == kept || !kKept);
}

TEST(LargeBlocksTest, ABlockIsUsedAgainManyTimes) {
  displace_all();
  void *first = allocate_block(kMegabyte);
  for (int i = 0; i < 3; ++i) {
    free_block(first, kMegabyte);
    void *between =
        mmap(nullptr, kMegabyte, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);  // where it was, if it is gone
    void *again = allocate_block(kMegabyte);
    EXPECT_TRUE(again == first || !kKept);
    first = again;
    munmap(between, kMegabyte);
  }
  free_block(first, kMegabyte);
}

TEST(LargeBlocksTest, AnItemGivesBackTheBlockThatItGot) {
  displace_all();
  const size_t value = kMegabyte - sizeof(Item) - 16;  // with the key, it is one of the next size
  auto make = [&] { return Item::create(Key("key"), {.version = 1, .size = value}, value); };
  const void *first = make().get();
  void *between = mmap(nullptr, kMegabyte, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ItemRef again = make();
  EXPECT_TRUE(again.get() == first || !kKept);
  munmap(between, kMegabyte);
}

TEST(LargeBlocksTest, AfterTheDestructorsBlocksCanStillBeHad) {
  EXPECT_EXIT(
      {
        for (int i = 0; i < 3; ++i) free_block(allocate_block(kMegabyte), kMegabyte);
        use_at_the_end = true;
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(LargeBlocksTest, NoBlockIsGivenOutTwice) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      for (int i = 0; i < 20'000; ++i) {
        size_t size = 170'000 + static_cast<size_t>(i % 7) * 100'000;
        auto *block = static_cast<char *>(allocate_block(size));
        block[0] = block[size - 1] = static_cast<char>(id);
        if (i % 5 == 0) std::this_thread::yield();
        if (block[0] != id || block[size - 1] != id) ++wrong;
        free_block(block, size);
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // both hang in children of programs with threads
TEST(LargeBlocksTest, AChildGoesOnWhateverItsParentWasDoing) {
  std::atomic<bool> over{false};
  std::thread thread([&] {
    while (!over) free_block(allocate_block(kMegabyte), kMegabyte);
  });
  for (int i = 0; i < 50; ++i) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int n = 0; n < 10; ++n) {
        void *block = allocate_block(kMegabyte);
        std::memset(block, n, kMegabyte);
        free_block(block, kMegabyte);
      }
      _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  over = true;
  thread.join();
}
#endif

}  // namespace
}  // namespace dbc
