#include "disk/sqlite_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "disk/format.h"
#include "processes.h"
#include "share/shared_file.h"

namespace dbc {
namespace {

using testing::TemporaryDirectory;

std::atomic<int> refused_opens{0};  // how many opens of the database for writing are to fail

int open_or_not(const char *path, int flags, int mode) {
  if ((flags & O_ACCMODE) == O_RDWR && std::string_view(path).ends_with("cache.db") && refused_opens.load() > 0) {
    --refused_opens;
    errno = EMFILE;
    return -1;
  }
  return open(path, flags, mode);
}

// Then SQLite opens it for reading. That is no damage.
TEST(SqliteStore, AFileThatCannotBeOpenedForWritingNowStaysAtItsPlace) {
  TemporaryDirectory directory;
  Logger logger(nullptr, kLogOff);
  StoreOptions options;
  options.path = directory / "cache.db";
  options.schema_version = "1";
  auto open_and_close = [&] {
    LogScope log(logger);
    SqliteStore(options, logger, log).close(log);
  };
  open_and_close();
  sqlite3_vfs *vfs = sqlite3_vfs_find(nullptr);
  vfs->xSetSystemCall(vfs, "open", reinterpret_cast<sqlite3_syscall_ptr>(open_or_not));
  refused_opens = 1;
  try {
    open_and_close();
    ADD_FAILURE() << "it was opened";
  } catch (const Error &error) {
    EXPECT_EQ(error.status(), Status::kIo) << error.what();
  }
  EXPECT_EQ(refused_opens, 0);
  vfs->xSetSystemCall(vfs, "open", nullptr);
  open_and_close();
  for (const auto &entry : std::filesystem::directory_iterator(std::filesystem::path(options.path).parent_path())) {
    EXPECT_EQ(entry.path().string().find("corrupt"), std::string::npos) << entry.path();
  }
}

// That another file has taken a file's place does not say that it is damaged.
TEST(SqliteStore, AFileThatWasReplacedIsNotTakenForADamagedOne) {
  TemporaryDirectory directory;
  Logger logger(nullptr, kLogOff);
  StoreOptions options;
  options.path = directory / "cache.db";
  options.schema_version = "1";
  LogScope log(logger);
  SqliteStore store(options, logger, log);
  {
    auto transaction = store.begin();
    transaction->put(Key("k"), "value", false, 1);
    transaction->commit([] {});
  }
  SharedFile(options.path + "-dbc", 0600).next_incarnation();
  try {
    store.begin();
    ADD_FAILURE() << "its place is taken";
  } catch (const Error &error) {
    EXPECT_EQ(error.status(), Status::kCorrupt);
    store.report_damage();
  }
  EXPECT_TRUE(store.outdated());
  SqliteStore next(options, logger, log);
  EXPECT_EQ(next.totals().items, 1u);
  next.close(log);
  store.close(log);
}

// Tests without an option about the place run on a file and in memory.
class SqliteStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  bool on_file() const { return GetParam(); }
  std::string path() const { return on_file() ? directory_ / "cache.db" : ":memory:"; }

  std::unique_ptr<SqliteStore> open(const std::string &schema = "1") {
    StoreOptions options;
    options.path = path();
    options.schema_version = schema;
    options.durability = Durability::kOff;
    options.busy_timeout_seconds = 0.1;
    options.touch_delay_seconds = 3600;  // nothing in the background unless a test asks for it
    LogScope log(logger_);
    return std::make_unique<SqliteStore>(options, logger_, log);
  }

  void close(Store &store) {
    LogScope log(logger_);
    store.close(log);
  }

