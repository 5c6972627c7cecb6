#include "disk/reader_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "disk/format.h"
#include "processes.h"

namespace dbc {
namespace {

class ReaderPoolTest : public ::testing::Test {
 protected:
  ReaderPoolTest() {
    writer_.execute("PRAGMA journal_mode=WAL");
    create_format(writer_, false);
    writer_.execute("PRAGMA wal_autocheckpoint=0; INSERT INTO schema_version(version) VALUES('1')");
  }

  // One more item, by a program that knows nothing of the pool.
  void commit() { writer_.execute("UPDATE schema_version SET items = items + 1"); }
  // What a lookup of the latest state sees.
  uint64_t look() { return ReaderPool::Loan(pool_).latest()->totals().items; }
  // Does the connection that is lent next have a snapshot open?
  bool keeps() { return keeps(ReaderPool::Loan(pool_)); }
  static bool keeps(const ReaderPool::Loan &loan) { return sqlite3_get_autocommit(loan.connection().handle()) == 0; }
  // Can the WAL be begun anew, which whoever has a snapshot of it prevents?
  bool wal_is_free() {
    return sqlite3_wal_checkpoint_v2(writer_.handle(), nullptr, SQLITE_CHECKPOINT_RESTART, nullptr, nullptr) ==
           SQLITE_OK;
  }

