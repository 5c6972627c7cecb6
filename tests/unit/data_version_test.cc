#include "disk/data_version.h"

#include <gtest/gtest.h>

#include <string>

#include "processes.h"

namespace dbc {
namespace {

class DataVersionTest : public ::testing::Test {
 protected:
  static std::string with_a_table(const std::string &path) {
    Connection(path, kFlags).execute("CREATE TABLE t(x)");
    return path;
  }
  void commit(Connection &connection) { connection.execute("INSERT INTO t VALUES(1)"); }
  void commit_own() {
    writer_.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)");
    DataVersion::OwnCommit own(version_, writer_);
    writer_.execute("COMMIT");
    own.done();
  }
  bool grows() {
    uint64_t before = version_.seen();
    version_.look();
    return version_.seen() > before;
  }

  static constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  testing::TemporaryDirectory directory_;
  std::string path_ = with_a_table(directory_ / "file.db");
  Connection writer_{path_, kFlags}, other_{path_, kFlags}, looking_{path_, kFlags};
  DataVersion version_{looking_};
};

TEST_F(DataVersionTest, NothingIsSeenWhileNothingIsCommitted) {
  EXPECT_EQ(version_.seen(), 0u);
  EXPECT_FALSE(grows());
  other_.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)");
  EXPECT_FALSE(grows());
  other_.execute("ROLLBACK");
  EXPECT_FALSE(grows());
}

TEST_F(DataVersionTest, OthersAreSeenOnce) {
  commit(other_);
  EXPECT_TRUE(grows());
  EXPECT_FALSE(grows());
  commit(other_);
  commit(other_);
  EXPECT_TRUE(grows());
}

TEST_F(DataVersionTest, OwnCommitsAreNot) {
  for (int i = 0; i < 3; ++i) {
    commit_own();
    EXPECT_EQ(version_.seen(), 0u);
    EXPECT_FALSE(grows());
  }
}

TEST_F(DataVersionTest, OthersAreSeenBetweenOwnCommits) {
  commit_own();
  commit(other_);
  commit_own();  // before anybody looked
  EXPECT_EQ(version_.seen(), 1u);
  EXPECT_FALSE(grows());
  commit_own();
  commit(other_);
  EXPECT_TRUE(grows());
}

// The other one comes in after the commit and before it is accounted for.
TEST_F(DataVersionTest, OthersAreSeenRightAfterAnOwnCommit) {
  writer_.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)");
  {
    DataVersion::OwnCommit own(version_, writer_);
    writer_.execute("COMMIT");
    commit(other_);
    own.done();
    EXPECT_EQ(version_.seen(), 0u);  // what is published now must be in doubt afterwards
  }
  EXPECT_EQ(version_.seen(), 1u);
  EXPECT_FALSE(grows());
}

TEST_F(DataVersionTest, ACommitThatFailedHidesNothing) {
  writer_.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)");
  {
    DataVersion::OwnCommit own(version_, writer_);
    writer_.execute("ROLLBACK");
  }
  EXPECT_FALSE(grows());
  commit(other_);
  EXPECT_TRUE(grows());
}

}  // namespace
}  // namespace dbc