  static uint64_t put(Store &store, std::string_view key, double timestamp, std::string_view value = "value") {
    auto transaction = store.begin();
    uint64_t version = transaction->put(Key(key), value, false, timestamp).version;
    transaction->commit([] {});
    return version;
  }
  static Lookup read(Store &store, std::string_view key) {
    return store.read(Key(key), Want::kValue, 0, Store::kExactly);
  }
  static std::string value_of(Store &store, std::string_view key) {
    Lookup found = read(store, key);
    return found.item ? std::string(found.item->value()) : "(none)";
  }
  // Evicts `count` items; their keys.
  static std::string evict(Store &store, int count) {
    auto transaction = store.begin();
    std::string keys;
    for (int i = 0; i < count; ++i) {
      std::optional<Removed> removed = transaction->evict_oldest();
      keys += removed ? removed->key : "-";
    }
    transaction->commit([] {});
    return keys;
  }
  // A get of that time, as the cache makes it of an item outside memory.
  static ItemRef touch(Store &store, std::string_view key, double timestamp) {
    ItemRef item = read(store, key).item;
    bool backward = timestamp < item->timestamp.load();
    item->timestamp.store(timestamp);
    store.touched(*item, backward);
    return item;
  }
  void execute_in_file(const char *sql) {
    sqlite3 *raw = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &raw), SQLITE_OK);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    EXPECT_EQ(sqlite3_exec(raw, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(raw);
    sqlite3_close(raw);
  }

  TemporaryDirectory directory_;
  Logger logger_{nullptr, kLogOff};
};

// What only a file has: a second life, readers beside a writer.
class SqliteFileTest : public SqliteStoreTest {};

TEST_P(SqliteStoreTest, WhatWasCommittedIsRead) {
  auto store = open();
  EXPECT_EQ(read(*store, "a").state, Lookup::State::kAbsent);
  auto transaction = store->begin();
  Transaction::Written written = transaction->put(Key("a"), "bytes", true, 5);
  int published = 0;
  transaction->commit([&] { ++published; });
  EXPECT_EQ(published, 1);
  Lookup found = read(*store, "a");
  ASSERT_EQ(found.state, Lookup::State::kPresent);
  EXPECT_EQ(found.version, written.version);
  EXPECT_EQ(found.timestamp, 5);
  EXPECT_EQ(found.item->value(), "bytes");
  EXPECT_EQ(found.item->id(), written.id);
  EXPECT_EQ(found.item->key(), "a");
  EXPECT_TRUE(found.item->text());
  close(*store);
}

TEST_P(SqliteStoreTest, TheBytesAreReadOnlyWhenWanted) {
  auto store = open();
  uint64_t version = put(*store, "a", 5, "bytes");
  Lookup head = store->read(Key("a"), Want::kNothing, 0, Store::kExactly);
  EXPECT_EQ(head.state, Lookup::State::kPresent);
  EXPECT_EQ(head.version, version);
  EXPECT_FALSE(head.item);
  EXPECT_EQ(head.fields.size, 5u);
  EXPECT_FALSE(store->read(Key("a"), Want::kValue, version, Store::kExactly).item);
  EXPECT_TRUE(store->read(Key("a"), Want::kValue, version + 1, Store::kExactly).item);
  close(*store);
}

TEST_P(SqliteStoreTest, WithoutACommitNothingHasChanged) {
  auto store = open();
  uint64_t version = put(*store, "a", 5, "old");
  {
    auto transaction = store->begin();
    transaction->put(Key("a"), "new", false, 6);
    transaction->put(Key("b"), "new", false, 6);
    EXPECT_EQ(transaction->totals().items, 2u);
  }
  EXPECT_EQ(value_of(*store, "a"), "old");
  EXPECT_EQ(read(*store, "b").state, Lookup::State::kAbsent);
  EXPECT_EQ(store->totals().items, 1u);
  EXPECT_EQ(store->totals().bytes, 3u);
  EXPECT_GT(put(*store, "a", 7), version);
  close(*store);
}

TEST_P(SqliteStoreTest, VersionsGrowAndAreNeverUsedAgain) {
  auto store = open();
  uint64_t last = 0;
  for (int round = 0; round < 3; ++round) {
    for (const char *key : {"a", "b", "a"}) {
      uint64_t version = put(*store, key, round);
      EXPECT_GT(version, last);
      last = version;
    }
    auto transaction = store->begin();
    if (round == 0) transaction->clear();
    if (round == 1) transaction->erase(Key("a"));
    transaction->commit([] {});
    if (!on_file()) continue;
    close(*store);
    store = open(round == 0 ? "1" : "2");
  }
  close(*store);
}

TEST_P(SqliteStoreTest, TotalsFollowEveryChange) {
  auto store = open();
  auto totals = [&] { return std::pair(store->totals().items, store->totals().bytes); };
  put(*store, "a", 1, "12345");
  put(*store, "b", 2, "");
  EXPECT_EQ(totals(), std::pair(uint64_t{2}, uint64_t{5}));
  put(*store, "a", 3, "123");
  EXPECT_EQ(totals(), std::pair(uint64_t{2}, uint64_t{3}));
  auto transaction = store->begin();
  EXPECT_TRUE(transaction->erase(Key("a")));
  EXPECT_EQ(transaction->totals().items, 1u);
  transaction->commit([] {});
  EXPECT_EQ(totals(), std::pair(uint64_t{1}, uint64_t{0}));
  evict(*store, 1);
  EXPECT_EQ(totals(), std::pair(uint64_t{0}, uint64_t{0}));
  close(*store);
}

TEST_P(SqliteStoreTest, ErasesTheVersionThatWasMeant) {
  auto store = open();
  uint64_t version = put(*store, "a", 1);
  auto transaction = store->begin();
  EXPECT_FALSE(transaction->erase(Key("b")));
  EXPECT_FALSE(transaction->erase(Key("a"), version + 1));
  EXPECT_FALSE(transaction->erase(Key("a"), 0));
  EXPECT_TRUE(transaction->erase(Key("a"), version));
  EXPECT_FALSE(transaction->erase(Key("a"), version));
  transaction->commit([] {});
  EXPECT_EQ(read(*store, "a").state, Lookup::State::kAbsent);
  close(*store);
}

TEST_P(SqliteStoreTest, TheVictimIsTheOldestAndAmongEqualsTheFirstKey) {
  auto store = open();
  // By code point, U+FFFD comes before U+1F511.
  const std::string replacement = "\xEF\xBF\xBD", clef = "\xF0\x9F\x94\x91";
  for (const std::string &key : {clef, replacement, std::string("b"), std::string("a"), std::string("ab")})
    put(*store, key, 5);
  put(*store, "z", -1);
  put(*store, "y", 7);
  EXPECT_EQ(evict(*store, 8), "za" + std::string("ab") + "b" + replacement + clef + "y-");
  close(*store);
}

TEST_P(SqliteStoreTest, VictimsFollowOverwritesForwardAndBack) {
  auto store = open();
  put(*store, "a", 1);
  put(*store, "b", 2);
  put(*store, "c", 3);
  put(*store, "a", 9);
  put(*store, "c", 0);
  EXPECT_EQ(evict(*store, 3), "cba");
  close(*store);
}

TEST_P(SqliteStoreTest, VictimsFollowTouchesPendingOrWritten) {
  for (bool flushed : {false, true}) {
    auto store = open();
    put(*store, "a", 1);
    put(*store, "b", 2);
    put(*store, "c", 3);
    put(*store, "d", 4);
    touch(*store, "a", 10);
    touch(*store, "d", 0);
    if (flushed) store->flush();
    EXPECT_EQ(read(*store, "a").timestamp, 10);
    EXPECT_EQ(read(*store, "d").timestamp, 0);
    touch(*store, "d", 2.5);
    EXPECT_EQ(read(*store, "d").timestamp, 2.5);
    EXPECT_EQ(evict(*store, 4), "bdca");
    close(*store);
    if (on_file()) std::filesystem::remove(path());
  }
}

TEST_P(SqliteStoreTest, TouchesOfAnOlderVersionAreMoot) {
  auto store = open();
  put(*store, "a", 1);
  touch(*store, "a", 10);
  put(*store, "a", 2);
  put(*store, "b", 3);
  EXPECT_EQ(read(*store, "a").timestamp, 2);
  store->flush();
  EXPECT_EQ(read(*store, "a").timestamp, 2);
  EXPECT_EQ(evict(*store, 2), "ab");
  close(*store);
}

// SQLite gives the last row's number away again, and a write-behind put has its version long before its row.
TEST_P(SqliteStoreTest, ATouchOfAnItemThatIsGoneSparesTheOneInItsRow) {
  auto store = open();
  uint64_t reserved = store->reserve_version();
  put(*store, "gone", 1);
  ItemRef gone = read(*store, "gone").item;
  {
    auto transaction = store->begin();
    transaction->erase(Key("gone"));
    Transaction::Written written = transaction->put(Key("next"), "value", false, 2, reserved);
    ASSERT_EQ(written.id, gone->id());
    ASSERT_LT(written.version, gone->version());
    transaction->commit([] {});
  }
  touch(*store, "next", 10);
  store->flush();
  gone->timestamp.store(5);
  store->touched(*gone, false);
  store->flush();
  EXPECT_EQ(read(*store, "next").timestamp, 10);
  touch(*store, "next", 11);
  store->flush();
  EXPECT_EQ(read(*store, "next").timestamp, 11);
  put(*store, "other", 6);
  EXPECT_EQ(evict(*store, 2), "othernext");
  close(*store);
}

TEST_P(SqliteStoreTest, WhatATransactionTookFromTheLogComesBackWhenItFails) {
  auto store = open();
  put(*store, "a", 5);
  touch(*store, "a", 1);
  {
    auto transaction = store->begin();
    EXPECT_EQ(transaction->write_touches(100), 0u);
  }
  EXPECT_EQ(read(*store, "a").timestamp, 1);
  store->flush();
  EXPECT_EQ(read(*store, "a").timestamp, 1);
  close(*store);
}

TEST_P(SqliteStoreTest, ExpiryLooksAtPendingTouches) {
  auto store = open();
  for (const char *key : {"a", "b", "c", "d"}) put(*store, key, 0);
  touch(*store, "b", 50);
  put(*store, "e", 100);
  touch(*store, "e", 10);
  auto transaction = store->begin();
  EXPECT_FALSE(transaction->erase_if_expired(Key("b"), 100, 60));
  EXPECT_FALSE(transaction->erase_if_expired(Key("a"), 100, 100));  // on the border it is still good
  EXPECT_TRUE(transaction->erase_if_expired(Key("a"), 100, 99));
  std::vector<Removed> removed;
  Progress progress;
  EXPECT_TRUE(transaction->erase_expired(100, 60, 1000, &progress, &removed));
  transaction->commit([] {});
  std::vector<std::string> keys;
  for (const Removed &item : removed) keys.push_back(item.key);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(keys, (std::vector<std::string>{"c", "d", "e"}));
  EXPECT_EQ(store->totals().items, 1u);
  close(*store);
}

TEST_P(SqliteStoreTest, ExpiredItemsGoInParts) {
  auto store = open();
  const std::string key(100, 'k');  // no string holds it in itself
  for (int i = 0; i < 20; ++i) put(*store, key + std::to_string(i), i % 5);
  for (int i = 0; i < 20; i += 3) touch(*store, key + std::to_string(i), 50);
  std::vector<Removed> removed;
  Progress progress;
  std::vector<size_t> parts;
  for (bool all = false; !all; parts.push_back(removed.size())) {
    auto transaction = store->begin();
    all = transaction->erase_expired(100, 60, 4, &progress, &removed);
    transaction->commit([] {});
  }
  EXPECT_EQ(parts, (std::vector<size_t>{4, 8, 12, 13}));
  for (int i = 0; i < 20; ++i) {
    Lookup::State expected = i % 3 == 0 ? Lookup::State::kPresent : Lookup::State::kAbsent;
    EXPECT_EQ(read(*store, key + std::to_string(i)).state, expected) << i;
  }
  close(*store);
}

// An item that will be its own victim is seen to be it before anything is written about the others.
TEST_P(SqliteStoreTest, ANewItemOlderThanAllTakesNoPlace) {
  auto store = open();
  for (const char *key : {"a", "b", "c"}) put(*store, key, 10);
  for (const char *key : {"a", "b", "c"}) touch(*store, key, 20);
  auto transaction = store->begin();
  std::optional<Removed> victim;
  transaction->put(Key("d"), "value", false, 5, 0, &victim);
  EXPECT_FALSE(victim);
  std::optional<Removed> oldest = transaction->evict_oldest();
  ASSERT_TRUE(oldest);
  EXPECT_EQ(oldest->key, "d");
  transaction->commit([] {});
  EXPECT_EQ(evict(*store, 3), "abc");
  close(*store);
}

// Other threads go on to use items while one looks for the oldest, here all of them before each of its statements.
TEST_P(SqliteStoreTest, LookingForTheOldestEndsHoweverHotAllItemsAre) {
  static std::vector<ItemRef> hot;
  static double clock;
  static int statements;
  auto traced = [](sqlite3 *handle, char **, const sqlite3_api_routines *) {
    sqlite3_trace_v2(
        handle, SQLITE_TRACE_STMT,
        [](unsigned, void *, void *, void *) {
          if (++statements > 5000) return 0;  // for the sake of whoever never comes to an end
          ++clock;
          for (const ItemRef &item : hot) item->timestamp.store(clock);
          return 0;
        },
        nullptr);
    return SQLITE_OK;
  };
  int (*extension)(sqlite3 *, char **, const sqlite3_api_routines *) = traced;
  sqlite3_auto_extension(reinterpret_cast<void (*)()>(extension));
  auto store = open();
  sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(extension));
  for (double timestamp : {10.0, 1e9}) {  // of the new item: before all that is done meanwhile, and after it
    SCOPED_TRACE(timestamp);
    for (int i = 0; i < 20; ++i) put(*store, "key" + std::to_string(i), 1);
    clock = 100;
    for (int i = 0; i < 20; ++i) hot.push_back(touch(*store, "key" + std::to_string(i), clock));
    auto transaction = store->begin();
    statements = 0;
    std::optional<Removed> victim;
    transaction->put(Key("new"), "value", false, timestamp, 0, &victim);
    EXPECT_EQ(victim.has_value(), timestamp > 100);
    EXPECT_TRUE(transaction->evict_oldest());
    EXPECT_LT(statements, 200);
    hot.clear();
    transaction->commit([] {});
  }
  close(*store);
}

