// Everything at once, from eight threads: what each answer must hold on its own, and what must hold of the whole at any
// moment and at the end. To be run under the thread and address sanitizers too.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "api/handle.h"
#include "base/hash.h"
#include "dbc.h"

namespace dbc {
namespace {

constexpr int kThreads = 8;
constexpr int kOperations = 10'000;  // a thread
constexpr uint64_t kMaxMemoryItems = 60, kMaxMemoryBytes = 6000;
constexpr uint64_t kMaxDiskItems = 150, kMaxDiskBytes = 20'000;
constexpr uint64_t kMaxItemBytes = 300;
constexpr int kSharedKeys = 200;
constexpr int kOwnKeys = 4;  // a thread: only that thread writes them

struct Parameters {
  const char *name;
  bool file;
  int handles;
  bool memory_values;
};

// A value that says which key it belongs to and how new it is, and that cannot be torn unseen.
std::string make_value(std::string_view key, uint64_t counter, size_t padding) {
  std::string text = std::string(key) + "|" + std::to_string(counter) + "|" + std::string(padding, '.');
  return text + "|" + std::to_string(hash_bytes(text));
}

// The counter, or nothing if the value is not one that was ever made for the key.
std::optional<uint64_t> counter_of(std::string_view key, std::string_view value) {
  size_t end = value.rfind('|');
  if (end == std::string_view::npos || !value.starts_with(key) || value.size() <= key.size() ||
      value[key.size()] != '|') {
    return std::nullopt;
  }
  if (std::to_string(hash_bytes(value.substr(0, end))) != value.substr(end + 1)) return std::nullopt;
  return std::strtoull(value.data() + key.size() + 1, nullptr, 10);
}

class Directory {
 public:
  Directory() : path_(::testing::TempDir() + "/dbc-stress-XXXXXX") {
    if (!mkdtemp(path_.data())) std::abort();
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const char *name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// What a handle was asked to do, to be held against its statistics.
struct Handle {
  dbc_cache *cache = nullptr;
  std::atomic<uint64_t> gets{0}, puts{0}, deletes{0};
};

class StressTest : public ::testing::TestWithParam<Parameters> {
 protected:
  void SetUp() override {
    path_ = GetParam().file ? directory_ / "cache.db" : ":memory:";
    handles_ = std::vector<Handle>(static_cast<size_t>(GetParam().handles));
    for (Handle &handle : handles_) handle.cache = open();
  }
  void TearDown() override {
    for (Handle &handle : handles_) dbc_free(handle.cache);
  }

  dbc_cache *open() {
    dbc_options *options = dbc_options_new();
    dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, kMaxMemoryItems);
    dbc_options_set_u64(options, DBC_MAX_MEMORY_SIZE_BYTES, kMaxMemoryBytes);
    dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, kMaxDiskItems);
    dbc_options_set_u64(options, DBC_MAX_DISK_SIZE_BYTES, kMaxDiskBytes);
    dbc_options_set_u64(options, DBC_MAX_ITEM_SIZE_BYTES, kMaxItemBytes);
    dbc_options_set_u64(options, DBC_MEMORY_VALUES, GetParam().memory_values ? 1 : 0);
    dbc_options_set_u64(options, DBC_DURABILITY, DBC_DURABILITY_OFF);
    dbc_options_set_double(options, DBC_MEMORY_TTL_SECONDS, 0.05);
    dbc_options_set_double(options, DBC_DISK_TTL_SECONDS, 0.5);
    dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, 0.001);
    dbc_options_set_double(options, DBC_BUSY_TIMEOUT_SECONDS, 120);
    dbc_cache *cache = nullptr;
    EXPECT_EQ(dbc_open(path_.c_str(), "1", options, &cache), DBC_OK) << dbc_last_error();
    dbc_options_free(options);
    return cache;
  }

  // One thread's share of the load.
  class Worker {
   public:
    Worker(StressTest &test, int number) : test_(test), number_(number), random_(static_cast<uint64_t>(number) + 1) {}

    void run(int operations) {
      for (int i = 0; i < operations && !::testing::Test::HasFailure(); ++i) step();
      for (dbc_value *value : kept_) dbc_value_release(value);
    }

