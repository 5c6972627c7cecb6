// The order of eviction, part of which waits in the shared file, against a map that is sorted anew each time.
#include "disk/eviction_order.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "disk/connection.h"
#include "disk/sqlite_store.h"
#include "processes.h"
#include "share/shared_file.h"

namespace dbc {
namespace {

constexpr size_t kMost = WaitingPlaces::kMost;

class EvictionOrderTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { close(); }

  void open() {
    StoreOptions options;
    options.path = path_;
    options.schema_version = "1";
    options.durability = Durability::kOff;
    options.touch_delay_seconds = 3600;
    LogScope log(logger_);
    store_ = std::make_unique<SqliteStore>(options, logger_, log);
  }
  void close() {
    LogScope log(logger_);
    store_->close(log);
    store_.reset();
  }
  // As after a kill: nothing is written that was not.
  void abandon() { store_.reset(); }
  // As after a power cut, or with a copy of the file.
  void lose_what_is_shared() {
    abandon();
    ASSERT_EQ(unlink((path_ + "-dbc").c_str()), 0);
    open();
  }
  WaitingPlaces waiting() const { return SharedTotals(SharedFile(path_ + "-dbc", 0600).totals()).current()->waiting; }

  void put(const std::string &key, double time) {
    auto transaction = store_->begin();
    transaction->put(Key(key), "value", false, time);
    transaction->commit([] {});
    times_[key] = time;
  }
  // A put of a fresh key into a full cache; the key that went.
  std::string exchange(const std::string &key, double time) {
    auto transaction = store_->begin();
    std::optional<Removed> removed;
    transaction->put(Key(key), "value", false, time, 0, &removed);
    times_[key] = time;
    if (!removed) removed = transaction->evict_oldest();
    transaction->commit([] {});
    return removed->key;
  }
  std::string evict() {
    auto transaction = store_->begin();
    std::optional<Removed> removed = transaction->evict_oldest();
    transaction->commit([] {});
    return removed ? removed->key : "(none)";
  }
  bool erase(const std::string &key) {
    auto transaction = store_->begin();
    bool erased = transaction->erase(Key(key));
    transaction->commit([] {});
    return erased;
  }
  // What is to go next by the map, taken out of it.
  std::string next() {
    auto first = std::min_element(times_.begin(), times_.end(), [](const auto &a, const auto &b) {
      return std::pair(a.second, a.first) < std::pair(b.second, b.first);
    });
    if (first == times_.end()) return "(none)";
    std::string key = first->first;
    times_.erase(first);
    return key;
  }
  void expect_sound() {
    CheckReport report;
    store_->check(&report);
    EXPECT_EQ(report.problems(), 0u) << report.text();
    EXPECT_EQ(store_->totals().items, times_.size());
  }
  void expect_rest_in_order() {
    while (!times_.empty() && !HasFailure()) EXPECT_EQ(evict(), next());
    EXPECT_EQ(evict(), "(none)");
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "cache.db";
  Logger logger_{nullptr, kLogOff};
  std::unique_ptr<SqliteStore> store_;
  std::map<std::string, double> times_;
};

std::string key_of(int number) { return "key " + std::to_string(number); }

TEST_F(EvictionOrderTest, FreshItemsWaitUntilThereAreMany) {
  for (size_t i = 0; i < kMost; ++i) put(key_of(static_cast<int>(i)), static_cast<double>(i));
  EXPECT_EQ(waiting().fresh_count, kMost);
  expect_sound();
  put("one more", 1000);
  EXPECT_EQ(waiting().fresh_count, 1u);
  expect_sound();
  expect_rest_in_order();
}

TEST_F(EvictionOrderTest, PlacesOfEvictedItemsStayUntilThereAreMany) {
  for (int i = 0; i < 200; ++i) put(key_of(i), i);
  for (size_t i = 1; i < kMost; ++i) {
    EXPECT_EQ(evict(), next());
    // Fresh places were entered before the first: what waits now is what is gone.
    EXPECT_LE(waiting().gone_count, i);
  }
  expect_sound();
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(exchange(key_of(1000 + i), 1000 + i), next());
    EXPECT_LT(waiting().gone_count, kMost);
  }
  EXPECT_GT(waiting().gone_count, 0u);
  expect_sound();
  expect_rest_in_order();
}

TEST_F(EvictionOrderTest, AFlushTellsTheOrderEverything) {
  for (int i = 0; i < 100; ++i) put(key_of(i), i);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(exchange(key_of(1000 + i), 1000 + i), next());
  store_->flush();
  EXPECT_EQ(waiting().fresh_count, 0u);
  EXPECT_EQ(waiting().gone_count, 0u);
  expect_sound();
  expect_rest_in_order();
}

TEST_F(EvictionOrderTest, AnItemAmongPlacesThatAreGoneIsNotLost) {
  for (int i = 0; i < 100; ++i) put(key_of(i), 100 + i);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(evict(), next());
  put("early", 105);
  put("first of all", 1);
  put(key_of(99), 104);  // an overwrite that goes back
  put(key_of(3), 103);   // a key whose place is still there, at the same time
  expect_sound();
  expect_rest_in_order();
}

TEST_F(EvictionOrderTest, KeysTooLongToWaitGoAtOnce) {
  const std::string tail(WaitingPlaces::kMostKeyBytes, 'x');
  for (int i = 0; i < 100; ++i) put(i % 3 ? key_of(i) : key_of(i) + tail, i);
  for (int i = 0; i < 60; ++i) EXPECT_EQ(exchange(key_of(i + 1000) + tail, 1000 + i), next());
  expect_sound();
  expect_rest_in_order();
}

TEST_F(EvictionOrderTest, WhatWaitedIsFoundAgainWhenItIsLost) {
  for (int i = 0; i < 130; ++i) put(key_of(i), i / 3);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(exchange(key_of(1000 + i), 40 + i), next());
  for (int i = 0; i < 10; ++i) put("fresh " + key_of(i), 200);
  EXPECT_GT(waiting().fresh_count, 0u);
  EXPECT_GT(waiting().gone_count, 0u);
  lose_what_is_shared();
  expect_sound();
  expect_rest_in_order();
  // With nothing left but places of what is gone.
  for (int i = 0; i < 30; ++i) put(key_of(i), i);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(evict(), next());
  lose_what_is_shared();
  expect_sound();
  put("a", 1);
  expect_rest_in_order();
}

// What waits belongs to one state of the file. With another one in its place, by the same boot of the machine, it is
// forgotten with the counts.
TEST_F(EvictionOrderTest, WhatWaitsForAnotherStateOfTheFileIsForgotten) {
  enum Change { kFresh, kGone, kBoth, kCount };
  for (bool backup : {false, true}) {
    for (int change = 0; change < kCount; ++change) {
      SCOPED_TRACE((backup ? "a backup is put back: " : "the WAL is lost: ") + std::to_string(change));
      for (int i = 0; i < 100; ++i) put(key_of(i), i);
      close();
      const auto times = times_;
      std::filesystem::copy_file(path_, path_ + ".backup", std::filesystem::copy_options::overwrite_existing);
      open();
      if (change != kFresh) {
        for (int i = 0; i < 30; ++i) exchange(key_of(99), 99);
      }
      if (change != kGone) {
        for (int i = 0; i < 10; ++i) put("fresh " + key_of(i), 1000 + i);
      }
      EXPECT_GT(waiting().fresh_count + waiting().gone_count, 0u);
      abandon();
      for (const char *which : {"-wal", "-shm"}) std::filesystem::remove(path_ + which);
      if (backup) {
        std::filesystem::copy_file(path_ + ".backup", path_, std::filesystem::copy_options::overwrite_existing);
      }
      times_ = times;
      open();
      expect_sound();
      expect_rest_in_order();
    }
  }
}

// A foreign hand at the items, or a shared file that is older than the rest, is no reason to give a file up.
TEST_F(EvictionOrderTest, WhatWaitsInVainIsLookedForInTheItems) {
  for (int i = 0; i < 100; ++i) put(key_of(i), i);
  Connection(path_, SQLITE_OPEN_READWRITE).execute("DELETE FROM item WHERE key = 'key 99'");
  store_->flush();
  EXPECT_EQ(evict(), "key 0");
  close();
  open();
  EXPECT_EQ(evict(), "key 1");

  for (int i = 0; i < 20; ++i) put("more " + key_of(i), 1000 + i);
  std::filesystem::copy_file(path_ + "-dbc", path_ + "-old");
  for (int i = 20; i < 120; ++i) put("more " + key_of(i), 1000 + i);
  abandon();
  std::filesystem::rename(path_ + "-old", path_ + "-dbc");
  open();
  store_->flush();
  EXPECT_EQ(evict(), "key 2");
  for (const auto &entry : std::filesystem::directory_iterator(directory_.path())) {
    EXPECT_EQ(entry.path().string().find(".corrupt"), std::string::npos) << entry.path();
  }
}

// A handle whose file another has moved aside has no say in what the fresh one's processes share.
TEST_F(EvictionOrderTest, WhoseFileWasReplacedChangesNothingOfTheFreshOne) {
  for (int i = 0; i < 10; ++i) put(key_of(i), i);
  std::unique_ptr<SqliteStore> old = std::move(store_);
  old->report_damage();
  times_.clear();
  open();
  for (int i = 0; i < 5; ++i) put("fresh " + key_of(i), i);
  EXPECT_EQ(waiting().fresh_count, 5u);
  for (const std::function<void()> &call : {std::function<void()>([&] { old->begin(); }), {[&] { old->flush(); }}}) {
    try {
      call();
      ADD_FAILURE() << "it went on";
    } catch (const Error &error) {
      EXPECT_EQ(error.status(), Status::kCorrupt) << error.what();
    }
  }
  LogScope log(logger_);
  old->close(log);
  EXPECT_EQ(waiting().fresh_count, 5u);
  expect_sound();
  expect_rest_in_order();
}

TEST_F(EvictionOrderTest, ACheckSeesThatTheFileDeniesThatSomethingWaits) {
  put("a", 1);
  expect_sound();
  Connection(path_, SQLITE_OPEN_READWRITE).execute("UPDATE meta SET value = 0 WHERE name = 'totals_are_stale'");
  CheckReport report;
  store_->check(&report);
  EXPECT_NE(report.text().find("the order of eviction: it has still to be told"), std::string::npos) << report.text();
}

// With kills, closes and losses between.
TEST_F(EvictionOrderTest, RandomUseEvictsWhatAMapWould) {
  std::mt19937 random(7);
  auto below = [&](unsigned limit) { return random() % limit; };
  int fresh = 0;
  for (int i = 0; i < 20'000 && !HasFailure(); ++i) {
    // Mostly the present, sometimes any time, often the same.
    double time = below(10) ? i / 8 : below(20'000) / 8;
    switch (below(20)) {
      case 0:
        if (!times_.empty()) {
          auto at = times_.lower_bound(key_of(static_cast<int>(below(static_cast<unsigned>(fresh + 1)))));
          if (at == times_.end()) at = times_.begin();
          EXPECT_TRUE(erase(at->first));
          times_.erase(at);
        }
        break;
      case 1:
      case 2:
        EXPECT_EQ(evict(), next());
        break;
      case 3:
      case 4:
      case 5:
        put(key_of(static_cast<int>(below(static_cast<unsigned>(fresh + 1)))), time);
        break;
      case 6:
        if (below(30) == 0) store_->flush();
        break;
      case 7:
        if (below(100) == 0) expect_sound();
        break;
      case 8:
        if (below(40) == 0) {
          if (below(2)) {
            close();
          } else {
            abandon();
          }
          open();
        }
        break;
      case 9:
        if (below(40) == 0) lose_what_is_shared();
        break;
      default: {
        std::string key = key_of(fresh++);
        if (times_.size() < 150) {
          put(key, time);
        } else {
          std::string gone = exchange(key, time);
          EXPECT_EQ(gone, next());
        }
      }
    }
  }
  expect_sound();
  expect_rest_in_order();
}

}  // namespace
}  // namespace dbc
