// Compressed values in the file: which are, what is counted, and that no damage to them is ever given out.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "base/hash.h"
#include "base/log.h"
#include "disk/sqlite_store.h"
#include "processes.h"

namespace dbc {
namespace {

using testing::TemporaryDirectory;

class CompressedStoreTest : public ::testing::Test {
 protected:
  ~CompressedStoreTest() override { sqlite3_close(raw_); }

  std::unique_ptr<SqliteStore> open(Compression compression, const std::string &path) {
    StoreOptions options;
    options.path = path;
    options.schema_version = "1";
    options.durability = Durability::kOff;
    options.touch_delay_seconds = 3600;
    options.compression = compression;
    LogScope log(logger_);
    return std::make_unique<SqliteStore>(options, logger_, log);
  }
  std::unique_ptr<SqliteStore> open(Compression compression) { return open(compression, path_); }
  void close(Store &store) {
    LogScope log(logger_);
    store.close(log);
  }

  static void put(Store &store, std::string_view key, std::string_view value, bool text = false) {
    auto transaction = store.begin();
    transaction->put(Key(key), value, text, 1);
    transaction->commit([] {});
  }
  static Lookup read(Store &store, std::string_view key) {
    return store.read(Key(key), Want::kValue, 0, Store::kExactly);
  }
  static std::string value_of(Store &store, std::string_view key) {
    Lookup found = read(store, key);
    return found.item ? std::string(found.item->value()) : "(none)";
  }