   private:
    uint64_t below(uint64_t limit) { return random_() % limit; }
    std::string random_key() {
      if (below(3) == 0) return "own:" + std::to_string(below(kThreads)) + ":" + std::to_string(below(kOwnKeys));
      return "shared:" + std::to_string(below(kSharedKeys));
    }
    // A key that this thread may write.
    std::string writable_key() {
      if (below(3) == 0) return "own:" + std::to_string(number_) + ":" + std::to_string(below(kOwnKeys));
      return "shared:" + std::to_string(below(kSharedKeys));
    }
    size_t random_padding() { return below(20) == 0 ? 400 : below(100); }

    // No answer may be a value of another key, a torn one, or, of a key with one writer, older than one seen before.
    void check(const std::string &key, const void *data, size_t size) {
      std::optional<uint64_t> counter = counter_of(key, {static_cast<const char *>(data), size});
      ASSERT_TRUE(counter) << key << " has " << std::string(static_cast<const char *>(data), size);
      if (!key.starts_with("own:")) return;
      uint64_t &seen = seen_[key];
      ASSERT_GE(*counter, seen) << key << " went back";
      seen = *counter;
    }

    void step() {
      Handle &handle = test_.handles_[below(test_.handles_.size())];
      dbc_cache *cache = handle.cache;
      uint64_t dice = below(1000);
      if (dice < 450) {
        std::string key = random_key();
        dbc_value *value = nullptr;
        int status = dbc_get_changed(cache, key.data(), key.size(), held_[key], nullptr, &value);
        ++handle.gets;
        if (status == DBC_OK) {
          check(key, dbc_value_data(value), dbc_value_size(value));
          held_[key] = dbc_value_version(value);
          // Some are kept for long: they must stay readable whatever becomes of the item.
          kept_.push_back(value);
          kept_keys_.push_back(key);
          if (kept_.size() > 20) release_one();
        } else {
          ASSERT_TRUE(status == DBC_NOT_FOUND || status == DBC_UNCHANGED) << dbc_last_error();
          if (status == DBC_NOT_FOUND) held_.erase(key);
        }
      } else if (dice < 650) {
        std::string key = writable_key(), value = make_value(key, ++counter_, random_padding());
        uint64_t version = 0;
        ASSERT_EQ(dbc_put(cache, key.data(), key.size(), value.data(), value.size(), 0, nullptr, &version), DBC_OK)
            << dbc_last_error();
        ++handle.puts;
        if (key.starts_with("own:")) {
          ASSERT_GT(version, versions_[key]) << key;
          versions_[key] = version;
          seen_[key] = counter_;
        }
      } else if (dice < 700) {
        std::string keys, values;
        std::vector<size_t> key_sizes, value_sizes;
        for (uint64_t i = below(6); i > 0; --i) {
          std::string key = writable_key(), value = make_value(key, ++counter_, random_padding());
          keys += key, values += value;
          key_sizes.push_back(key.size()), value_sizes.push_back(value.size());
          if (key.starts_with("own:")) seen_[key] = counter_;
        }
        ASSERT_EQ(dbc_put_many(cache, key_sizes.size(), keys.data(), key_sizes.data(), values.data(),
                               value_sizes.data(), 0, nullptr, nullptr),
                  DBC_OK)
            << dbc_last_error();
        handle.puts += key_sizes.size();
      } else if (dice < 800) {
        std::vector<std::string> names(below(10));
        std::string keys;
        std::vector<size_t> sizes;
        for (std::string &name : names) {
          name = random_key();
          keys += name;
          sizes.push_back(name.size());
        }
        dbc_result *result = nullptr;
        ASSERT_EQ(dbc_get_many(cache, sizes.size(), keys.data(), sizes.data(), nullptr, nullptr, &result), DBC_OK)
            << dbc_last_error();
        handle.gets += sizes.size();
        for (size_t i = 0; i < names.size(); ++i) {
          if (dbc_result_statuses(result)[i] != DBC_OK) continue;
          check(names[i], dbc_result_data(result)[i], dbc_result_sizes(result)[i]);
        }
        dbc_result_free(result);
      } else if (dice < 860) {
        std::string key = writable_key();
        int status = dbc_delete(cache, key.data(), key.size());
        ASSERT_TRUE(status == DBC_OK || status == DBC_NOT_FOUND) << dbc_last_error();
        ++handle.deletes;
      } else if (dice < 920) {
        std::string key = random_key();
        int tier = -1;
        ASSERT_EQ(dbc_get_tier(cache, key.data(), key.size(), nullptr, &tier), DBC_OK) << dbc_last_error();
        int status = dbc_exists(cache, key.data(), key.size(), nullptr);
        ASSERT_TRUE(status == DBC_OK || status == DBC_NOT_FOUND) << dbc_last_error();
      } else if (dice < 950) {
        uint64_t items = 0, bytes = 0;
        ASSERT_EQ(dbc_count(cache, &items), DBC_OK) << dbc_last_error();
        ASSERT_EQ(dbc_total_size(cache, &bytes), DBC_OK) << dbc_last_error();
        ASSERT_LE(items, kMaxDiskItems);
        ASSERT_LE(bytes, kMaxDiskBytes);
      } else if (dice < 970) {
        ASSERT_EQ(dbc_flush(cache), DBC_OK) << dbc_last_error();
      } else if (dice < 980) {
        ASSERT_EQ(dbc_purge_expired(cache, nullptr, nullptr), DBC_OK) << dbc_last_error();
      } else if (dice < 985) {
        ASSERT_EQ(dbc_clear_memory(cache), DBC_OK);
      } else if (dice < 987) {
        ASSERT_EQ(dbc_clear(cache), DBC_OK) << dbc_last_error();
      } else if (dice < 995) {
        // An older time, named: the path that takes locks.
        double time = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() - 0.01;
        std::string key = random_key();
        dbc_value *value = nullptr;
        dbc_get(cache, key.data(), key.size(), &time, &value);
        ++handle.gets;
        dbc_value_release(value);
      } else {
        uint64_t versions[64];
        size_t count = 0;
        ASSERT_EQ(dbc_dropped(cache, versions, 64, &count, nullptr), DBC_OK);
      }
    }

