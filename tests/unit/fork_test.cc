#include "base/fork.h"

#include <gtest/gtest.h>

#include <thread>

#include "processes.h"

namespace dbc {
namespace {

using testing::Child;

TEST(Fork, CountsGenerationsInTheChildOnly) {
  uint64_t before = fork_count();
  Child child([&] {
    if (fork_count() != before + 1) return 1;
    Child grandchild([&] { return fork_count() == before + 2 ? 0 : 2; });
    if (int result = grandchild.wait()) return result;
    return fork_count() == before + 1 ? 0 : 3;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(fork_count(), before);
}

TEST(Fork, CountsForksOfOtherThreads) {
  uint64_t before = fork_count();
  int result = -1;
  std::thread([&] { result = Child([&] { return fork_count() == before + 1 ? 0 : 1; }).wait(); }).join();
  EXPECT_EQ(result, 0);
}

}  // namespace
}  // namespace dbc
