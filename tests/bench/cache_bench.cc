// What calls cost, each beside a floor that is measured in the same run: what a program would pay that did without the
// library. Prints one JSON object; run.py makes a table of it.
//
//   cache_bench [--directory=DIR] [--repetitions=5] [--scale=1.0]
//
// Everything is repeated, floors and calls taking turns, so that a slow moment of the machine meets both. The number
// given is the median of the repetitions; within one it is the mean of many calls.
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dbc.h"

namespace {

constexpr size_t kValueSize = 512;
constexpr uint64_t kItems = 100'000;
constexpr uint64_t kHotItems = 1000;
constexpr size_t kBatch = 1000;

struct Arguments {
  std::string directory;
  int repetitions = 5;
  double scale = 1;
} arguments;

void require(bool good, const char *what, const char *why) {
  if (!good) throw std::runtime_error(std::string(what) + ": " + why);
}

std::string key_of(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "key:%012llu", static_cast<unsigned long long>(number));
  return text;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// ---------------------------------------------------------------------------------------------------- results ----

struct Series {
  std::string name;
  std::vector<double> microseconds;
};
std::vector<Series> results;

void record(const std::string &name, double microseconds) {
  for (Series &series : results) {
    if (series.name == name) {
      series.microseconds.push_back(microseconds);
      return;
    }
  }
  results.push_back({name, {microseconds}});
}

// Runs call(0 .. calls-1), and records the mean of what one took; `each` divides it further (items of a batch).
template <typename Call>
void measure(const std::string &name, uint64_t calls, Call &&call, double each = 1) {
  calls = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(calls) * arguments.scale));
  double start = seconds();
  for (uint64_t i = 0; i < calls; ++i) call(i);
  record(name, (seconds() - start) * 1e6 / static_cast<double>(calls) / each);
}

void print_results() {
  std::printf("{\"unit\": \"microseconds a call or item, median of repetitions\", \"results\": {\n");
  for (size_t i = 0; i < results.size(); ++i) {
    std::vector<double> sorted = results[i].microseconds;
    std::sort(sorted.begin(), sorted.end());
    std::printf("  \"%s\": {\"median\": %.4f, \"least\": %.4f, \"most\": %.4f}%s\n", results[i].name.c_str(),
                sorted[sorted.size() / 2], sorted.front(), sorted.back(), i + 1 < results.size() ? "," : "");
  }
  std::printf("}}\n");
}

// ----------------------------------------------------------------------------------------------------- floors ----

// The plain way to keep items in SQLite: one table, an index for the order of eviction, SQLite's own checkpoints.
class PlainTable {
 public:
  explicit PlainTable(const std::string &path) {
    check(sqlite3_open_v2(path.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                          nullptr));
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA synchronous=NORMAL");
    execute("PRAGMA cache_size=-16384");
    execute("CREATE TABLE cache(key TEXT PRIMARY KEY, value, timestamp REAL, schema_version TEXT, size INTEGER)");
    execute("CREATE INDEX cache_order ON cache(timestamp, key)");
    select_ = prepare("SELECT value FROM cache WHERE key = ?1");
    upsert_ = prepare(
        "INSERT INTO cache VALUES(?1, ?2, ?3, '1', ?4) ON CONFLICT(key) DO UPDATE SET value = excluded.value, "
        "timestamp = excluded.timestamp, size = excluded.size");
    touch_ = prepare("UPDATE cache SET timestamp = ?2 WHERE key = ?1");
  }
  ~PlainTable() {
    for (sqlite3_stmt *statement : {select_, upsert_, touch_}) sqlite3_finalize(statement);
    sqlite3_close(database_);
  }
  PlainTable(const PlainTable &) = delete;
  PlainTable &operator=(const PlainTable &) = delete;