  // The file as others see it.
  sqlite3 *raw() {
    if (!raw_) {
      EXPECT_EQ(sqlite3_open(path_.c_str(), &raw_), SQLITE_OK);
      sqlite3_db_config(raw_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
      sqlite3_exec(raw_, "PRAGMA synchronous=OFF", nullptr, nullptr, nullptr);
    }
    return raw_;
  }
  // The first column of the first row; `data` is ?1.
  std::string query(const std::string &sql, const std::string &data = "") {
    sqlite3_stmt *statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(raw(), sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sqlite3_errmsg(raw());
    sqlite3_bind_blob64(statement, 1, data.data(), data.size(), SQLITE_STATIC);
    std::string answer;
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
      const void *bytes = sqlite3_column_blob(statement, 0);
      answer.assign(static_cast<const char *>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement, 0)));
    } else {
      EXPECT_EQ(result, SQLITE_DONE) << sqlite3_errmsg(raw());
    }
    sqlite3_finalize(statement);
    return answer;
  }
  std::string about(const std::string &key) {
    return query(
        "SELECT encoding || ' ' || typeof(data) || ' ' || size || (CASE WHEN length(CAST(data AS BLOB)) < size "
        "THEN ' smaller' ELSE '' END) FROM item WHERE key = '" +
        key + "'");
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "cache.db";
  Logger logger_{nullptr, kLogOff};

 private:
  sqlite3 *raw_ = nullptr;
};

const std::string kText =
    "{\"name\": \"Ada\", \"friends\": [\"Grace\", \"Grace\", \"Grace\", \"Grace\", \"Grace\", \"Grace\"]}";
const std::string kBytes = std::string(200, '\0') + "\xFF end";

TEST_F(CompressedStoreTest, ByDefaultValuesAreStoredAsGiven) {
  EXPECT_EQ(StoreOptions().compression, Compression::kNone);
  auto store = open(Compression::kNone);
  put(*store, "text", kText, true);
  put(*store, "bytes", kBytes);
  EXPECT_EQ(about("text"), "0 text " + std::to_string(kText.size()));
  EXPECT_EQ(about("bytes"), "0 blob " + std::to_string(kBytes.size()));
  close(*store);
}

#ifdef DBC_WITH_ZSTD

std::string noise(size_t size) {
  std::mt19937_64 random(size);
  std::string bytes(size, '\0');
  for (char &byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST_F(CompressedStoreTest, ValuesAreStoredSmallerAndComeBackWhole) {
  for (const std::string &path : {path_, std::string(":memory:")}) {
    auto store = open(Compression::kZstd, path);
    put(*store, "text", kText, true);
    put(*store, "bytes", kBytes);
    put(*store, "large", std::string(3'000'000, 'x'), true);
    EXPECT_EQ(value_of(*store, "text"), kText);
    EXPECT_EQ(value_of(*store, "bytes"), kBytes);
    EXPECT_EQ(value_of(*store, "large"), std::string(3'000'000, 'x'));
    EXPECT_TRUE(read(*store, "text").item->text());
    EXPECT_TRUE(read(*store, "large").item->text());
    EXPECT_FALSE(read(*store, "bytes").item->text());
    // What is counted is what was given.
    EXPECT_EQ(read(*store, "text").item->size(), kText.size());
    EXPECT_EQ(store->totals().bytes, kText.size() + kBytes.size() + 3'000'000);
    if (path == path_) {
      EXPECT_EQ(about("text"), "1 blob " + std::to_string(kText.size()) + " smaller");
      EXPECT_EQ(about("bytes"), "2 blob " + std::to_string(kBytes.size()) + " smaller");
      EXPECT_EQ(query("SELECT length(data) < 1000 FROM item WHERE key = 'large'"), "1");
      EXPECT_EQ(query("SELECT value = data AND cache.size = item.size FROM cache JOIN item USING (key)"), "1");
    }
    close(*store);
  }
}

TEST_F(CompressedStoreTest, WhatGetsNoSmallerIsStoredAsGiven) {
  auto store = open(Compression::kZstd);
  for (size_t size : {0, 1, 63}) put(*store, "k" + std::to_string(size), std::string(size, 'x'), true);
  put(*store, "noise", noise(1000));
  EXPECT_EQ(about("k0"), "0 text 0");
  EXPECT_EQ(about("k1"), "0 text 1");
  EXPECT_EQ(about("k63"), "0 text 63");
  EXPECT_EQ(about("noise"), "0 blob 1000");
  EXPECT_EQ(value_of(*store, "k0"), "");
  EXPECT_EQ(value_of(*store, "k63"), std::string(63, 'x'));
  EXPECT_EQ(value_of(*store, "noise"), noise(1000));
  close(*store);
}

TEST_F(CompressedStoreTest, AFileMayHoldBothKinds) {
  auto plain = open(Compression::kNone), compressing = open(Compression::kZstd);
  put(*plain, "a", kText, true);
  put(*compressing, "b", kText, true);
  for (SqliteStore *store : {plain.get(), compressing.get()}) {
    for (const char *key : {"a", "b"}) {
      EXPECT_EQ(value_of(*store, key), kText);
      EXPECT_TRUE(read(*store, key).item->text());
    }
    EXPECT_EQ(store->totals().bytes, 2 * kText.size());
  }
  // One and the same item goes back and forth.
  put(*compressing, "a", kText, true);
  EXPECT_EQ(about("a").substr(0, 6), "1 blob");
  EXPECT_EQ(value_of(*plain, "a"), kText);
  put(*compressing, "a", kBytes);
  EXPECT_EQ(about("a").substr(0, 6), "2 blob");
  EXPECT_EQ(value_of(*plain, "a"), kBytes);
  put(*plain, "a", kText, true);
  EXPECT_EQ(about("a").substr(0, 6), "0 text");
  EXPECT_EQ(value_of(*compressing, "a"), kText);
  put(*compressing, "a", kText, true);
  put(*compressing, "a", "short", true);
  EXPECT_EQ(about("a"), "0 text 5");
  EXPECT_EQ(value_of(*plain, "a"), "short");
  close(*plain);
  close(*compressing);
  plain = open(Compression::kNone);
  EXPECT_EQ(value_of(*plain, "b"), kText);
  close(*plain);
}

// What a read finds after `sql` has changed the row of `key`.
#define EXPECT_DAMAGED(store, key)                   \
  do {                                               \
    Lookup found = read(store, key);                 \
    EXPECT_EQ(found.state, Lookup::State::kDamaged); \
    EXPECT_FALSE(found.item);                        \
  } while (false)

TEST_F(CompressedStoreTest, NoFlippedBitGivesOtherBytes) {
  auto store = open(Compression::kZstd);
  put(*store, "k", kText, true);
  const std::string stored = query("SELECT data FROM item");
  int sound = 0;
  for (size_t bit = 0; bit < 8 * stored.size(); ++bit) {
    std::string damaged = stored;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    query("UPDATE item SET data = ?1", damaged);
    Lookup found = read(*store, "k");
    if (found.state == Lookup::State::kPresent) {
      ++sound;  // a bit without a meaning
      EXPECT_EQ(found.item->value(), kText) << bit;
    } else {
      EXPECT_EQ(found.state, Lookup::State::kDamaged) << bit;
      EXPECT_FALSE(found.item);
    }
  }
  EXPECT_LE(sound, 4);
  for (size_t size = 0; size < stored.size(); ++size) {
    query("UPDATE item SET data = ?1", stored.substr(0, size));
    EXPECT_DAMAGED(*store, "k");
  }
  query("UPDATE item SET data = ?1", stored + '\0');
  EXPECT_DAMAGED(*store, "k");
  query("UPDATE item SET data = ?1", stored);
  EXPECT_EQ(value_of(*store, "k"), kText);
  close(*store);
}

TEST_F(CompressedStoreTest, ARowThatContradictsItselfIsDamaged) {
  auto store = open(Compression::kZstd);
  put(*store, "k", kText, true);
  put(*store, "other", kText, true);
  const std::string stored = query("SELECT data FROM item WHERE key = 'k'");
  auto expect_damaged_with = [&](const std::string &column, const std::string &value) {
    SCOPED_TRACE(column + " = " + value);
    std::string before = query("SELECT " + column + " FROM item WHERE key = 'k'");
    query("UPDATE item SET " + column + " = " + value + " WHERE key = 'k'");
    EXPECT_DAMAGED(*store, "k");
    query("UPDATE item SET " + column + " = " + before + " WHERE key = 'k'");
    EXPECT_EQ(value_of(*store, "k"), kText);
  };
  for (const char *encoding : {"0", "3", "-1", "4294967297", "9223372036854775807"})
    expect_damaged_with("encoding", encoding);
  for (const char *size : {"0", "1", "size - 1", "size + 1", "-1", "4294967296 + size", "4294967296", "1000000000"}) {
    expect_damaged_with("size", size);
  }
  expect_damaged_with("checksum", "checksum + 1");
  // Sound bytes of the same size, of another key.
  query(
      "UPDATE item SET data = (SELECT data FROM item WHERE key = 'other'), checksum = (SELECT checksum FROM item WHERE "
      "key = 'other') WHERE key = 'k'");
  EXPECT_DAMAGED(*store, "k");
  // What was given as it is, and is called compressed.
  query("UPDATE item SET data = ?1, checksum = " +
            std::to_string(static_cast<int64_t>(hash_bytes(kText, Key("k").hash))) + ", encoding = 0 WHERE key = 'k'",
        kText);
  EXPECT_EQ(value_of(*store, "k"), kText);
  query("UPDATE item SET encoding = 1 WHERE key = 'k'");
  EXPECT_DAMAGED(*store, "k");
  query("UPDATE item SET data = 7 WHERE key = 'k'");
  EXPECT_DAMAGED(*store, "k");
  close(*store);
}

// Not even an attempt to have the memory: the test would be killed, or wait long.
TEST_F(CompressedStoreTest, AHostileRowThatClaimsGibibytesIsDamaged) {
  auto store = open(Compression::kZstd);
  put(*store, "k", kText, true);
  for (uint64_t claim : {uint64_t{900'000'000}, uint64_t{4} << 30, (uint64_t{4} << 30) + 8, uint64_t{1} << 62}) {
    std::string frame("\x28\xB5\x2F\xFD\xE0", 5);
    frame.append(reinterpret_cast<const char *>(&claim), sizeof claim);
    frame.append("\x43\0\0\0", 4);  // the last block: one zero byte, repeated 8 times
    query("UPDATE item SET size = " + std::to_string(claim) + ", data = ?1", frame);
    EXPECT_DAMAGED(*store, "k");
  }
  close(*store);
}

#else

TEST_F(CompressedStoreTest, WithoutZstdACompressedValueIsUnreadable) {
  auto store = open(Compression::kZstd);
  put(*store, "k", kText, true);
  EXPECT_EQ(about("k"), "0 text " + std::to_string(kText.size()));
  EXPECT_EQ(value_of(*store, "k"), kText);
  for (const char *encoding : {"1", "2"}) {
    query(std::string("UPDATE item SET encoding = ") + encoding);
    Lookup found = read(*store, "k");
    EXPECT_EQ(found.state, Lookup::State::kUnreadable);
    EXPECT_FALSE(found.item);
  }
  close(*store);
}

#endif

}  // namespace
}  // namespace dbc