    void release_one() {
      size_t i = below(kept_.size());
      ASSERT_TRUE(
          counter_of(kept_keys_[i], {static_cast<const char *>(dbc_value_data(kept_[i])), dbc_value_size(kept_[i])}));
      dbc_value_release(kept_[i]);
      kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
      kept_keys_.erase(kept_keys_.begin() + static_cast<std::ptrdiff_t>(i));
    }

    StressTest &test_;
    const int number_;
    std::mt19937_64 random_;
    uint64_t counter_ = 0;
    std::map<std::string, uint64_t> seen_, versions_, held_;
    std::vector<dbc_value *> kept_;
    std::vector<std::string> kept_keys_;
  };

  // One snapshot, at whatever moment.
  static void check_statistics(dbc_cache *cache) {
    uint64_t stats[DBC_STAT_COUNT];
    ASSERT_EQ(dbc_stats(cache, stats, DBC_STAT_COUNT, nullptr), DBC_OK) << dbc_last_error();
    ASSERT_EQ(stats[DBC_STAT_TOTAL_GETS],
              stats[DBC_STAT_MEMORY_HITS] + stats[DBC_STAT_DISK_HITS] + stats[DBC_STAT_MISSES]);
    ASSERT_LE(stats[DBC_STAT_CURRENT_DISK_ITEMS], kMaxDiskItems);
    ASSERT_LE(stats[DBC_STAT_DISK_BYTES], kMaxDiskBytes);
    ASSERT_LE(stats[DBC_STAT_CURRENT_MEMORY_ITEMS], kMaxMemoryItems);
    ASSERT_LE(stats[DBC_STAT_MEMORY_BYTES], kMaxMemoryBytes);
  }