TEST_P(SqliteStoreTest, ClearTakesPendingTouchesAlong) {
  auto store = open();
  put(*store, "a", 5);
  touch(*store, "a", 9);
  auto transaction = store->begin();
  transaction->clear();
  EXPECT_EQ(transaction->totals().items, 0u);
  transaction->commit([] {});
  EXPECT_EQ(read(*store, "a").state, Lookup::State::kAbsent);
  EXPECT_EQ(store->totals().items, 0u);
  put(*store, "a", 1);
  EXPECT_EQ(read(*store, "a").timestamp, 1);
  store->flush();
  EXPECT_EQ(read(*store, "a").timestamp, 1);
  close(*store);
}

TEST_P(SqliteStoreTest, GenerationsAreOddUntilMemoryHasFollowed) {
  auto store = open();
  Key key("a");
  uint64_t before = store->generations().word(key.hash);
  auto transaction = store->begin();
  transaction->put(key, "v", false, 1);
  EXPECT_EQ(store->generations().word(key.hash), before);  // nothing is in doubt before the commit
  uint64_t promised = 0;
  transaction->commit([&] {
    EXPECT_FALSE(Generations::stable(store->generations().word(key.hash)));
    promised = store->generations().next_stable(key.hash);
  });
  EXPECT_EQ(store->generations().word(key.hash), promised);
  EXPECT_EQ(read(*store, "a").item->generation.load(), promised);

  touch(*store, "a", 7);
  store->flush();
  EXPECT_EQ(store->generations().word(key.hash), promised);  // touches do not move them
  { store->begin()->erase(key); }
  EXPECT_EQ(store->generations().word(key.hash), promised);  // nor does what was not committed
  transaction.reset();
  transaction = store->begin();
  transaction->clear();
  transaction->commit([] {});
  EXPECT_GT(store->generations().word(key.hash), promised);
  close(*store);
}

