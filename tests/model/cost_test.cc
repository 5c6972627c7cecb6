// What a call costs must not depend on how many items there are. Counted, not timed, as far as that goes: the steps of
// SQLite's virtual machine, and the pages that it asks its cache for. What is timed is compared within one run, by
// medians, with a bound that only a cost growing with the number of items can break.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dbc.h"

namespace dbc {
namespace {

constexpr uint64_t kFew = 10'000, kMany = 1'000'000;
constexpr int kCalls = 300;

// Every connection that SQLite opens while this lives: the library's own, since it is linked with the same SQLite.
class Connections {
 public:
  Connections() {
    forget();
    sqlite3_auto_extension(reinterpret_cast<void (*)()>(&opened));
  }
  ~Connections() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(&opened)); }

  struct Work {
    int64_t steps = 0;
    int64_t pages = 0;
  };
  // They are closed, and must not be asked any more.
  static void forget() {
    std::lock_guard lock(mutex());
    handles().clear();
  }
  // What they all did since the last look. Only while nothing runs on them.
  static Work take() {
    std::lock_guard lock(mutex());
    Work work;
    for (sqlite3 *handle : handles()) {
      for (sqlite3_stmt *at = sqlite3_next_stmt(handle, nullptr); at; at = sqlite3_next_stmt(handle, at)) {
        work.steps += sqlite3_stmt_status(at, SQLITE_STMTSTATUS_VM_STEP, 1);
      }
      for (int counter : {SQLITE_DBSTATUS_CACHE_HIT, SQLITE_DBSTATUS_CACHE_MISS}) {
        int current = 0, highest = 0;
        sqlite3_db_status(handle, counter, &current, &highest, 1);
        work.pages += current;
      }
    }
    return work;
  }

 private:
  static int opened(sqlite3 *handle, const char **, const sqlite3_api_routines *) {
    std::lock_guard lock(mutex());
    handles().push_back(handle);
    return SQLITE_OK;
  }
  static std::vector<sqlite3 *> &handles() {
    static std::vector<sqlite3 *> all;
    return all;
  }
  static std::mutex &mutex() {
    static std::mutex one;
    return one;
  }
};

double now_in_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The costs of one kind of call.
struct Cost {
  double steps = 0;  // a call, on average
  double pages = 0;
  double microseconds = 0;  // the median
};

struct Costs {
  Cost overwrite, fresh, evicting, touching_get, count, clear;
};

// A full cache of `items`, at ":memory:": there is one connection there, which lives as long as the cache, and no file
// system whose moods could be measured instead.
class Filled {
 public:
  Filled(uint64_t items, uint64_t limit) {
    dbc_options *options = dbc_options_new();
    dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, limit);
    dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, limit);
    dbc_options_set_u64(options, DBC_MAX_MEMORY_SIZE_BYTES, uint64_t{1} << 40);
    dbc_options_set_double(options, DBC_MEMORY_TTL_SECONDS, std::numeric_limits<double>::infinity());
    dbc_options_set_double(options, DBC_DISK_TTL_SECONDS, std::numeric_limits<double>::infinity());
    dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, 3600);  // nothing happens in the background
    EXPECT_EQ(dbc_open(":memory:", "1", options, &cache_), DBC_OK) << dbc_last_error();
    dbc_options_free(options);
    for (uint64_t i = 0; i < items; i += kBatch) fill(i, std::min(kBatch, items - i));
    flush();
    Connections::take();
  }
  ~Filled() {
    dbc_free(cache_);
    Connections::forget();
  }
  Filled(const Filled &) = delete;
  Filled &operator=(const Filled &) = delete;

  // Scattered over the order of keys, as the callers' are.
  static std::string key(uint64_t number) {
    char text[40];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number * 0x9E3779B97F4A7C15ull));
    return text;
  }

  void put(uint64_t number) {
    std::string name = key(number);
    double time = ++clock_;
    ASSERT_EQ(dbc_put(cache_, name.data(), name.size(), "value", 5, 0, &time, nullptr), DBC_OK) << dbc_last_error();
  }
  void get(uint64_t number) {
    std::string name = key(number);
    double time = ++clock_;
    dbc_value *value = nullptr;
    ASSERT_EQ(dbc_get(cache_, name.data(), name.size(), &time, &value), DBC_OK) << number;
    dbc_value_release(value);
  }
  // Answered as a get is, and touches nothing.
  void look(uint64_t number) {
    std::string name = key(number);
    ASSERT_EQ(dbc_exists(cache_, name.data(), name.size(), &clock_), DBC_OK) << number;
  }
  void flush() { ASSERT_EQ(dbc_flush(cache_), DBC_OK) << dbc_last_error(); }
  void clear() { ASSERT_EQ(dbc_clear(cache_), DBC_OK) << dbc_last_error(); }
  void clear_memory() { ASSERT_EQ(dbc_clear_memory(cache_), DBC_OK) << dbc_last_error(); }
  uint64_t count() {
    uint64_t number = 0;
    EXPECT_EQ(dbc_count(cache_, &number), DBC_OK) << dbc_last_error();
    return number;
  }

  template <typename Call>
  static Cost measure(int calls, Call &&call) {
    Connections::take();
    std::vector<double> times;
    for (int i = 0; i < calls; ++i) {
      double start = now_in_seconds();
      call(i);
      times.push_back((now_in_seconds() - start) * 1e6);
    }
    Connections::Work work = Connections::take();
    std::nth_element(times.begin(), times.begin() + calls / 2, times.end());
    return {static_cast<double>(work.steps) / calls, static_cast<double>(work.pages) / calls,
            times[static_cast<size_t>(calls / 2)]};
  }

 private:
  static constexpr uint64_t kBatch = 1000;

  void fill(uint64_t first, uint64_t count) {
    std::string keys, values;
    std::vector<size_t> key_sizes, value_sizes;
    for (uint64_t i = first; i < first + count; ++i) {
      std::string name = key(i);
      keys += name;
      values += "value";
      key_sizes.push_back(name.size());
      value_sizes.push_back(5);
    }
    double time = ++clock_;
    ASSERT_EQ(dbc_put_many(cache_, count, keys.data(), key_sizes.data(), values.data(), value_sizes.data(), 0, &time,
                           nullptr),
              DBC_OK)
        << dbc_last_error();
  }

  dbc_cache *cache_ = nullptr;
  double clock_ = 0;
};

