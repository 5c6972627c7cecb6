#include "base/large_blocks.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace dbc {
namespace {

constexpr size_t kMegabyte = 1 << 20;

// Under sanitizers nothing is kept.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKept = false;
#else
constexpr bool kKept = true;
#endif

// What malloc has given out and not got back.
size_t given_out() {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Takes everything that is kept out of the way: blocks of another size displace it.
void displace_all() {
  std::vector<void *> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(allocate_block(15 * kMegabyte));
  for (void *block : blocks) free_block(block, 15 * kMegabyte);
}

TEST(LargeBlocksTest, ALargeBlockIsUsedAgain) {
  displace_all();
  void *first = allocate_block(kMegabyte);
  free_block(first, kMegabyte);
  void *second = allocate_block(kMegabyte - 1000);  // nearly as large
  EXPECT_TRUE(second == first || !kKept);
  void *third = allocate_block(kMegabyte);
  EXPECT_NE(third, second);
  free_block(second, kMegabyte - 1000);
  free_block(third, kMegabyte);
}

TEST(LargeBlocksTest, EverySizeIsAsLargeAsAskedFor) {
  for (size_t bytes = 1; bytes < 40 * kMegabyte; bytes = bytes * 9 / 8 + 1) {
    for (size_t size : {bytes, bytes + 1, bytes}) {
      auto *block = static_cast<char *>(allocate_block(size));
      ASSERT_NE(block, nullptr);
      ASSERT_GE(malloc_usable_size(block), size);
      block[0] = block[size - 1] = 'x';
      free_block(block, size);
    }
  }
}

TEST(LargeBlocksTest, WhatIsKeptIsBounded) {
  displace_all();
  size_t before = given_out();
  std::vector<void *> blocks;
  for (size_t size : {kMegabyte / 8, kMegabyte, 3 * kMegabyte, 17 * kMegabyte}) {
    for (int i = 0; i < 40; ++i) blocks.push_back(allocate_block(size));
    for (void *block : blocks) free_block(block, size);
    blocks.clear();
    EXPECT_LE(given_out(), before + 17 * kMegabyte) << size;
  }
}

TEST(LargeBlocksTest, SizesThatAreNotAskedForAnyMoreGo) {
  displace_all();
  auto use = [](size_t size, size_t count) {
    std::set<void *> blocks;
    while (blocks.size() < count) blocks.insert(allocate_block(size));
    for (void *block : blocks) free_block(block, size);
    return blocks;
  };
  use(kMegabyte, 16);
  std::set<void *> kept = use(2 * kMegabyte, 8);
  EXPECT_TRUE(use(2 * kMegabyte, 8) == kept || !kKept);
}

TEST(LargeBlocksTest, NoBlockIsGivenOutTwice) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int id = 1; id <= 4; ++id) {
    threads.emplace_back([&, id] {
      for (int i = 0; i < 20'000; ++i) {
        size_t size = 70'000 + static_cast<size_t>(i % 7) * 100'000;
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