TEST_P(SqliteStoreTest, OneWriterAtATime) {
  auto store = open();
  auto transaction = store->begin();
  std::thread([&] {
    try {
      store->begin();
      ADD_FAILURE() << "two writers";
    } catch (const Error &error) {
      EXPECT_EQ(error.status(), Status::kBusy);
    }
  }).join();
  transaction.reset();
  EXPECT_NO_THROW(store->begin());
  close(*store);
}

TEST_P(SqliteStoreTest, ASnapshotSeesTouchesThatWerePendingWhenItBegan) {
  auto store = open();
  put(*store, "a", 1);
  put(*store, "b", 1);
  touch(*store, "b", 9);
  {
    auto snapshot = store->snapshot();
    EXPECT_EQ(snapshot->read(Key("a"), Want::kValue, 0).timestamp, 1);
    // What is pending is written meanwhile, as the maintenance thread may at any moment (in memory, only after the
    // snapshot).
    if (on_file()) std::thread([&] { store->flush(); }).join();
    EXPECT_EQ(snapshot->read(Key("b"), Want::kValue, 0).timestamp, 9);
  }
  close(*store);
}

TEST_P(SqliteStoreTest, APendingTouchIsInAllThatAReadGives) {
  auto store = open();
  put(*store, "a", 1);
  touch(*store, "a", 7);
  Lookup found = read(*store, "a");
  EXPECT_EQ(found.timestamp, 7);
  EXPECT_EQ(found.fields.timestamp, 7);
  EXPECT_EQ(found.item->timestamp.load(), 7);
}