  void execute(const char *sql) { check(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr)); }
  void put(const std::string &key, const std::string &value) {
    bind(upsert_, 1, key);
    check(sqlite3_bind_blob(upsert_, 2, value.data(), static_cast<int>(value.size()), SQLITE_STATIC));
    check(sqlite3_bind_double(upsert_, 3, ++time_));
    check(sqlite3_bind_int64(upsert_, 4, static_cast<int64_t>(value.size())));
    require(sqlite3_step(upsert_) == SQLITE_DONE, "upsert", sqlite3_errmsg(database_));
    sqlite3_reset(upsert_);
  }
  void get(const std::string &key, char *buffer) {
    bind(select_, 1, key);
    require(sqlite3_step(select_) == SQLITE_ROW, "select", sqlite3_errmsg(database_));
    std::memcpy(buffer, sqlite3_column_blob(select_, 0), static_cast<size_t>(sqlite3_column_bytes(select_, 0)));
    sqlite3_reset(select_);
  }
  void touch(const std::string &key) {
    bind(touch_, 1, key);
    check(sqlite3_bind_double(touch_, 2, ++time_));
    require(sqlite3_step(touch_) == SQLITE_DONE, "touch", sqlite3_errmsg(database_));
    sqlite3_reset(touch_);
  }
  void fill(uint64_t first, uint64_t count, const std::string &value) {
    execute("BEGIN");
    for (uint64_t i = first; i < first + count; ++i) put(key_of(i), value);
    execute("COMMIT");
  }

 private:
  void check(int result) { require(result == SQLITE_OK, "sqlite", sqlite3_errmsg(database_)); }
  sqlite3_stmt *prepare(const char *sql) {
    sqlite3_stmt *statement = nullptr;
    check(sqlite3_prepare_v2(database_, sql, -1, &statement, nullptr));
    return statement;
  }
  void bind(sqlite3_stmt *statement, int index, const std::string &text) {
    check(sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC));
  }

  sqlite3 *database_ = nullptr;
  sqlite3_stmt *select_ = nullptr, *upsert_ = nullptr, *touch_ = nullptr;
  double time_ = 0;
};

// ------------------------------------------------------------------------------------------------ the library ----

class Cache {
 public:
  struct Limits {
    uint64_t memory_items = 10'000;
    uint64_t disk_items = 10'000'000;
    double touch_delay_seconds = 1;
  };

  Cache(const std::string &path, const Limits &limits) {
    dbc_options *options = dbc_options_new();
    dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, limits.memory_items);
    dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, limits.disk_items);
    dbc_options_set_u64(options, DBC_MAX_DISK_SIZE_BYTES, uint64_t{1} << 40);
    dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, limits.touch_delay_seconds);
    dbc_status status = dbc_open(path.c_str(), "1", options, &cache_);
    dbc_options_free(options);
    check(status, "open");
  }
  ~Cache() { dbc_free(cache_); }
  Cache(const Cache &) = delete;
  Cache &operator=(const Cache &) = delete;

  uint64_t put(const std::string &key, const std::string &value) {
    uint64_t version = 0;
    check(dbc_put(cache_, key.data(), key.size(), value.data(), value.size(), 0, nullptr, &version), "put");
    return version;
  }
  void get(const std::string &key, char *buffer) {
    size_t size = 0;
    check(dbc_get_into(cache_, key.data(), key.size(), nullptr, buffer, kValueSize, &size, nullptr), "get");
  }
  void get_held(const std::string &key, uint64_t version) {
    dbc_value *value = nullptr;
    dbc_status status = dbc_get_changed(cache_, key.data(), key.size(), version, nullptr, &value);
    require(status == DBC_UNCHANGED, "get_changed", dbc_last_error());
  }
  void put_many(uint64_t first, uint64_t count, const std::string &value) {
    std::string keys, values;
    std::vector<size_t> key_sizes, value_sizes(count, value.size());
    for (uint64_t i = first; i < first + count; ++i) {
      std::string key = key_of(i);
      keys += key;
      values += value;
      key_sizes.push_back(key.size());
    }
    check(dbc_put_many(cache_, count, keys.data(), key_sizes.data(), values.data(), value_sizes.data(), 0, nullptr,
                       nullptr),
          "put_many");
  }
  void flush() { check(dbc_flush(cache_), "flush"); }
  void clear_memory() { check(dbc_clear_memory(cache_), "clear_memory"); }

 private:
  static void check(dbc_status status, const char *what) { require(status == DBC_OK, what, dbc_last_error()); }
  dbc_cache *cache_ = nullptr;
};

// ----------------------------------------------------------------------------------------------- what is done ----