  void run_workers() {
    std::atomic<bool> over{false};
    std::thread watcher([&] {
      while (!over) {
        for (Handle &handle : handles_) check_statistics(handle.cache);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { Worker(*this, i).run(kOperations); });
    for (std::thread &thread : threads) thread.join();
    over = true;
    watcher.join();
  }

  // All calls were counted, and the tiers are what their counts say.
  void check_end(Handle &handle) {
    uint64_t stats[DBC_STAT_COUNT];
    ASSERT_EQ(dbc_stats(handle.cache, stats, DBC_STAT_COUNT, nullptr), DBC_OK);
    EXPECT_EQ(stats[DBC_STAT_TOTAL_GETS], handle.gets.load());
    EXPECT_EQ(stats[DBC_STAT_TOTAL_PUTS], handle.puts.load());
    EXPECT_EQ(stats[DBC_STAT_TOTAL_DELETES], handle.deletes.load());
    // Unless something of each kind happened, this test has tested less than it says.
    EXPECT_GT(stats[DBC_STAT_DISK_HITS], 0u);
    EXPECT_GT(stats[DBC_STAT_MEMORY_HITS], 0u);
    EXPECT_GT(stats[DBC_STAT_MEMORY_EVICTIONS], 0u);
    EXPECT_GT(stats[DBC_STAT_DISK_EVICTIONS], 0u);
    uint64_t items = 0, bytes = 0;
    for (const ItemRef &item : handle.cache->session().cache.memory_in_order()) {
      ++items;
      bytes += item->size();
    }
    EXPECT_EQ(stats[DBC_STAT_CURRENT_MEMORY_ITEMS], items);
    EXPECT_EQ(stats[DBC_STAT_MEMORY_BYTES], bytes);

    // What is there by asking for every key is what is counted.
    double dawn = -1e300;
    items = bytes = 0;
    std::vector<std::string> names;
    for (int i = 0; i < kSharedKeys; ++i) names.push_back("shared:" + std::to_string(i));
    for (int i = 0; i < kThreads * kOwnKeys; ++i) {
      names.push_back("own:" + std::to_string(i / kOwnKeys) + ":" + std::to_string(i % kOwnKeys));
    }
    for (const std::string &name : names) {
      size_t size = name.size();
      dbc_result *result = nullptr;
      ASSERT_EQ(dbc_get_many(handle.cache, 1, name.data(), &size, nullptr, &dawn, &result), DBC_OK) << dbc_last_error();
      if (dbc_result_statuses(result)[0] == DBC_OK) {
        ++items;
        bytes += dbc_result_sizes(result)[0];
        EXPECT_TRUE(
            counter_of(name, {static_cast<const char *>(dbc_result_data(result)[0]), dbc_result_sizes(result)[0]}));
      }
      dbc_result_free(result);
    }
    EXPECT_EQ(stats[DBC_STAT_CURRENT_DISK_ITEMS], items);
    EXPECT_EQ(stats[DBC_STAT_DISK_BYTES], bytes);
  }

  std::string query(const char *sql) {
    sqlite3 *raw = nullptr;
    int result = sqlite3_open_v2(path_.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
    std::unique_ptr<sqlite3, int (*)(sqlite3 *)> database(raw, sqlite3_close);
    if (result != SQLITE_OK) return "cannot open";
    sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    sqlite3_stmt *statement = nullptr;
    if (sqlite3_prepare_v2(raw, sql, -1, &statement, nullptr) != SQLITE_OK) return sqlite3_errmsg(raw);
    std::string text = sqlite3_step(statement) == SQLITE_ROW
                           ? reinterpret_cast<const char *>(sqlite3_column_text(statement, 0))
                           : sqlite3_errmsg(raw);
    sqlite3_finalize(statement);
    return text;
  }

  Directory directory_;
  std::string path_;
  std::vector<Handle> handles_;
};

TEST_P(StressTest, EverythingAtOnce) {
  run_workers();
  ASSERT_FALSE(HasFailure());
  for (Handle &handle : handles_) check_end(handle);
  if (!GetParam().file) return;
  for (Handle &handle : handles_) ASSERT_EQ(dbc_flush(handle.cache), DBC_OK);
  uint64_t items = 0, bytes = 0;
  dbc_count(handles_[0].cache, &items);
  dbc_total_size(handles_[0].cache, &bytes);
  EXPECT_EQ(query("SELECT count(*) FROM cache"), std::to_string(items));
  EXPECT_EQ(query("SELECT coalesce(sum(size), 0) FROM cache"), std::to_string(bytes));
  EXPECT_EQ(query("SELECT count(*) FROM cache WHERE length(CAST(value AS BLOB)) <> size"), "0");
  EXPECT_EQ(query("SELECT count(*) FROM eviction_order o JOIN cache USING (key) WHERE o.recorded > cache.timestamp"),
            "0");
  EXPECT_EQ(query("PRAGMA integrity_check"), "ok");
  for (Handle &handle : handles_) EXPECT_EQ(dbc_close(handle.cache), DBC_OK) << dbc_last_error();
  EXPECT_EQ(query("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(query("SELECT count(*) FROM cache"), std::to_string(items));
}

// Calls meet the closing at any point: each either does its work or says DBC_CLOSED, and from then on only that.
TEST_P(StressTest, ClosingWhileThreadsCall) {
  dbc_cache *cache = handles_[0].cache;
  std::string value = make_value("k", 1, 10);
  ASSERT_EQ(dbc_put(cache, "k", 1, value.data(), value.size(), 0, nullptr, nullptr), DBC_OK);
  dbc_value *kept = nullptr;
  ASSERT_EQ(dbc_get(cache, "k", 1, nullptr, &kept), DBC_OK);

  std::atomic<int> refused{0}, started{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      bool closed = false;
      for (int round = 0, after = 0; after < 20; ++round) {
        if (round == 10) ++started;
        dbc_value *got = nullptr;
        uint64_t number = 0;
        int status = DBC_OK;
        switch ((round + i) % 6) {
          case 0:
            status = dbc_get(cache, "k", 1, nullptr, &got);
            break;
          case 1:
            status = dbc_put(cache, "k", 1, value.data(), value.size(), 0, nullptr, nullptr);
            break;
          case 2:
            status = dbc_count(cache, &number);
            break;
          case 3:
            status = dbc_clear_memory(cache);
            break;
          case 4:
            status = dbc_flush(cache);
            break;
          default:
            status = dbc_stats(cache, nullptr, 0, nullptr);
        }
        if (got) {
          EXPECT_TRUE(counter_of("k", {static_cast<const char *>(dbc_value_data(got)), dbc_value_size(got)}));
        }
        dbc_value_release(got);
        if (closed) {
          EXPECT_EQ(status, DBC_CLOSED) << dbc_last_error();
        }
        EXPECT_TRUE(status == DBC_OK || status == DBC_CLOSED) << dbc_last_error();
        if (status != DBC_OK) closed = true;
        if (closed) ++after;
      }
      ++refused;
    });
  }
  while (started < kThreads) std::this_thread::yield();
  // Two at once: both are right to think that it is closed afterwards.
  std::thread other([&] { EXPECT_EQ(dbc_close(cache), DBC_OK) << dbc_last_error(); });
  EXPECT_EQ(dbc_close(cache), DBC_OK) << dbc_last_error();
  other.join();
  for (std::thread &thread : threads) thread.join();
  EXPECT_EQ(refused, kThreads);
  EXPECT_EQ(std::string(static_cast<const char *>(dbc_value_data(kept)), dbc_value_size(kept)), value);
  dbc_value_release(kept);
  if (handles_.size() > 1) {
    dbc_value *got = nullptr;
    EXPECT_EQ(dbc_get(handles_[1].cache, "k", 1, nullptr, &got), DBC_OK) << dbc_last_error();
    dbc_value_release(got);
  }
}

INSTANTIATE_TEST_SUITE_P(Caches, StressTest,
                         ::testing::Values(Parameters{"TwoHandlesOnAFile", true, 2, true},
                                           Parameters{"TwoHandlesWithoutValues", true, 2, false},
                                           Parameters{"OneHandleOnAFile", true, 1, true},
                                           Parameters{"InMemory", false, 1, true}),
                         [](const auto &about) { return std::string(about.param.name); });

}  // namespace
}  // namespace dbc
