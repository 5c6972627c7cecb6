#include "share/shared_totals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/log.h"
#include "disk/sqlite_store.h"
#include "processes.h"
#include "share/shared_file.h"

namespace dbc {
namespace {

FileTotals totals_of(uint64_t last_version, uint64_t items) {
  FileTotals totals;
  totals.last_version = last_version;
  totals.evidence = 3;
  totals.evidence_version = last_version - 1;
  totals.table_is_stale = true;
  totals.count = 2;
  totals.schemas[0] = {1, items, 10 * items};
  totals.schemas[1] = {2, 1, 5};
  return totals;
}

class SharedTotalsTest : public ::testing::Test {
 protected:
  SharedTotals::Area area_{};
  SharedTotals totals_{&area_};
};

TEST_F(SharedTotalsTest, NothingIsKnownAtFirst) {
  EXPECT_FALSE(totals_.current());
  EXPECT_FALSE(totals_.in_doubt());
}

TEST_F(SharedTotalsTest, WhatIsSetIsCurrent) {
  totals_.set(totals_of(7, 4));
  ASSERT_TRUE(totals_.current());
  EXPECT_EQ(totals_.current()->last_version, 7u);
  EXPECT_EQ(totals_.current()->evidence, 3);
  EXPECT_EQ(totals_.current()->evidence_version, 6u);
  EXPECT_TRUE(totals_.current()->table_is_stale);
  ASSERT_EQ(totals_.current()->count, 2u);
  EXPECT_EQ(totals_.current()->schemas[0].bytes, 40u);
  EXPECT_EQ(totals_.current()->schemas[1].id, 2);
}

TEST_F(SharedTotalsTest, PreparedCountsAreNotCurrentUntilSettled) {
  totals_.set(totals_of(7, 4));
  for (bool committed : {false, true}) {
    totals_.prepare(totals_of(8, 5));
    EXPECT_TRUE(totals_.in_doubt());
    EXPECT_EQ(totals_.current()->schemas[0].items, 4u);
    EXPECT_EQ(totals_.prepared()->schemas[0].items, 5u);
    totals_.settle(committed);
    EXPECT_FALSE(totals_.in_doubt());
    EXPECT_EQ(totals_.current()->schemas[0].items, committed ? 5u : 4u);
  }
}

TEST_F(SharedTotalsTest, CountsPreparedWhileNothingWasKnown) {
  totals_.prepare(totals_of(8, 5));
  EXPECT_FALSE(totals_.current());
  totals_.settle(false);
  EXPECT_FALSE(totals_.current());
  totals_.prepare(totals_of(8, 5));
  totals_.settle(true);
  EXPECT_EQ(totals_.current()->schemas[0].items, 5u);
}

TEST_F(SharedTotalsTest, AnotherBootForgets) {
  ASSERT_TRUE(totals_.adopt_boot());
  totals_.set(totals_of(7, 4));
  ASSERT_TRUE(totals_.adopt_boot());
  EXPECT_TRUE(totals_.current());
  area_.boot.fetch_add(2);
  ASSERT_TRUE(totals_.adopt_boot());
  EXPECT_FALSE(totals_.current());
}

TEST_F(SharedTotalsTest, DamageIsFoundOut) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    totals_.forget();
    totals_.set(totals_of(7, 4));
    totals_.set(totals_of(8, 5));
    auto *bytes = reinterpret_cast<unsigned char *>(&area_.banks);
    bytes[random() % sizeof area_.banks] ^= static_cast<unsigned char>(1u << random() % 8);
    if (std::optional<FileTotals> current = totals_.current()) {
      EXPECT_EQ(current->last_version, 8u);
    }
  }
}

