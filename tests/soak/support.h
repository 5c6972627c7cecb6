// What the soak tests share: a cache by its C API, with every error a failure of the process that got it, and how long
// to go on.
//
// Processes here are forked before they open anything, so each has a cache of its own; the test's own process opens
// none while it forks.
#pragma once

#include <math.h>
#include <sqlite3.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../unit/processes.h"
#include "dbc.h"

namespace dbc::testing {

using Clock = std::chrono::steady_clock;

// How long a test goes on: `seconds` in `make test`, where all of them together shall take less than a minute; more in
// `make soak`, which sets SOAK_SCALE.
inline std::chrono::duration<double> duration_of(double seconds) {
  const char *scale = std::getenv("SOAK_SCALE");
  return std::chrono::duration<double>(seconds * (scale ? std::atof(scale) : 1));
}
inline bool long_run() { return duration_of(1).count() > 2; }

class Deadline {
 public:
  explicit Deadline(double seconds) : end_(Clock::now() + duration_of(seconds)) {}
  bool passed() const { return Clock::now() >= end_; }

 private:
  std::chrono::time_point<Clock, std::chrono::duration<double>> end_;
};

// xorshift64*: the same numbers everywhere for the same seed.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }
  uint64_t below(uint64_t limit) { return next() % limit; }

 private:
  uint64_t state_;
};

