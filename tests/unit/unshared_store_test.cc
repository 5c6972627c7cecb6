// What a store without a shared file remembers, as only the words of its generations show.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "disk/sqlite_store.h"
#include "processes.h"

// The library asks this program's statfs(): all that is opened here is on a network file system.
extern "C" int statfs(const char *path, struct statfs *status) noexcept {
  if (syscall(SYS_statfs, path, status) != 0) return -1;
  status->f_type = 0x6969;  // NFS_SUPER_MAGIC
  return 0;
}

namespace dbc {
namespace {

class UnsharedStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<SqliteStore> open() {
    StoreOptions options;
    options.path = directory_ / "cache.db";
    options.schema_version = "1";
    options.touch_delay_seconds = 3600;  // nothing in the background
    LogScope log(logger_);
    return std::make_unique<SqliteStore>(options, logger_, log);
  }
  static void put(Store &store, std::string_view key) {
    auto transaction = store.begin();
    transaction->put(Key(key), "value", false, 1);
    transaction->commit([] {});
  }
  static uint64_t word(const Store &store, std::string_view key) { return store.generations().word(Key(key).hash); }

  testing::TemporaryDirectory directory_;
  Logger logger_{nullptr, kLogOff};
  std::unique_ptr<SqliteStore> store_ = open();
};

TEST_F(UnsharedStoreTest, AnOwnCommitPutsOnlyItsKeysInDoubt) {
  uint64_t a = word(*store_, "a"), b = word(*store_, "b");
  put(*store_, "a");
  EXPECT_NE(word(*store_, "a"), a);
  EXPECT_EQ(word(*store_, "b"), b);
  EXPECT_TRUE(Generations::stable(word(*store_, "a")));
}

TEST_F(UnsharedStoreTest, ACommitOfAnotherPutsEverythingInDoubtOnce) {
  auto other = open();
  uint64_t a = word(*store_, "a"), b = word(*store_, "b");
  put(*other, "a");
  uint64_t new_a = word(*store_, "a"), new_b = word(*store_, "b");
  EXPECT_NE(new_a, a);
  EXPECT_NE(new_b, b);
  EXPECT_EQ(word(*store_, "a"), new_a);
  put(*store_, "a");
  EXPECT_EQ(word(*store_, "b"), new_b);
}

}  // namespace
}  // namespace dbc