// Whichever bit of the area is flipped, in whatever state: what is told then is true, or nothing is.
TEST_F(SharedTotalsTest, NoFlippedBitBringsOtherCounts) {
  const std::vector<std::function<void()>> states = {
      [&] { totals_.set(totals_of(8, 5)); },
      [&] { totals_.set(totals_of(8, 5)), totals_.set(totals_of(9, 6)); },
      [&] { totals_.prepare(totals_of(8, 5)), totals_.settle(false); },
      [&] { totals_.prepare(totals_of(8, 5)), totals_.settle(true); },
      [&] { totals_.prepare(totals_of(8, 5)); },
  };
  auto *bytes = reinterpret_cast<unsigned char *>(&area_);
  for (size_t rounds : {1, 2, 1000}) {
    for (const auto &bring_about : states) {
      totals_.forget();
      for (size_t i = 0; i < rounds; ++i) totals_.set(totals_of(7, 4));
      bring_about();
      const FileTotals expected = *totals_.current();
      const bool in_doubt = totals_.in_doubt();
      for (size_t bit = 0; bit < 8 * sizeof area_; ++bit) {
        bytes[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
        if (std::optional<FileTotals> current = totals_.current()) {
          EXPECT_EQ(current->last_version, expected.last_version) << "bit " << bit;
          EXPECT_EQ(current->schemas[0].items, expected.schemas[0].items) << "bit " << bit;
          EXPECT_EQ(totals_.in_doubt(), in_doubt) << "bit " << bit;
        }
        bytes[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
      }
    }
  }
}

// The counts of a store, as a writer that dies in the middle of a commit leaves them, a boot, or a wild pointer.
class StoreTotalsTest : public ::testing::Test {
 protected:
  std::unique_ptr<SqliteStore> open() {
    StoreOptions options;
    options.path = path_;
    options.schema_version = "1";
    options.durability = Durability::kOff;
    options.touch_delay_seconds = 3600;
    LogScope log(logger_);
    return std::make_unique<SqliteStore>(options, logger_, log);
  }
  void close(Store &store) {
    LogScope log(logger_);
    store.close(log);
  }
  static void put(Store &store, std::string_view key) {
    auto transaction = store.begin();
    transaction->put(Key(key), "value", false, 1);
    transaction->commit([] {});
  }
  static void erase(Store &store, std::string_view key) {
    auto transaction = store.begin();
    EXPECT_TRUE(transaction->erase(Key(key)));
    transaction->commit([] {});
  }
  // As an open store has it mapped.
  SharedTotals::Area &area() {
    if (!file_) file_ = std::make_unique<SharedFile>(path_ + "-dbc", 0600);
    return *file_->totals();
  }

  // Back to the moment before the last commit was settled: both banks are as they were then.
  void unsettle() {
    SharedTotals::State state = SharedTotals::State::unsealed(area().state);
    area().state.store(SharedTotals::State{state.sequence - 1, true}.sealed());
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "cache.db";
  Logger logger_{nullptr, kLogOff};
  std::unique_ptr<SharedFile> file_;
};

TEST_F(StoreTotalsTest, AWriterThatDiedBeforeItsCommitLeavesTheOldCounts) {
  auto store = open();
  put(*store, "a");
  FileTotals next = *SharedTotals(&area()).current();
  next.evidence_version = ++next.last_version;
  next.evidence += 1;
  next.schemas[0].items = 77;
  SharedTotals(&area()).prepare(next);
  EXPECT_EQ(store->totals().items, 1u);
  put(*store, "b");
  EXPECT_EQ(store->totals().items, 2u);
  EXPECT_EQ(store->totals().bytes, 10u);
  close(*store);
}

TEST_F(StoreTotalsTest, AWriterThatDiedAfterItsCommitLeavesTheNewCounts) {
  for (bool by_erasing : {false, true}) {
    auto store = open();
    put(*store, "a");
    put(*store, "b");
    if (by_erasing) erase(*store, "b");
    unsettle();
    ASSERT_TRUE(SharedTotals(&area()).in_doubt());
    EXPECT_EQ(store->totals().items, by_erasing ? 1u : 2u);
    put(*store, "c");
    EXPECT_EQ(store->totals().items, by_erasing ? 2u : 3u);
    erase(*store, "a");
    erase(*store, "c");
    if (!by_erasing) erase(*store, "b");
    close(*store);
  }
}

TEST_F(StoreTotalsTest, AfterAnotherBootAllIsCountedAgain) {
  auto store = open();
  for (const char *key : {"a", "b", "c"}) put(*store, key);
  uint64_t version = SharedTotals(&area()).current()->last_version;
  // Not closed: the table has not been brought up to date.
  ASSERT_TRUE(SharedTotals(&area()).current()->table_is_stale);
  area().boot.fetch_add(2);
  auto other = open();
  EXPECT_EQ(other->totals().items, 3u);
  EXPECT_EQ(other->totals().bytes, 15u);
  EXPECT_GE(SharedTotals(&area()).current()->last_version, version);
  EXPECT_FALSE(SharedTotals(&area()).current()->table_is_stale);
  close(*other);
  close(*store);
}

TEST_F(StoreTotalsTest, ACloseLeavesTrueCountsInTheTable) {
  auto store = open();
  for (const char *key : {"a", "b", "c"}) put(*store, key);
  close(*store);
  store.reset();
  file_.reset();
  ASSERT_EQ(unlink((path_ + "-dbc").c_str()), 0);
  store = open();
  EXPECT_EQ(store->totals().items, 3u);
  close(*store);
}

TEST_F(StoreTotalsTest, AnOlderCopyOfTheFileIsNotTakenForTheLatest) {
  auto store = open();
  put(*store, "a");
  close(*store);
  std::filesystem::copy_file(path_, path_ + ".copy");
  store = open();
  put(*store, "b");
  put(*store, "c");
  close(*store);
  store.reset();
  std::filesystem::rename(path_ + ".copy", path_);
  store = open();
  EXPECT_EQ(store->totals().items, 1u);
  put(*store, "b");
  EXPECT_EQ(store->totals().items, 2u);
  close(*store);
}

TEST_F(StoreTotalsTest, DamagedCountsAreCountedAgain) {
  auto store = open();
  put(*store, "a");
  std::mt19937 random(2);
  for (int round = 1; round <= 50; ++round) {
    unsigned char *bytes = reinterpret_cast<unsigned char *>(&area().banks);
    for (size_t i = 0; i < sizeof area().banks; ++i) bytes[i] = static_cast<unsigned char>(random());
    EXPECT_EQ(store->totals().items, static_cast<uint64_t>(round));
    put(*store, "key " + std::to_string(round));
    EXPECT_EQ(store->totals().items, static_cast<uint64_t>(round) + 1);
  }
  close(*store);
}

// While the store is open, at rest, after a commit that was taken back, and after a writer that died behind its commit.
TEST_F(StoreTotalsTest, NoFlippedBitMakesCountsWrong) {
  enum Before { kNothing, kTakenBack, kUnsettled, kCount };
  auto store = open();
  put(*store, "a");
  auto flip = [&](size_t bit) {
    reinterpret_cast<unsigned char *>(&area())[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
  };
#ifdef __SANITIZE_THREAD__
  constexpr size_t kStep = 61;  // no threads to look at here, and each commit that is settled moves 65536 words
#else
  constexpr size_t kStep = 1;
#endif
  for (size_t bit = 0; bit < 8 * sizeof area(); bit += kStep) {
    for (int before = 0; before < kCount; ++before) {
      for (const char *change : {"put", "erase"}) {  // so that both banks have their turn
        bool there = change == std::string("put");
        if (there) {
          put(*store, "b");
        } else {
          erase(*store, "b");
        }
        if (before == kTakenBack) {
          FileTotals next = *SharedTotals(&area()).current();
          next.evidence_version = next.last_version += 1000;
          next.schemas[0].items = 77;
          SharedTotals(&area()).prepare(next);
          SharedTotals(&area()).settle(false);
        }
        if (before == kUnsettled) unsettle();
        flip(bit);
        // A checkpoint in the background may have the writer lock just now; a doubt is settled by who has it next.
        if (before == kUnsettled) store->begin();
        ASSERT_EQ(store->totals().items, there ? 2u : 1u) << "bit " << bit << ", " << before << ", after a " << change;
        ASSERT_EQ(store->totals().bytes, there ? 10u : 5u) << "bit " << bit << ", " << before << ", after a " << change;
      }
    }
  }
  close(*store);
}

// More schema versions than the shared file has room for: the counts are in the table then.
TEST_F(StoreTotalsTest, ManySchemaVersions) {
  std::vector<std::unique_ptr<SqliteStore>> stores;
  for (int version = 0; version < 6; ++version) {
    StoreOptions options;
    options.path = path_;
    options.schema_version = std::to_string(version);
    options.touch_delay_seconds = 3600;
    LogScope log(logger_);
    stores.push_back(std::make_unique<SqliteStore>(options, logger_, log));
    put(*stores.back(), "key " + std::to_string(version));
  }
  for (size_t i = 0; i < stores.size(); ++i) put(*stores[i], "other " + std::to_string(i));
  EXPECT_EQ(stores[0]->totals().items, 12u);
  erase(*stores[3], "key 3");
  EXPECT_EQ(stores[5]->totals().items, 11u);
  for (auto &store : stores) close(*store);
  EXPECT_EQ(open()->totals().items, 11u);
}

// A child is killed between two system calls of a put, wherever that may be; the counts are true afterwards.
TEST_F(StoreTotalsTest, CountsAreTrueAfterKills) {
  for (int round = 0; round < 20; ++round) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = open();
      for (int i = 0;; ++i) {
        put(*store, std::to_string(round) + ":" + std::to_string(i));
        if (i % 3 == 2) erase(*store, std::to_string(round) + ":" + std::to_string(i - 1));
      }
    }
    usleep(20'000 + 997 * static_cast<unsigned>(round));
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    auto store = open();
    Totals totals = store->totals();
    sqlite3 *raw = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &raw), SQLITE_OK);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    sqlite3_stmt *count = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(raw, "SELECT count(*), total(size) FROM item", -1, &count, nullptr), SQLITE_OK);
    ASSERT_EQ(sqlite3_step(count), SQLITE_ROW);
    EXPECT_EQ(totals.items, static_cast<uint64_t>(sqlite3_column_int64(count, 0)));
    EXPECT_EQ(totals.bytes, static_cast<uint64_t>(sqlite3_column_double(count, 1)));
    sqlite3_finalize(count);
    sqlite3_close(raw);
    close(*store);
  }
}

}  // namespace
}  // namespace dbc