  static constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.db";
  Connection writer_{path_, kFlags};
  int requests_ = 0;
  bool will_come_ = true;
  ReaderPool pool_{[this] { return std::make_unique<Connection>(path_, kFlags); },
                   [this] {
                     ++requests_;
                     return will_come_;
                   }};
};

TEST_F(ReaderPoolTest, ASnapshotIsKeptOnceNobodyHasCommittedBetweenTwoReads) {
  EXPECT_EQ(look(), 0u);
  EXPECT_FALSE(keeps());
  EXPECT_EQ(requests_, 0);
  look();
  EXPECT_TRUE(keeps());
  EXPECT_EQ(requests_, 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(look(), 0u);
  EXPECT_TRUE(keeps());
  EXPECT_EQ(requests_, 1) << "one request for all";
}

TEST_F(ReaderPoolTest, ACommitIsSeenByTheNextRead) {
  for (uint64_t items = 0; items < 50; ++items) {
    // After none to four reads: with and without a snapshot that is kept.
    for (uint64_t i = 0; i < items % 5; ++i) EXPECT_EQ(look(), items);
    commit();
    EXPECT_EQ(look(), items + 1);
  }
}

TEST_F(ReaderPoolTest, ATransactionThatIsNotCommittedYetChangesNothing) {
  for (int i = 0; i < 4; ++i) look();
  writer_.execute("BEGIN IMMEDIATE; UPDATE schema_version SET items = 77");
  EXPECT_EQ(look(), 0u);
  EXPECT_TRUE(keeps());
  writer_.execute("COMMIT");
  EXPECT_EQ(look(), 77u);
}

TEST_F(ReaderPoolTest, ACommitAfterTheWalWasBegunAnewIsSeen) {
  for (uint64_t items = 0; items < 10; ++items) {
    for (int i = 0; i < 4; ++i) EXPECT_EQ(look(), items);
    pool_.release_snapshots();
    ASSERT_TRUE(wal_is_free());
    for (int i = 0; i < 4; ++i) EXPECT_EQ(look(), items);
    commit();
    EXPECT_EQ(look(), items + 1);
  }
}

TEST_F(ReaderPoolTest, SnapshotsEndWhenTheyAreReleased) {
  commit();
  for (int i = 0; i < 4; ++i) look();
  ASSERT_TRUE(keeps());
  EXPECT_FALSE(wal_is_free());
  pool_.release_snapshots();
  EXPECT_FALSE(keeps());
  EXPECT_TRUE(wal_is_free());
  // Next time the release must be asked for again.
  for (int i = 0; i < 4; ++i) look();
  EXPECT_TRUE(keeps());
  EXPECT_EQ(requests_, 2);
}

TEST_F(ReaderPoolTest, ASnapshotThatIsInUseEndsAfterwards) {
  commit();
  for (int i = 0; i < 4; ++i) look();
  {
    ReaderPool::Loan loan(pool_);
    loan.latest()->totals();
    ASSERT_TRUE(keeps(loan));
    pool_.release_snapshots();
    EXPECT_TRUE(keeps(loan)) << "nobody else may touch the connection";
  }
  EXPECT_FALSE(keeps());
  EXPECT_TRUE(wal_is_free());
}

TEST_F(ReaderPoolTest, ASnapshotInConstantUseIsTakenAnew) {
  commit();
  for (int i = 0; i < 4; ++i) look();
  ReaderPool::Loan loan(pool_);
  loan.latest()->totals();
  EXPECT_FALSE(wal_is_free());
  pool_.release_snapshots();
  loan.latest()->totals();  // everything is in the file by now: this one needs the WAL no more
  EXPECT_TRUE(wal_is_free());
}

TEST_F(ReaderPoolTest, DuringACheckpointNoSnapshotIsKept) {
  commit();
  for (int i = 0; i < 4; ++i) look();
  {
    ReaderPool::Loan loan(pool_);
    loan.latest()->totals();
    ReaderPool::NoSnapshots pause(pool_);
    loan.latest()->totals();
    EXPECT_FALSE(keeps(loan));
    for (int i = 0; i < 4; ++i) look();
    EXPECT_FALSE(keeps());
    EXPECT_TRUE(wal_is_free());
  }
  for (int i = 0; i < 4; ++i) look();
  EXPECT_TRUE(keeps());
}

TEST_F(ReaderPoolTest, WithoutAReleaseNoSnapshotIsKept) {
  will_come_ = false;
  for (int i = 0; i < 5; ++i) look();
  EXPECT_FALSE(keeps());
  EXPECT_EQ(requests_, 4) << "asked for each time";
  will_come_ = true;
  look();
  EXPECT_TRUE(keeps());

  ReaderPool never([this] { return std::make_unique<Connection>(path_, kFlags); }, nullptr);
  for (int i = 0; i < 5; ++i) ReaderPool::Loan(never).latest()->totals();
  EXPECT_FALSE(keeps(ReaderPool::Loan(never)));
}

TEST_F(ReaderPoolTest, OtherUseFindsNoSnapshot) {
  for (int i = 0; i < 4; ++i) look();
  ASSERT_TRUE(keeps());
  {
    ReaderPool::Loan loan(pool_);
    ReadTransaction transaction(*loan.reader());  // BEGIN fails inside a transaction
    EXPECT_EQ(loan.reader()->totals().items, 0u);
  }
  EXPECT_FALSE(keeps());
}

TEST_F(ReaderPoolTest, AFailureEndsTheSnapshot) {
  for (int i = 0; i < 4; ++i) look();
  ASSERT_TRUE(keeps());
  EXPECT_THROW(
      {
        ReaderPool::Loan loan(pool_);
        loan.latest();
        throw std::runtime_error("in the middle of a lookup");
      },
      std::runtime_error);
  EXPECT_FALSE(keeps());
}

TEST_F(ReaderPoolTest, ThoseWhoReadAtOnceHaveConnectionsOfTheirOwn) {
  std::optional<ReaderPool::Loan> first(pool_), second(pool_);
  EXPECT_NE(first->connection().handle(), second->connection().handle());
  sqlite3 *freed = second->connection().handle();
  second.reset();
  EXPECT_EQ(ReaderPool::Loan(pool_).connection().handle(), freed);
}

// However a release and a read meet: one thread that reads needs one connection.
TEST_F(ReaderPoolTest, OneReaderKeepsToOneConnection) {
  std::atomic<int> connections{0};
  ReaderPool pool(
      [&] {
        ++connections;
        return std::make_unique<Connection>(path_, kFlags);
      },
      [] { return true; });
  std::atomic<bool> done{false};
  std::thread releasing([&] {
    while (!done) pool.release_snapshots();
  });
  for (int i = 0; i < 20'000; ++i) ReaderPool::Loan(pool).latest()->totals();
  done = true;
  releasing.join();
  EXPECT_EQ(connections, 1);
}

TEST_F(ReaderPoolTest, InMemoryThereIsNothingToLookAt) {
  Connection connection(":memory:", kFlags);
  create_format(connection, true);
  WalIndex index;
  EXPECT_FALSE(index.find(connection.handle()));
  EXPECT_FALSE(index.found());
}

}  // namespace
}  // namespace dbc