TEST_P(SqliteStoreTest, AWayBackOfAnOlderVersionIsMoot) {
  auto store = open();
  put(*store, "a", 10);
  touch(*store, "a", 1);
  put(*store, "a", 20);
  put(*store, "b", 15);
  store->flush();
  EXPECT_EQ(read(*store, "a").timestamp, 20);
  EXPECT_EQ(evict(*store, 1), "b");
}

TEST_P(SqliteStoreTest, AWayBackBehindAWrittenTouchIsWritten) {
  auto store = open();
  put(*store, "a", 1);
  for (double time : {10.0, 5.0}) {
    touch(*store, "a", time);
    store->flush();
    EXPECT_EQ(read(*store, "a").timestamp, time);
  }
}

TEST_P(SqliteStoreTest, AReadThatIsContentWithARecentTimeSeesAWayBack) {
  auto store = open();
  put(*store, "a", 10);
  touch(*store, "a", 5);
  store->flush();
  EXPECT_EQ(store->read(Key("a"), Want::kValue, 0, 8).timestamp, 5);
}

// A row may be read just before its item is put anew. What was noted of its access counts all the same: else a get
// would take what was just used for expired.
TEST_P(SqliteStoreTest, NoReadFallsBehindATouchOfAStateThatIsReplaced) {
  auto store = open();
  const std::string large(1 << 20, 'x');
  put(*store, "a", 1, large);
  std::atomic<double> least{1};
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over && !HasFailure()) {
      double bound = least.load();
      EXPECT_GE(read(*store, "a").timestamp, bound);
    }
  });
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1000);
  for (double time = 2; std::chrono::steady_clock::now() < end && !HasFailure(); ++time) {
    put(*store, "a", time - 0.5, static_cast<int64_t>(time) % 2 == 0 ? large : "small");
    touch(*store, "a", time);
    least = time;
    std::this_thread::sleep_for(std::chrono::microseconds(static_cast<int64_t>(time) % 7 * 100));
  }
  over = true;
  reader.join();
}

// A read that began before a batch of touches was written must not come back with the time of before.
TEST_P(SqliteStoreTest, NoReadFallsBehindATouchThatIsBeingWritten) {
  auto store = open();
  put(*store, "a", 1);
  std::atomic<bool> over{false};
  std::thread writer([&] {
    while (!over) store->flush();
  });
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  for (double time = 2; std::chrono::steady_clock::now() < end; ++time) {
    touch(*store, "a", time);
    EXPECT_EQ(read(*store, "a").timestamp, time);
    std::unique_ptr<Snapshot> snapshot = store->snapshot();
    EXPECT_EQ(snapshot->read(Key("a"), Want::kNothing, 0).timestamp, time);
    if (HasFailure()) break;
  }
  over = true;
  writer.join();
}

