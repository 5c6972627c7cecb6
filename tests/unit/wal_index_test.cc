#include "disk/wal_index.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "disk/connection.h"
#include "processes.h"

namespace dbc {
namespace {

class WalIndexTest : public ::testing::Test {
 protected:
  WalIndexTest() {
    writer_.execute("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    EXPECT_TRUE(index_.find(writer_.handle()));
  }

  void commit() { writer_.execute("UPDATE t SET x = x + 1"); }
  // As SQLite tells it: how many pages there are less how many a checkpoint has copied by its end.
  int left_by_checkpoint(int mode) {
    int pages = 0, copied = 0;
    EXPECT_EQ(sqlite3_wal_checkpoint_v2(writer_.handle(), nullptr, mode, &pages, &copied), SQLITE_OK);
    return pages - copied;
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.db";
  Connection writer_{path_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE};
  WalIndex index_;
};

TEST_F(WalIndexTest, TheHeaderChangesWithEveryCommit) {
  WalIndex::Header before = index_.header();
  EXPECT_EQ(index_.header(), before);
  commit();
  EXPECT_NE(index_.header(), before);
}

TEST_F(WalIndexTest, WhatIsToCopyGrowsByThePagesOfACommitUntilACheckpoint) {
  uint32_t first = index_.pages_to_copy();
  EXPECT_GT(first, 0u);
  for (uint32_t i = 1; i <= 5; ++i) {
    commit();
    EXPECT_EQ(index_.pages_to_copy(), first + i);
  }
  EXPECT_EQ(left_by_checkpoint(SQLITE_CHECKPOINT_PASSIVE), 0);
  EXPECT_EQ(index_.pages_to_copy(), 0u);
  commit();  // begins the WAL anew
  EXPECT_EQ(index_.pages_to_copy(), 1u);
}

TEST_F(WalIndexTest, WhatAReaderKeepsFromBeingCopiedIsLeft) {
  Connection reader(path_, SQLITE_OPEN_READWRITE);
  reader.execute("BEGIN");
  EXPECT_EQ(reader.query_integer("SELECT x FROM t"), 1);
  for (int i = 0; i < 3; ++i) commit();
  EXPECT_EQ(left_by_checkpoint(SQLITE_CHECKPOINT_PASSIVE), 3);
  EXPECT_EQ(index_.pages_to_copy(), 3u);
  reader.execute("COMMIT");
  EXPECT_EQ(left_by_checkpoint(SQLITE_CHECKPOINT_PASSIVE), 0);
  EXPECT_EQ(index_.pages_to_copy(), 0u);
}

// From another process: closing a descriptor of the file here would take SQLite's locks away.
void set_copied(const std::string &path, uint32_t pages) {
  testing::Child child([&] {
    int descriptor = ::open((path + "-shm").c_str(), O_RDWR);
    return pwrite(descriptor, &pages, sizeof pages, 96) == static_cast<ssize_t>(sizeof pages) ? 0 : 1;
  });
  ASSERT_EQ(child.wait(), 0);
}

TEST_F(WalIndexTest, MoreCopiedPagesThanThereAreAreNotPlausible) {
  EXPECT_TRUE(index_.plausible());
  EXPECT_EQ(left_by_checkpoint(SQLITE_CHECKPOINT_PASSIVE), 0);
  EXPECT_TRUE(index_.plausible());
  commit();
  EXPECT_TRUE(index_.plausible());
  set_copied(path_, 2);
  EXPECT_FALSE(index_.plausible());
  index_.invalidate();
  commit();
  EXPECT_TRUE(index_.plausible());
  EXPECT_EQ(writer_.query_integer("SELECT x FROM t"), 3);
}

TEST_F(WalIndexTest, ThereIsNoneWithoutAWal) {
  Connection memory(":memory:", SQLITE_OPEN_READWRITE);
  WalIndex index;
  EXPECT_FALSE(index.find(memory.handle()));
  EXPECT_FALSE(index.found());
}

}  // namespace
}  // namespace dbc
