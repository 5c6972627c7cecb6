#include "disk/writer_snapshot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/status.h"
#include "disk/format.h"
#include "processes.h"

namespace dbc {
namespace {

class WriterSnapshotTest : public ::testing::Test {
 protected:
  WriterSnapshotTest() {
    writer_.execute("PRAGMA journal_mode=WAL");
    create_format(writer_, false);
    writer_.execute("PRAGMA wal_autocheckpoint=0; INSERT INTO schema_version(version) VALUES('1')");
    other_.execute("PRAGMA wal_autocheckpoint=0");
    EXPECT_EQ(seen(other_), 0);  // from now on it knows of the WAL
    EXPECT_TRUE(index_.find(writer_.handle()));
  }

  void begin() {
    snapshot_.before_begin();
    writer_.execute("BEGIN IMMEDIATE");
  }
  void change(Connection &connection) { connection.execute("UPDATE schema_version SET items = items + 1"); }
  void commit() {
    snapshot_.before_commit();
    writer_.execute("COMMIT");
    snapshot_.after_commit();
  }
  void put() {
    begin();
    change(writer_);
    commit();
  }
  int64_t seen(Connection &connection) { return connection.query_integer("SELECT items FROM schema_version"); }
  // Whoever has a snapshot of the WAL keeps it from being begun anew.
  bool kept() {
    return sqlite3_wal_checkpoint_v2(other_.handle(), nullptr, SQLITE_CHECKPOINT_RESTART, nullptr, nullptr) ==
           SQLITE_BUSY;
  }

  static constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.db";
  Connection writer_{path_, kFlags}, other_{path_, kFlags};
  WalIndex index_;
  int requests_ = 0;
  bool will_come_ = true;
  ReaderPool pool_{[this] { return std::make_unique<Connection>(path_, kFlags); },
                   [this] {
                     ++requests_;
                     return will_come_;
                   }};
  WriterSnapshot snapshot_{writer_, index_, pool_};
};

TEST_F(WriterSnapshotTest, IsKeptFromTheSecondCommitInARow) {
  put();
  EXPECT_FALSE(kept());
  EXPECT_EQ(requests_, 0);
  put();
  EXPECT_TRUE(kept());
  EXPECT_EQ(requests_, 1);
  for (int64_t i = 3; i < 50; ++i) {
    put();
    EXPECT_EQ(seen(other_), i) << "its own commits carry it along";
  }
  EXPECT_TRUE(kept());
  EXPECT_EQ(requests_, 1) << "one request for all";
  snapshot_.end();
  EXPECT_FALSE(kept());
}

TEST_F(WriterSnapshotTest, IsOfTheLatestCommitWhoeverMadeIt) {
  int64_t expected = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < round % 4; ++i, ++expected) put();
    for (int i = 0; i < round % 3; ++i, ++expected) change(other_);
    put();
    ++expected;
    EXPECT_EQ(seen(writer_), expected);
    EXPECT_EQ(seen(other_), expected);
  }
}

TEST_F(WriterSnapshotTest, ACommitOfAnotherEndsIt) {
  put();
  put();
  ASSERT_TRUE(kept());
  change(other_);
  put();
  EXPECT_FALSE(kept()) << "two who take turns gain nothing by it";
  put();
  EXPECT_TRUE(kept());
}

// Between the look and BEGIN; nobody of ours can, but other programs.
TEST_F(WriterSnapshotTest, ACommitAtTheLastMomentIsRefusedAsBusy) {
  put();
  put();
  snapshot_.before_begin();
  change(other_);
  try {
    writer_.execute("BEGIN IMMEDIATE");
    FAIL() << "what is kept is not of the latest commit";
  } catch (const Error &error) {
    EXPECT_EQ(error.status(), Status::kBusy);
  }
  EXPECT_TRUE(snapshot_.end()) << "worth another try at once";
  writer_.execute("BEGIN IMMEDIATE");
  change(writer_);
  commit();
  EXPECT_EQ(seen(other_), 4);
}

TEST_F(WriterSnapshotTest, EndsWithTheRoundOfThePool) {
  for (int i = 0; i < 3; ++i) put();
  pool_.release_snapshots();
  EXPECT_TRUE(kept()) << "nobody else may touch the connection";
  put();
  EXPECT_FALSE(kept());
  put();
  EXPECT_TRUE(kept());
  EXPECT_EQ(requests_, 2);
}

TEST_F(WriterSnapshotTest, IsNotKeptWhereItMayNot) {
  {
    ReaderPool::NoSnapshots pause(pool_);
    for (int i = 0; i < 3; ++i) put();
    EXPECT_FALSE(kept());
  }
  will_come_ = false;
  for (int i = 0; i < 3; ++i) put();
  EXPECT_FALSE(kept()) << "nobody would end it";
}

// Where a checkpoint is soon due.
TEST_F(WriterSnapshotTest, IsNotKeptInALargeWal) {
  writer_.execute("CREATE TABLE filler(data)");
  uint32_t most = 0;
  for (int i = 0; i < 40; ++i) {
    begin();
    writer_.execute("INSERT INTO filler VALUES(zeroblob(500000))");
    commit();
    const bool is_kept = sqlite3_txn_state(writer_.handle(), nullptr) == SQLITE_TXN_READ;
    if (is_kept) most = std::max(most, index_.pages());
    EXPECT_EQ(is_kept, i > 0 && index_.pages() < WriterSnapshot::kMostPages + 130) << index_.pages();
    if (!is_kept && i > 0) break;
  }
  EXPECT_GT(most, WriterSnapshot::kMostPages - 130) << "so long it is";
  EXPECT_FALSE(kept());
  put();  // begins the WAL anew
  put();
  EXPECT_TRUE(kept());
}

TEST_F(WriterSnapshotTest, OutlivesARollbackUntilItIsEnded) {
  put();
  put();
  begin();
  change(writer_);
  writer_.execute("ROLLBACK");
  EXPECT_TRUE(kept());
  put();
  EXPECT_EQ(seen(other_), 3);
  begin();
  change(writer_);
  writer_.execute("ROLLBACK");
  snapshot_.end();
  EXPECT_FALSE(kept());
  EXPECT_EQ(seen(other_), 3);
}

TEST_F(WriterSnapshotTest, GoesOnInAWalThatIsBegunAnew) {
  for (int64_t round = 1; round <= 10; ++round) {
    put();
    put();
    snapshot_.end();
    ASSERT_FALSE(kept());  // and now all is in the file
    put();                 // so this one begins the WAL anew
    EXPECT_EQ(seen(other_), 3 * round);
  }
}

}  // namespace
}  // namespace dbc