TEST_P(SqliteFileTest, ASnapshotIsOfOneMoment) {
  auto store = open();
  put(*store, "a", 1, "old");
  put(*store, "b", 1, "old");
  auto snapshot = store->snapshot();
  EXPECT_EQ(snapshot->read(Key("a"), Want::kValue, 0).item->value(), "old");
  put(*store, "b", 2, "new");
  EXPECT_EQ(snapshot->read(Key("b"), Want::kValue, 0).item->value(), "old");
  EXPECT_EQ(value_of(*store, "b"), "new");
  snapshot.reset();
  close(*store);
}

TEST_P(SqliteFileTest, ItemsOfAnotherSchemaAreToldApartAndErased) {
  auto store = open("1");
  put(*store, "a", 1);
  put(*store, "b", 1);
  close(*store);
  store = open("2");
  put(*store, "c", 1);
  EXPECT_EQ(read(*store, "a").state, Lookup::State::kOtherSchema);
  EXPECT_EQ(store->totals().items, 3u);
  put(*store, "b", 2);  // takes the place of the other
  EXPECT_EQ(read(*store, "b").state, Lookup::State::kPresent);
  EXPECT_EQ(store->totals().items, 3u);
  auto transaction = store->begin();
  EXPECT_EQ(transaction->erase_other_schemas(), 1u);
  EXPECT_EQ(transaction->erase_other_schemas(), 0u);
  transaction->commit([] {});
  EXPECT_EQ(read(*store, "a").state, Lookup::State::kAbsent);
  EXPECT_EQ(value_of(*store, "c"), "value");
  EXPECT_EQ(store->totals().items, 2u);
  close(*store);
}

// Also where only the state is asked for, and the value is never looked at.
TEST_P(SqliteFileTest, ASizeThatNoValueHasIsDamage) {
  auto store = open();
  put(*store, "a", 1, "value");
  for (const char *size : {"1000000001", "1 << 40", "-1"}) {
    execute_in_file((std::string("UPDATE item SET size = ") + size).c_str());
    for (Want want : {Want::kNothing, Want::kValue}) {
      EXPECT_EQ(store->read(Key("a"), want, 0, Store::kExactly).state, Lookup::State::kDamaged) << size;
    }
  }
  close(*store);
}

TEST_P(SqliteFileTest, ADamagedValueIsNeverGivenOut) {
  auto store = open();
  for (const char *key : {"a", "b", "c", "d"}) put(*store, key, 1, std::string("value of ") + key);
  execute_in_file("UPDATE item SET data = CAST('other bytes' AS BLOB) WHERE key = 'a'");
  execute_in_file("UPDATE item SET data = x'' WHERE key = 'b'");
  // Sound bytes, of the same size, of another key.
  execute_in_file("UPDATE item SET data = (SELECT data FROM item WHERE key = 'd') WHERE key = 'c'");
  for (const char *key : {"a", "b", "c"}) {
    Lookup found = read(*store, key);
    EXPECT_EQ(found.state, Lookup::State::kDamaged) << key;
    EXPECT_FALSE(found.item) << key;
  }
  EXPECT_EQ(value_of(*store, "d"), "value of d");
  close(*store);
}

// Large ones are read in another way: the longest of the one kind, the shortest of the other, and one of many pages.
TEST_P(SqliteFileTest, ValuesOfEverySizeComeBack) {
  auto store = open();
  for (size_t size : {size_t{0}, size_t{1}, size_t{32768}, size_t{32769}, size_t{3'000'000}}) {
    for (bool text : {false, true}) {
      std::string value(size, 'x');
      for (size_t i = 0; i < size; ++i) value[i] = static_cast<char>('a' + i * i % 23);
      auto transaction = store->begin();
      transaction->put(Key("k"), value, text, 1);
      transaction->commit([] {});
      Lookup found = read(*store, "k");
      ASSERT_EQ(found.state, Lookup::State::kPresent) << size;
      EXPECT_TRUE(found.item->value() == value) << size;
      EXPECT_EQ(found.item->text(), text) << size;
      EXPECT_EQ(found.item->size(), size);
    }
  }
  close(*store);
}

