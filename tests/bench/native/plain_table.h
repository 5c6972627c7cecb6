// The floor on disk: the plain way to keep items in SQLite. One table, an index for the order of eviction, prepared
// statements, SQLite's own checkpoints. The page cache is as large as the library's, and so is the durability.
#pragma once

#include <sqlite3.h>

#include <cstring>
#include <string>

#include "settings.h"

namespace bench {

class PlainTable {
 public:
  explicit PlainTable(const std::string &file) {
    check(sqlite3_open_v2(file.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                          nullptr));
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA synchronous=NORMAL");
    execute("PRAGMA cache_size=-16384");
    execute("CREATE TABLE cache(key TEXT PRIMARY KEY, value BLOB, timestamp REAL, schema_version TEXT, size INTEGER)");
    execute("CREATE INDEX cache_order ON cache(timestamp, key)");
    select_ = prepare("SELECT value FROM cache WHERE key = ?1");
    upsert_ = prepare(
        "INSERT INTO cache VALUES(?1, ?2, ?3, '1', ?4) ON CONFLICT(key) DO UPDATE SET value = excluded.value, "
        "timestamp = excluded.timestamp, schema_version = excluded.schema_version, size = excluded.size");
    touch_ = prepare("UPDATE cache SET timestamp = ?2 WHERE key = ?1");
  }
  ~PlainTable() {
    for (sqlite3_stmt *statement : {select_, upsert_, touch_}) sqlite3_finalize(statement);
    sqlite3_close(database_);
  }
  PlainTable(const PlainTable &) = delete;
  PlainTable &operator=(const PlainTable &) = delete;

  void put(const std::string &key, const std::string &value) {
    bind(upsert_, 1, key);
    check(sqlite3_bind_blob(upsert_, 2, value.data(), static_cast<int>(value.size()), SQLITE_STATIC));
    check(sqlite3_bind_double(upsert_, 3, ++time_));
    check(sqlite3_bind_int64(upsert_, 4, static_cast<int64_t>(value.size())));
    run(upsert_);
  }
  // Copies the value, as large as `capacity` at most.
  void get(const std::string &key, char *buffer, size_t capacity) {
    bind(select_, 1, key);
    require(sqlite3_step(select_) == SQLITE_ROW, "select", sqlite3_errmsg(database_));
    size_t size = static_cast<size_t>(sqlite3_column_bytes(select_, 0));
    std::memcpy(buffer, sqlite3_column_blob(select_, 0), std::min(size, capacity));
    sqlite3_reset(select_);
  }
  void touch(const std::string &key) {
    bind(touch_, 1, key);
    check(sqlite3_bind_double(touch_, 2, ++time_));
    run(touch_);
  }
  void begin() { execute("BEGIN IMMEDIATE"); }
  void commit() { execute("COMMIT"); }
  void fill(const std::vector<std::string> &keys, const std::string &value) {
    for (size_t i = 0; i < keys.size(); ++i) {
      if (i % kBatch == 0) begin();
      put(keys[i], value);
      if (i % kBatch == kBatch - 1 || i + 1 == keys.size()) commit();
    }
  }

 private:
  void check(int result) { require(result == SQLITE_OK, "sqlite", sqlite3_errmsg(database_)); }
  void execute(const char *sql) { check(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr)); }
  void run(sqlite3_stmt *statement) {
    require(sqlite3_step(statement) == SQLITE_DONE, "sqlite", sqlite3_errmsg(database_));
    check(sqlite3_reset(statement));
  }
  sqlite3_stmt *prepare(const char *sql) {
    sqlite3_stmt *statement = nullptr;
    check(sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
    return statement;
  }
  void bind(sqlite3_stmt *statement, int index, const std::string &text) {
    check(sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC));
  }

  sqlite3 *database_ = nullptr;
  sqlite3_stmt *select_ = nullptr, *upsert_ = nullptr, *touch_ = nullptr;
  double time_ = 0;
};

}  // namespace bench