class Failure : public std::runtime_error {
  using std::runtime_error::runtime_error;
};
#define REQUIRE(CONDITION, ...)                                                                                 \
  do {                                                                                                          \
    if (!(CONDITION)) throw ::dbc::testing::Failure(::dbc::testing::text(__LINE__, #CONDITION, ##__VA_ARGS__)); \
  } while (false)

template <typename... Numbers>
std::string text(int line, const char *condition, const Numbers &...numbers) {
  std::ostringstream all;
  all << "line " << line << ": " << condition;
  ((all << ' ' << numbers), ...);
  return all.str();
}

class Options {
 public:
  Options() : options_(dbc_options_new()) {}
  ~Options() { dbc_options_free(options_); }
  Options(Options &&other) noexcept : options_(std::exchange(other.options_, nullptr)) {}
  Options &operator=(Options &&) = delete;
  Options &set(dbc_option option, uint64_t value) { return checked(dbc_options_set_u64(options_, option, value)); }
  Options &set_seconds(dbc_option option, double value) {
    return checked(dbc_options_set_double(options_, option, value));
  }
  const dbc_options *get() const { return options_; }

 private:
  Options &checked(dbc_status status) {
    if (status != DBC_OK) throw Failure(dbc_last_error());
    return *this;
  }
  dbc_options *options_;
};

class Cache {
 public:
  static constexpr uint64_t kAbsent = ~uint64_t{0};

  explicit Cache(const std::string &path, const Options &options = Options()) {
    check(dbc_open(path.c_str(), "1", options.get(), &handle_));
  }
  ~Cache() { dbc_free(handle_); }
  Cache(const Cache &) = delete;
  Cache &operator=(const Cache &) = delete;

  dbc_cache *handle() const { return handle_; }

  // Values are numbers, in as many bytes as wanted.
  void put(const std::string &key, uint64_t number, size_t size = sizeof(uint64_t)) {
    check(dbc_put(handle_, key.data(), key.size(), value(number, size).data(), size, 0, nullptr, nullptr));
  }
  dbc_status try_put(const std::string &key, uint64_t number) {
    return dbc_put(handle_, key.data(), key.size(), &number, sizeof number, 0, nullptr, nullptr);
  }
  uint64_t get(const std::string &key) {
    dbc_value *value = nullptr;
    dbc_status status = dbc_get(handle_, key.data(), key.size(), nullptr, &value);
    if (status == DBC_NOT_FOUND) return kAbsent;
    check(status);
    uint64_t number = number_in(dbc_value_data(value), dbc_value_size(value));
    dbc_value_release(value);
    return number;
  }
  bool remove(const std::string &key) {
    dbc_status status = dbc_delete(handle_, key.data(), key.size());
    if (status != DBC_NOT_FOUND) check(status);
    return status == DBC_OK;
  }
  void clear() { check(dbc_clear(handle_)); }
  void flush() { check(dbc_flush(handle_)); }
  void purge_expired() { check(dbc_purge_expired(handle_, nullptr, nullptr)); }
  void close() { check(dbc_close(handle_)); }
  uint64_t count() {
    uint64_t items = 0;
    check(dbc_count(handle_, &items));
    return items;
  }
  uint64_t bytes() {
    uint64_t bytes = 0;
    check(dbc_total_size(handle_, &bytes));
    return bytes;
  }
  uint64_t stat(dbc_stat stat) {
    uint64_t values[DBC_STAT_COUNT];
    check(dbc_stats(handle_, values, DBC_STAT_COUNT, nullptr));
    return values[stat];
  }

  static void check(dbc_status status) {
    if (status != DBC_OK) throw Failure(std::string(dbc_status_name(status)) + ": " + dbc_last_error());
  }

 private:
  std::string value(uint64_t number, size_t size) {
    std::string bytes(size, static_cast<char>(number));
    std::memcpy(bytes.data(), &number, sizeof number);
    return bytes;
  }
  // A value is whole, or it is no number that was ever put.
  static uint64_t number_in(const void *data, size_t size) {
    uint64_t number = 0;
    if (size < sizeof number) throw Failure("a value of " + std::to_string(size) + " bytes");
    std::memcpy(&number, data, sizeof number);
    for (size_t i = sizeof number; i < size; ++i) {
      if (static_cast<const char *>(data)[i] != static_cast<char>(number)) throw Failure("a value in pieces");
    }
    return number;
  }

  dbc_cache *handle_ = nullptr;
};

inline std::string key_of(uint64_t number) { return std::string("key").append(std::to_string(number)); }

// A look into the file by SQLite alone. Not in a process that has the cache open.
class Sql {
 public:
  explicit Sql(const std::string &path) {
    if (sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READONLY, nullptr) != SQLITE_OK)
      throw Failure("open " + path);
    sqlite3_busy_timeout(handle_, 10'000);
  }
  ~Sql() { sqlite3_close(handle_); }
  Sql(const Sql &) = delete;
  Sql &operator=(const Sql &) = delete;

  // The columns of the first row.
  std::vector<std::string> row(const char *query) {
    sqlite3_stmt *statement = nullptr;
    if (sqlite3_prepare_v2(handle_, query, -1, &statement, nullptr) != SQLITE_OK)
      throw Failure(sqlite3_errmsg(handle_));
    int result = sqlite3_step(statement);
    std::vector<std::string> values;
    for (int i = 0; result == SQLITE_ROW && i < sqlite3_column_count(statement); ++i) {
      const unsigned char *value = sqlite3_column_text(statement, i);
      values.emplace_back(value ? reinterpret_cast<const char *>(value) : "NULL");
    }
    sqlite3_finalize(statement);
    if (result != SQLITE_ROW) throw Failure(std::string("no row: ") + query);
    return values;
  }
  std::string value(const char *query) { return row(query).at(0); }

 private:
  sqlite3 *handle_ = nullptr;
};

// Items and bytes by a scan.
constexpr const char *kScan = "SELECT count(*), CAST(total(size) AS INTEGER) FROM cache";

// Is the file what it should be, now that all who used it are gone, in whatever way? What the library counts is what
// there is.
inline void expect_sound(const std::string &path) {
  SharedObject<std::atomic<uint64_t>> items, bytes;
  Child library([&] {
    Options options;
    options.set(DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL).set_seconds(DBC_BUSY_TIMEOUT_SECONDS, 0);
    Cache cache(path, options);  // at once: no lock was left behind
    *items = cache.count();
    *bytes = cache.bytes();
    return 0;
  });
  EXPECT_EQ(library.wait(), 0) << path;
  Child sqlite([&] {
    Sql sql(path);
    std::string integrity = sql.value("PRAGMA integrity_check");
    if (integrity != "ok") throw Failure(integrity);
    std::vector<std::string> scan = sql.row(kScan);
    REQUIRE(std::stoull(scan[0]) == *items, scan[0], *items);
    REQUIRE(std::stoull(scan[1]) == *bytes, scan[1], *bytes);
    REQUIRE(std::stoull(sql.value("SELECT count(*) FROM eviction_order")) == *items, *items);
    REQUIRE(std::stoull(sql.value("SELECT CAST(total(items) AS INTEGER) FROM schema_version")) == *items, *items);
    return 0;
  });
  EXPECT_EQ(sqlite.wait(), 0) << path;
}

}  // namespace dbc::testing