Costs measure(uint64_t items) {
  Costs costs;
  std::mt19937_64 random(1);
  Filled cache(items, items + kCalls);
  uint64_t next = items;
  auto recent = [&] { return items / 2 + random() % (items / 2); };  // none that has been evicted
  costs.fresh = Filled::measure(kCalls, [&](int) { cache.put(next++); });
  costs.evicting = Filled::measure(kCalls, [&](int) { cache.put(next++); });
  costs.overwrite = Filled::measure(kCalls, [&](int) { cache.put(recent()); });
  // The first get of an item may look whether it is still current; it is the ones after it that are compared.
  std::vector<uint64_t> used;
  for (int i = 0; i < kCalls; ++i) used.push_back(recent());
  for (uint64_t number : used) cache.get(number);
  costs.touching_get = Filled::measure(kCalls, [&](int call) {
    cache.get(used[static_cast<size_t>(call)]);
    if (call == kCalls - 1) cache.flush();
  });
  costs.count = Filled::measure(kCalls, [&](int) { cache.count(); });
  EXPECT_EQ(cache.count(), items + kCalls);
  costs.clear = Filled::measure(1, [&](int) { cache.clear(); });
  EXPECT_EQ(cache.count(), 0u);
  return costs;
}

void compare(const char *what, const Cost &few, const Cost &many) {
  std::printf("%-13s steps %8.1f -> %8.1f   pages %7.1f -> %7.1f   us %7.2f -> %7.2f\n", what, few.steps, many.steps,
              few.pages, many.pages, few.microseconds, many.microseconds);
  // A scan would be a hundred times as much. A tree is one or two levels deeper.
  EXPECT_LE(many.steps, 1.25 * few.steps + 5) << what;
  EXPECT_LE(many.pages, 2.5 * few.pages + 5) << what;
  EXPECT_LE(many.microseconds, 12 * few.microseconds + 20) << what;
}

TEST(CostTest, ACallCostsTheSameAmongManyItems) {
  Connections connections;
  Costs few = measure(kFew);
  Costs many = measure(kMany);
  compare("fresh put", few.fresh, many.fresh);
  compare("overwrite", few.overwrite, many.overwrite);
  compare("evicting put", few.evicting, many.evicting);
  compare("touching get", few.touching_get, many.touching_get);
  compare("count", few.count, many.count);
  // Whole pages are dropped, one by one: they are many, but the steps are not.
  std::printf("clear         steps %8.1f -> %8.1f   us %7.0f -> %7.0f\n", few.clear.steps, many.clear.steps,
              few.clear.microseconds, many.clear.microseconds);
  EXPECT_LE(many.clear.steps, 1.25 * few.clear.steps + 5);
  EXPECT_GT(few.evicting.steps, 1);  // something was counted at all
}

// What others put must not make those who are in memory ask the disk whether they are still current: only very few, by
// coincidence of their keys' hashes.
TEST(CostTest, HitsInALargeMemoryTierAskNoDisk) {
  constexpr uint64_t kItems = 50'000;
  Connections connections;
  Filled cache(kItems, 2 * kItems);
  for (uint64_t i = 0; i < kItems / 2; ++i) cache.put(kItems + i);
  auto look = [&](int i) { cache.look(static_cast<uint64_t>(i)); };
  Cost hit = Filled::measure(kItems, look);
  cache.clear_memory();
  Cost on_disk = Filled::measure(kItems, look);
  std::printf("a look in memory %.4f steps, on disk %.1f\n", hit.steps, on_disk.steps);
  EXPECT_LT(hit.steps, 0.01 * on_disk.steps);
}

// When all items have been used since the last eviction, the order that the disk tier has recorded is all wrong.
// Whoever evicts next must not pay for everybody's touches at once: others wait for the file meanwhile.
TEST(CostTest, NoSinglePutPaysForAllTouchesBeforeIt) {
  Connections connections;
  double worst[2];
  int at = 0;
  for (uint64_t items : {kFew, 10 * kFew}) {
    Filled cache(items, items);
    for (uint64_t i = 0; i < items; ++i) cache.get(i);
    cache.flush();
    // So many touches are written ahead of time, by a thread that may be looking still whether there is more to do.
    while (Filled::measure(1, [](int) { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }).steps > 0) {
    }
    worst[at] = 0;
    for (uint64_t i = 0; i < 50; ++i) {
      Cost cost = Filled::measure(1, [&](int) { cache.put(items + i); });
      worst[at] = std::max(worst[at], cost.steps);
    }
    ++at;
  }
  std::printf("dearest evicting put after all items were used: %.0f -> %.0f steps\n", worst[0], worst[1]);
  EXPECT_LE(worst[1], 2 * worst[0] + 1000);
}

}  // namespace
}  // namespace dbc