void compare_everyday_calls() {
  const std::string value(kValueSize, 'v');
  char buffer[kValueSize];
  std::mt19937_64 random(1);
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < kItems; ++i) keys.push_back(key_of(i));
  auto any = [&]() -> const std::string & { return keys[random() % kItems]; };

  std::unordered_map<std::string, std::string> map;
  for (uint64_t i = 0; i < kHotItems; ++i) map[keys[i]] = value;
  PlainTable table(arguments.directory + "/plain.db");
  Cache hot(arguments.directory + "/hot.db", {}), disk(arguments.directory + "/disk.db", {.memory_items = 0});
  for (uint64_t i = 0; i < kItems; i += kBatch) {
    table.fill(i, kBatch, value);
    disk.put_many(i, kBatch, value);
  }
  std::vector<uint64_t> versions;
  for (uint64_t i = 0; i < kHotItems; ++i) versions.push_back(hot.put(keys[i], value));

  uint64_t table_next = kItems, disk_next = kItems;
  for (int repetition = 0; repetition < arguments.repetitions; ++repetition) {
    measure("floor: hash map find and copy", 1'000'000, [&](uint64_t i) {
      std::memcpy(buffer, map.find(keys[i * 7 % kHotItems])->second.data(), kValueSize);
      asm volatile("" : : "r"(buffer) : "memory");
    });
    measure("get, in memory, copied", 500'000, [&](uint64_t i) { hot.get(keys[i * 7 % kHotItems], buffer); });
    measure("get, in memory, unchanged", 500'000,
            [&](uint64_t i) { hot.get_held(keys[i * 7 % kHotItems], versions[i * 7 % kHotItems]); });

    measure("floor: SELECT", 30'000, [&](uint64_t) { table.get(any(), buffer); });
    measure("get, on disk", 30'000, [&](uint64_t) { disk.get(any(), buffer); });
    disk.flush();

    // With everything that the access time costs until it is in the file.
    measure("floor: SELECT and UPDATE of the time", 2000, [&](uint64_t) {
      const std::string &key = any();
      table.get(key, buffer);
      table.touch(key);
    });
    double start = seconds();
    uint64_t calls = std::max<uint64_t>(1, static_cast<uint64_t>(30'000 * arguments.scale));
    for (uint64_t i = 0; i < calls; ++i) disk.get(any(), buffer);
    disk.flush();
    record("get, on disk, and flush", (seconds() - start) * 1e6 / static_cast<double>(calls));

    measure("floor: upsert, overwriting", 3000, [&](uint64_t) { table.put(any(), value); });
    measure("put, overwriting", 3000, [&](uint64_t) { disk.put(any(), value); });
    measure("floor: upsert, fresh", 3000, [&](uint64_t) { table.put(key_of(table_next++), value); });
    measure("put, fresh", 3000, [&](uint64_t) { disk.put(key_of(disk_next++), value); });

    constexpr double kEach = kBatch;
    measure(
        "floor: upserts, 1000 fresh in a transaction, an item", 10,
        [&](uint64_t) {
          table.fill(table_next, kBatch, value);
          table_next += kBatch;
        },
        kEach);
    measure(
        "put_many, 1000 fresh, an item", 10,
        [&](uint64_t) {
          disk.put_many(disk_next, kBatch, value);
          disk_next += kBatch;
        },
        kEach);
  }
}

// What a put into a full cache costs among few items and among many.
void compare_evicting_puts() {
  const std::string value(64, 'v');
  std::vector<std::pair<std::string, uint64_t>> sizes = {{"10 k", 10'000}, {"1 M", 1'000'000}};
  std::vector<std::unique_ptr<Cache>> caches;
  std::vector<uint64_t> next;
  for (const auto &[name, items] : sizes) {
    caches.push_back(std::make_unique<Cache>(arguments.directory + "/full" + std::to_string(items) + ".db",
                                             Cache::Limits{.disk_items = items}));
    for (uint64_t i = 0; i < items; i += kBatch) caches.back()->put_many(i, kBatch, value);
    next.push_back(items);
  }
  for (int repetition = 0; repetition < arguments.repetitions; ++repetition) {
    for (size_t i = 0; i < sizes.size(); ++i) {
      measure("put into a full cache of " + sizes[i].first, 3000,
              [&](uint64_t) { caches[i]->put(key_of(next[i]++), value); });
    }
  }
}

}  // namespace

int main(int count, char **values) try {
  for (int i = 1; i < count; ++i) {
    std::string_view argument = values[i];
    auto take = [&](std::string_view name) {
      if (!argument.starts_with(name)) return false;
      argument.remove_prefix(name.size());
      return true;
    };
    if (take("--directory=")) {
      arguments.directory = argument;
    } else if (take("--repetitions=")) {
      arguments.repetitions = std::max(1, std::atoi(argument.data()));
    } else if (take("--scale=")) {
      arguments.scale = std::atof(argument.data());
    } else {
      std::fprintf(stderr, "unknown argument %s\n", values[i]);
      return 2;
    }
  }
  if (arguments.directory.empty()) {
    std::fprintf(stderr, "--directory is needed: an empty folder, on the file system that is to be measured\n");
    return 2;
  }
  compare_everyday_calls();
  compare_evicting_puts();
  print_results();
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