TEST_P(SqliteFileTest, ADamagedLargeValueIsNeverGivenOut) {
  auto store = open();
  for (const char *change :
       {"data = 12345", "data = x''", "data = 1.5", "data = zeroblob(100000)", "data = 'short'", "size = 99999",
        "size = 100001", "size = 5", "data = CAST(substr(data, 1, 99999) || 'y' AS BLOB)"}) {
    put(*store, "k", 1, std::string(100'000, 'x'));
    ASSERT_EQ(read(*store, "k").state, Lookup::State::kPresent);
    execute_in_file((std::string("UPDATE item SET ") + change).c_str());
    Lookup found = read(*store, "k");
    EXPECT_EQ(found.state, Lookup::State::kDamaged) << change;
    EXPECT_FALSE(found.item) << change;
  }
  close(*store);
}

// A row is the value and 4096 bytes at the most, so what is refused is refused before SQLite is asked, of which a build
// may allow less than others.
TEST_P(SqliteFileTest, TheLargestValueFitsWithTheLongestKey) {
  auto lower = [](sqlite3 *handle, char **, const sqlite3_api_routines *) {
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, 100'000);
    return SQLITE_OK;
  };
  int (*extension)(sqlite3 *, char **, const sqlite3_api_routines *) = lower;
  sqlite3_auto_extension(reinterpret_cast<void (*)()>(extension));
  auto store = open();
  sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(extension));
  std::string key;
  for (int i = 0; i < 256; ++i) key += "\xf0\x9f\x98\x80";
  put(*store, key, 1, std::string(100'000 - 4096, 'v'));
  EXPECT_EQ(value_of(*store, key).size(), 100'000u - 4096);
  try {
    put(*store, "larger", 2, std::string(100'000 - 4095, 'v'));
    ADD_FAILURE();
  } catch (const Error &error) {
    EXPECT_EQ(error.status(), Status::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("95904"), std::string::npos) << error.what();
  }
  EXPECT_EQ(value_of(*store, key).size(), 100'000u - 4096);
  close(*store);
}

// A file outlives many schema versions.
TEST_P(SqliteFileTest, CountsAreSharedHoweverManySchemaVersionsThereWere) {
  for (int i = 0; i < 8; ++i) {
    auto store = open(std::to_string(i));
    put(*store, "key" + std::to_string(i), i);
    auto transaction = store->begin();
    transaction->erase_other_schemas();
    transaction->commit([] {});
    transaction.reset();
    close(*store);
  }
  auto store = open("8");
  auto other = open("7");
  put(*store, "a", 1);
  put(*other, "b", 1);
  auto writer = other->begin();
  // Without the writer lock, which is held.
  EXPECT_EQ(store->totals().items, 3u);
  writer.reset();
  EXPECT_EQ(evict(*store, 4),
            "ab"
            "key7-");
  EXPECT_EQ(other->totals().items, 0u);
  close(*store);
  close(*other);
  execute_in_file("SELECT 1");
}

TEST_P(SqliteFileTest, HitsWithoutEndDoNotKeepAFlushFromEnding) {
  auto store = open();
  std::vector<ItemRef> items;
  for (int i = 0; i < 10'000; ++i) {
    std::string key = "key" + std::to_string(i);
    put(*store, key, 1);
    items.push_back(read(*store, key).item);
    items.back()->resident.store(true);
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (double time = 2; !stop; ++time) {
        for (const ItemRef &item : items) {
          item->timestamp.store(time);
          if (!item->touched.load()) store->touched(*item, false);
        }
      }
    });
  }
  for (int i = 0; i < 10; ++i) store->flush();
  stop = true;
  for (std::thread &thread : threads) thread.join();
  for (const ItemRef &item : items) item->resident.store(false);
  close(*store);
}

TEST_P(SqliteFileTest, AFileOfFormat1IsMigratedWithAllItHolds) {
  execute_in_file(R"sql(
PRAGMA journal_mode=WAL;
PRAGMA application_id=0x64626331;
PRAGMA user_version=1;
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE schema_version(
  id INTEGER PRIMARY KEY,
  version TEXT NOT NULL UNIQUE,
  items INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  last_version INTEGER NOT NULL DEFAULT 0);
CREATE TABLE item(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, timestamp REAL NOT NULL, recorded REAL NOT NULL,
  version INTEGER NOT NULL, schema_id INTEGER NOT NULL, size INTEGER NOT NULL, checksum INTEGER NOT NULL);
CREATE INDEX item_order ON item(recorded, key);
CREATE TABLE value(id INTEGER PRIMARY KEY, data NOT NULL);
CREATE VIEW cache(key, value, timestamp, schema_version, size) AS
  SELECT item.key, value.data, item.timestamp, schema_version.version, item.size
  FROM item JOIN value USING (id) JOIN schema_version ON schema_version.id = item.schema_id;
INSERT INTO meta VALUES('database_id', 77), ('first_version', 5);
INSERT INTO schema_version VALUES(1, '1', 3, 15, 9);
INSERT INTO value VALUES(1, 'value'), (2, x'0001020304'), (5, x'');
PRAGMA wal_checkpoint(TRUNCATE);
)sql");
  auto insert = [&](int id, const std::string &key, std::string_view value, int timestamp, int recorded, int version) {
    execute_in_file(("INSERT INTO item VALUES(" + std::to_string(id) + ", '" + key + "', " + std::to_string(timestamp) +
                     ", " + std::to_string(recorded) + ", " + std::to_string(version) + ", 1, " +
                     std::to_string(value.size()) + ", " +
                     std::to_string(static_cast<int64_t>(hash_bytes(value, Key(key).hash))) + ")")
                        .c_str());
  };
  insert(1, "a", "value", 30, 10, 7);
  insert(2, "b", std::string_view("\0\1\2\3\4", 5), 20, 20, 8);
  insert(5, "c", "", 25, 5, 9);

  auto store = open();
  EXPECT_EQ(store->totals().items, 3u);
  EXPECT_EQ(store->totals().bytes, 10u);
  EXPECT_EQ(value_of(*store, "a"), "value");
  EXPECT_TRUE(read(*store, "a").item->text());
  EXPECT_EQ(read(*store, "a").timestamp, 30);
  EXPECT_EQ(read(*store, "a").version, 7u);
  EXPECT_EQ(value_of(*store, "b"), std::string("\0\1\2\3\4", 5));
  EXPECT_EQ(value_of(*store, "c"), "");
  EXPECT_GT(put(*store, "d", 40), 9u);
  EXPECT_EQ(evict(*store, 4), "bcad");
  close(*store);
  store = open();
  EXPECT_EQ(store->totals().items, 0u);
  close(*store);
}

TEST_P(SqliteFileTest, AFileOfFormat2IsMigratedWithAllItHolds) {
  auto store = open();
  for (const char *key : {"a", "b", "c"}) put(*store, key, 1);
  close(*store);
  store.reset();
  execute_in_file("PRAGMA user_version=2");
  store = open();
  EXPECT_EQ(store->totals().items, 3u);
  put(*store, "d", 2);
  EXPECT_EQ(evict(*store, 4), "abcd");
  close(*store);
  EXPECT_EQ(Connection(path(), SQLITE_OPEN_READWRITE).query_integer("PRAGMA user_version"), kFormatVersion);
}

TEST_P(SqliteFileTest, AForeignProgramThatHoldsTheFileMakesItBusy) {
  auto store = open();
  put(*store, "a", 1);
  sqlite3 *raw = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  try {
    put(*store, "a", 2, "new");
    ADD_FAILURE() << "wrote beside another writer";
  } catch (const Error &error) {
    EXPECT_EQ(error.status(), Status::kBusy);
  }
  EXPECT_EQ(value_of(*store, "a"), "value");  // readers do not wait
  sqlite3_exec(raw, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  put(*store, "a", 3, "new");
  EXPECT_EQ(value_of(*store, "a"), "new");
  close(*store);
}

TEST_P(SqliteFileTest, TouchesReachTheFileByThemselvesAndByClosing) {
  auto store = open();
  put(*store, "a", 1);
  touch(*store, "a", 9);
  close(*store);
  store = open();
  EXPECT_EQ(read(*store, "a").timestamp, 9);
  close(*store);

  StoreOptions options;
  options.path = path();
  options.schema_version = "1";
  options.touch_delay_seconds = 0.01;
  LogScope log(logger_);
  SqliteStore quick(options, logger_, log);
  touch(quick, "a", 20);
  auto other = open();
  EXPECT_TRUE(testing::wait_for([&] { return read(*other, "a").timestamp == 20; }));
  close(*other);
  close(quick);
}

// Someone always reads: none of them for long, but no moment is without. SQLite begins the WAL anew only in such a
// moment.
TEST_P(SqliteFileTest, ReadersWhoseTimesOverlapDoNotLetTheWalGrowWithoutEnd) {
  auto store = open();
  constexpr size_t kSize = 1 << 20;
  put(*store, "a", 1, std::string(kSize, '.'));
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      sqlite3 *raw = nullptr;
      failures += sqlite3_open_v2(path().c_str(), &raw, SQLITE_OPEN_READONLY, nullptr) != SQLITE_OK;
      sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
      sqlite3_busy_timeout(raw, 10'000);
      while (!stop) {
        failures += sqlite3_exec(raw, "BEGIN; SELECT count(*) FROM item", nullptr, nullptr, nullptr) != SQLITE_OK;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        failures += sqlite3_exec(raw, "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK;
      }
      sqlite3_close(raw);
    });
  }
  constexpr uintmax_t kWritten = 256 << 20;
  uintmax_t largest = 0;
  for (uintmax_t written = 0; written < kWritten; written += kSize) {
    // Other bytes than before: SQLite leaves pages alone that would not change.
    put(*store, "a", 1, std::string(kSize, static_cast<char>('a' + written / kSize % 2)));
    largest = std::max(largest, std::filesystem::file_size(path() + "-wal"));
  }
  stop = true;
  for (std::thread &reader : readers) reader.join();
  EXPECT_EQ(failures, 0);
  // It is 64 MiB and a put if no reader is slow to go; all that was written if nobody waits for readers.
  EXPECT_LT(largest, kWritten * 3 / 4);
  close(*store);
}

INSTANTIATE_TEST_SUITE_P(Places, SqliteStoreTest, ::testing::Bool(),
                         [](const auto &about) { return about.param ? "OnFile" : "InMemory"; });

INSTANTIATE_TEST_SUITE_P(Places, SqliteFileTest, ::testing::Values(true));

}  // namespace
}  // namespace dbc
