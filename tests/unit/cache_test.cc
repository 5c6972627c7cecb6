#include "cache/cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "disk/sqlite_store.h"

namespace dbc {
namespace {

// What shall go wrong in the disk tier, and when.
struct Faults {
  bool begin = false;
  bool commit = false;
  std::function<void()> before_begin;
  std::function<void()> before_commit;
  std::function<void()> after_commit;
  std::function<void()> after_read;
  std::function<void()> at_begin;  // each time
  std::function<void()> on_damage;  // when it is reported
  bool outdated = false;
};

class FaultyTransaction final : public Transaction {
 public:
  FaultyTransaction(std::unique_ptr<Transaction> real, Faults *faults) : real_(std::move(real)), faults_(faults) {}
  Written put(const Key &key, std::string_view value, bool text, double timestamp, uint64_t reserved,
              std::optional<Removed> *in_exchange) override {
    return real_->put(key, value, text, timestamp, reserved, in_exchange);
  }
  bool erase(const Key &key, std::optional<uint64_t> version) override { return real_->erase(key, version); }
  bool erase_if_expired(const Key &key, double now, double ttl) override {
    return real_->erase_if_expired(key, now, ttl);
  }
  std::optional<Removed> evict_oldest() override { return real_->evict_oldest(); }
  bool erase_expired(double now, double ttl, size_t most, Progress *progress, std::vector<Removed> *removed) override {
    return real_->erase_expired(now, ttl, most, progress, removed);
  }
  uint64_t erase_other_schemas() override { return real_->erase_other_schemas(); }
  void clear() override { real_->clear(); }
  uint64_t repair(CheckReport *report) override { return real_->repair(report); }
  size_t write_touches(size_t most) override { return real_->write_touches(most); }
  Totals totals() const override { return real_->totals(); }
  void commit(const std::function<void()> &publish) override {
    if (faults_->before_commit) std::exchange(faults_->before_commit, nullptr)();
    if (faults_->commit) throw Error(Status::kFull, "no space left");
    real_->commit(publish);
    if (faults_->after_commit) std::exchange(faults_->after_commit, nullptr)();
  }

 private:
  const std::unique_ptr<Transaction> real_;
  Faults *const faults_;
};

// The real store at ":memory:", until told otherwise.
class FaultyStore final : public Store {
 public:
  FaultyStore(std::unique_ptr<Store> real, Faults *faults) : real_(std::move(real)), faults_(faults) {}
  Lookup read(const Key &key, Want want, uint64_t held_version, double recent_enough) override {
    Lookup found = real_->read(key, want, held_version, recent_enough);
    if (faults_->after_read) std::exchange(faults_->after_read, nullptr)();
    return found;
  }
  std::unique_ptr<Snapshot> snapshot() override { return real_->snapshot(); }
  std::unique_ptr<Transaction> begin() override {
    if (faults_->before_begin) std::exchange(faults_->before_begin, nullptr)();
    if (faults_->at_begin) faults_->at_begin();
    if (faults_->begin) throw Error(Status::kBusy, "another writer");
    return std::make_unique<FaultyTransaction>(real_->begin(), faults_);
  }
  Totals totals() override { return real_->totals(); }
  uint64_t reserve_version() noexcept override { return real_->reserve_version(); }
  bool can_reserve() const override { return real_->can_reserve(); }
  void expect_evictions(bool expected) noexcept override { real_->expect_evictions(expected); }
  void touched(Item &item, bool backward) noexcept override { real_->touched(item, backward); }
  void left_memory(Item &item) noexcept override { real_->left_memory(item); }
  void flush() override { real_->flush(); }
  void check(CheckReport *report) override { real_->check(report); }
  const Generations &generations() const override { return real_->generations(); }
  void close(LogScope &log) override { real_->close(log); }
  bool outdated() const override { return faults_->outdated || real_->outdated(); }
  void report_damage() noexcept override {
    if (faults_->on_damage) faults_->on_damage();
    real_->report_damage();
  }

 private:
  const std::unique_ptr<Store> real_;
  Faults *const faults_;
};

// The options that tests set.
struct Limits {
  uint64_t max_memory_items = 100;
  uint64_t max_memory_size_bytes = 1000;
  uint64_t max_disk_items = 100;
  uint64_t max_disk_size_bytes = 1000;
  double memory_ttl_seconds = 1000;
  double disk_ttl_seconds = 1000;
  uint64_t max_item_size_bytes = 1000;
  bool memory_values = true;
  bool write_behind = false;
  double write_behind_delay_seconds = 3600;
};

class CacheTest : public ::testing::Test {
 protected:
  using Lines = std::vector<std::string>;

  void TearDown() override {
    if (cache_) cache_->close();
  }

  void open(const Limits &limits) {
    CacheOptions options;
    options.max_memory_items = limits.max_memory_items;
    options.max_memory_size_bytes = limits.max_memory_size_bytes;
    options.max_disk_items = limits.max_disk_items;
    options.max_disk_size_bytes = limits.max_disk_size_bytes;
    options.memory_ttl_seconds = limits.memory_ttl_seconds;
    options.disk_ttl_seconds = limits.disk_ttl_seconds;
    options.max_item_size_bytes = limits.max_item_size_bytes;
    options.memory_values = limits.memory_values;
    options.write_behind = limits.write_behind;
    options.write_behind_delay_seconds = limits.write_behind_delay_seconds;
    options.log_sink = std::make_shared<LogSink>(
        [](void *context, int level, const char *message, size_t size) {
          auto *test = static_cast<CacheTest *>(context);
          test->lines_.push_back(std::to_string(level) + " " + std::string(message, size));
          if (test->on_line_) std::exchange(test->on_line_, nullptr)();
        },
        this, nullptr);
    cache_.emplace(options, [&](Logger &logger, LogScope &log) {
      StoreOptions store;
      store.path = ":memory:";
      store.schema_version = "1";
      store.touch_delay_seconds = 3600;
      return std::make_unique<FaultyStore>(std::make_unique<SqliteStore>(store, logger, log), &faults_);
    });
    cache_->deliver_log();
    lines_.clear();
  }

  uint64_t put(std::string_view key, std::string_view value, double time = 1) {
    uint64_t version = 0;
    cache_->put({Key(key), value}, false, &time, &version);
    return version;
  }
  // As dbc_get does.
  Status get(const Key &key, double time, ItemRef *value) {
    Cache::Glance glance;
    Status status = cache_->get_from_memory(key, 0, &time, &glance, value);
    return status == Status::kNotFound ? cache_->get(key, 0, &time, glance, value) : status;
  }
  std::string get(std::string_view key, double time = 1) {
    ItemRef value;
    Status status = get(Key(key), time, &value);
    return status == Status::kOk ? std::string(value->value()) : status == Status::kNotFound ? "(none)" : "(unchanged)";
  }
  Tier tier(std::string_view key, double time = 1) { return cache_->tier(Key(key), &time); }
  std::string resident() {
    std::string keys;
    for (const ItemRef &item : cache_->memory_in_order()) keys += item->key();
    return keys;
  }
  std::vector<uint64_t> dropped() {
    std::vector<uint64_t> versions(100);
    bool overflowed = false;
    versions.resize(cache_->take_dropped(versions.data(), versions.size(), &overflowed));
    EXPECT_FALSE(overflowed);
    return versions;
  }

  // What the call logs, at all levels.
  template <typename Call>
  Lines logged(Call &&call) {
    lines_.clear();
    cache_->set_log_level(kTrace);
    call();
    cache_->set_log_level(kInfo);
    return lines_;
  }

  // Runs a call that must fail, and sees that nothing has changed.
  template <typename Call>
  void expect_failure_without_change(Call &&call) {
    StatisticsSnapshot before = cache_->statistics();
    std::string memory = resident();
    EXPECT_THROW(call(), Error);
    StatisticsSnapshot after = cache_->statistics();
    EXPECT_EQ(resident(), memory);
    EXPECT_EQ(after.current_disk_items, before.current_disk_items);
    EXPECT_EQ(after.disk_bytes, before.disk_bytes);
    EXPECT_EQ(after.memory_bytes, before.memory_bytes);
    EXPECT_EQ(after.total_puts, before.total_puts);
    EXPECT_EQ(after.total_gets, before.total_gets);
    EXPECT_EQ(after.total_deletes, before.total_deletes);
    EXPECT_EQ(after.memory_expired, before.memory_expired);
    EXPECT_EQ(after.disk_expired, before.disk_expired);
    EXPECT_EQ(after.disk_evictions, before.disk_evictions);
    EXPECT_EQ(after.memory_evictions, before.memory_evictions);
    EXPECT_EQ(after.discarded, before.discarded);
  }

  // Eight threads make a call behind another writer: all fail, and not after as many tries.
  void expect_failures_together(const std::function<void(int thread)> &call) {
    std::atomic<int> tries{0}, failed{0};
    faults_.at_begin = [&] {
      ++tries;
      usleep(200'000);
    };
    faults_.begin = true;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        try {
          call(i);
        } catch (const Error &error) {
          if (error.status() == Status::kBusy && std::string(error.what()) == "another writer") ++failed;
        }
      });
    }
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(failed, 8);
    EXPECT_LT(tries, 8);  // 2, if all threads come in time
    faults_ = {};
  }

  Faults faults_;
  std::optional<Cache> cache_;
  Lines lines_;
  std::function<void()> on_line_;
};

// A file that was used with higher limits: other writers have their turn between.
TEST_F(CacheTest, LowerLimitsAreEnforcedInSeveralTransactions) {
  CacheOptions options;
  options.max_disk_items = 10;
  int transactions = 0;
  cache_.emplace(options, [&](Logger &logger, LogScope &log) {
    StoreOptions store_options;
    store_options.path = ":memory:";
    store_options.schema_version = "1";
    auto store = std::make_unique<SqliteStore>(store_options, logger, log);
    auto transaction = store->begin();
    for (int i = 0; i < 3500; ++i) transaction->put(Key("k" + std::to_string(i)), "value", false, i);
    transaction->commit([] {});
    faults_.at_begin = [&] { ++transactions; };
    return std::make_unique<FaultyStore>(std::move(store), &faults_);
  });
  faults_ = {};
  EXPECT_EQ(transactions, 4);
  EXPECT_EQ(cache_->disk_totals().items, 10u);
  EXPECT_EQ(cache_->statistics().disk_evictions, 3490u);
  EXPECT_EQ(tier("k3489", 3500), Tier::kNone);
  EXPECT_EQ(tier("k3490", 3500), Tier::kDisk);
}

// ---------------------------------------------------------------------------------------------- written behind ----

TEST_F(CacheTest, WhatIsEvictedByItsOwnCommitIsGoneWithIt) {
  open({.max_disk_items = 2, .write_behind = true});
  put("a", "1", 1);
  put("b", "2", 2);
  put("c", "3", 3);
  std::string seen;
  faults_.after_commit = [&] { seen = get("a", 4); };
  cache_->flush();
  EXPECT_EQ(seen, "(none)");
  EXPECT_EQ(resident(), "bc");
  EXPECT_EQ(tier("a", 4), Tier::kNone);
}

TEST_F(CacheTest, APutBehindDoesNotComeAfterALaterOneOfABatch) {
  open({.write_behind = true});
  std::vector<Cache::NewItem> batch = {{Key("k"), "later"}, {Key("other"), "x"}};
  uint64_t versions[2];
  double time = 1;
  uint64_t earlier = 0;
  faults_.before_begin = [&] {
    earlier = put("k", "earlier");
    EXPECT_EQ(get("k"), "earlier");
  };
  cache_->put_many(batch, false, &time, versions);
  ASSERT_LT(earlier, versions[0]);
  EXPECT_EQ(get("k"), "later");
  cache_->clear_memory();
  EXPECT_EQ(get("k"), "later");
  cache_->flush();
  EXPECT_EQ(get("k"), "later");
}

TEST_F(CacheTest, APutBehindThatIsLaterThanABatchStays) {
  open({.write_behind = true});
  std::vector<Cache::NewItem> batch = {{Key("k"), "earlier"}, {Key("other"), "x"}};
  uint64_t versions[2];
  double time = 1;
  faults_.before_commit = [&] { put("k", "later"); };
  cache_->put_many(batch, false, &time, versions);
  EXPECT_EQ(get("k"), "later");
  cache_->clear_memory();
  EXPECT_EQ(get("k"), "later");
  cache_->flush();
  EXPECT_EQ(get("k"), "later");
}

// What memory does not hold is in the buffer all the same, and nothing older comes into memory behind it.
TEST_F(CacheTest, APutBehindThatIsNotForMemoryIsNotHiddenByABatch) {
  open({.max_item_size_bytes = 5, .write_behind = true});
  std::vector<Cache::NewItem> batch = {{Key("k"), "short"}, {Key("other"), "x"}};
  uint64_t versions[2];
  double time = 1;
  faults_.before_commit = [&] { put("k", "longer than five"); };
  cache_->put_many(batch, false, &time, versions);
  EXPECT_EQ(get("k"), "longer than five");
  EXPECT_EQ(get("other"), "x");
  EXPECT_EQ(resident(), "other");
  cache_->flush();
  EXPECT_EQ(get("k"), "longer than five");
}

TEST_F(CacheTest, APutBehindThatIsNotForMemoryIsNotHiddenByAGet) {
  open({.max_item_size_bytes = 5, .write_behind = true});
  put("k", "old");
  cache_->flush();
  cache_->clear_memory();
  faults_.after_read = [&] { put("k", "longer than five"); };
  EXPECT_EQ(get("k"), "old");  // as it was when the get began
  EXPECT_EQ(get("k"), "longer than five");
  EXPECT_EQ(resident(), "");
  cache_->flush();
  EXPECT_EQ(get("k"), "longer than five");
}

TEST_F(CacheTest, APutBehindThatIsNotForMemoryIsNotHiddenByAnEarlierOne) {
  open(
      {.max_memory_size_bytes = 10'000, .max_disk_size_bytes = 10'000, .max_item_size_bytes = 5, .write_behind = true});
  // Two threads put, and what each has been told is what its next get is to see, or something later.
  std::atomic<int> wrong{0};
  auto work = [&](char letter) {
    for (int i = 0; i < 2'000; ++i) {
      std::string value(i % 2 == 0 ? 3 : 9, letter);
      uint64_t mine = put("k", value), seen = 0;
      ItemRef found;
      if (get(Key("k"), 1, &found) == Status::kOk) seen = found->version();
      if (seen < mine) ++wrong;
    }
  };
  std::thread other(work, 'b');
  work('a');
  other.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CacheTest, ACheckBesidePutsBehindFindsNothing) {
  open({.write_behind = true});
  put("a", "1");
  faults_.after_commit = [&] { put("b", "2"); };
  CheckReport report;
  cache_->check(false, &report);
  EXPECT_EQ(report.problems(), 0u);
  EXPECT_EQ(get("b"), "2");
}

// While the writer lock cannot be had, all who wait for the buffer fail when the one who tries does.
TEST_F(CacheTest, WhoWaitsForTheBufferFailsWithTheOneWhoTries) {
  open({.write_behind = true});
  put("a", "1");
  expect_failures_together([&](int) { cache_->flush(); });
  cache_->flush();
  EXPECT_EQ(cache_->statistics().current_disk_items, 1u);
}

TEST_F(CacheTest, PutsThatShareATransactionFailTogetherBehindAnotherWriter) {
  open({});
  expect_failures_together([&](int thread) { put("key" + std::to_string(thread), "value"); });
}

// The cache of a damaged file waits for its end, and does not try for ever what cannot be.
TEST_F(CacheTest, WhatWaitsForAFileThatWasReplacedIsNotTriedAgainAndAgain) {
  open({.write_behind = true, .write_behind_delay_seconds = 0.001});
  std::atomic<int> tries{0};
  faults_.at_begin = [&] { ++tries; };
  faults_.begin = faults_.outdated = true;
  put("a", "1");
  for (int i = 0; tries == 0 && i < 1000; ++i) usleep(1000);
  usleep(100'000);
  EXPECT_EQ(tries, 1);
  EXPECT_THROW(cache_->close(), Error);
  cache_.reset();
}

// --------------------------------------------------------------------------------------- when the disk refuses ----

TEST_F(CacheTest, WhatTheDiskRefusesChangesNothing) {
  open({.max_memory_items = 2, .max_disk_items = 3});
  put("a", "old");
  put("b", "old");
  put("c", "old", 15);
  for (bool at_begin : {true, false}) {
    SCOPED_TRACE(at_begin ? "begin" : "commit");
    faults_.begin = at_begin;
    faults_.commit = !at_begin;
    expect_failure_without_change([&] { put("a", "new", 2); });
    expect_failure_without_change([&] { put("d", "new", 2); });
    std::vector<Cache::NewItem> items = {{Key("a"), "new"}, {Key("d"), "new"}};
    std::vector<uint64_t> versions(2);
    double time = 2;
    expect_failure_without_change([&] { cache_->put_many(items, false, &time, versions.data()); });
    expect_failure_without_change([&] { cache_->remove(Key("a")); });
    std::vector<Key> keys = {Key("a"), Key("b")};
    expect_failure_without_change([&] { cache_->remove_many(keys); });
    expect_failure_without_change([&] { cache_->clear(); });
  }
  faults_ = {};
  EXPECT_EQ(get("a"), "old");
  EXPECT_EQ(get("c", 15), "old");
}

// The item stays, but the get that gave it was none.
TEST_F(CacheTest, ADiscardThatTheDiskRefusesIsAMiss) {
  open({});
  uint64_t version = put("a", "old");
  EXPECT_EQ(get("a"), "old");
  for (bool at_begin : {true, false}) {
    SCOPED_TRACE(at_begin ? "begin" : "commit");
    faults_.begin = at_begin;
    faults_.commit = !at_begin;
    EXPECT_THROW(cache_->discard(Key("a"), version, Tier::kMemory), Error);
    EXPECT_EQ(resident(), "a");
    faults_ = {};
    EXPECT_EQ(get("a"), "old");
  }
  EXPECT_EQ(cache_->statistics().memory_hits, 1u);
  EXPECT_EQ(cache_->statistics().misses, 2u);
  EXPECT_EQ(cache_->statistics().discarded, 0u);
}

TEST_F(CacheTest, APurgeThatTheDiskRefusesChangesNothing) {
  open({.memory_ttl_seconds = 10, .disk_ttl_seconds = 20});
  put("a", "old", 1);
  put("b", "newer", 10);
  put("c", "new", 20);
  double late = 25;
  for (bool at_begin : {true, false}) {
    SCOPED_TRACE(at_begin ? "begin" : "commit");
    faults_.begin = at_begin;
    faults_.commit = !at_begin;
    expect_failure_without_change([&] { cache_->purge_expired(&late); });
  }
  faults_ = {};
  EXPECT_EQ(cache_->purge_expired(&late), 1u);
  EXPECT_EQ(resident(), "c");
  EXPECT_EQ(cache_->statistics().memory_expired, 2u);
}

// A reader does not fail because writers cannot be.
TEST_F(CacheTest, AnExpiredItemThatCannotBeRemovedIsAMiss) {
  open({.disk_ttl_seconds = 10});
  put("a", "value");
  faults_.begin = true;
  lines_.clear();
  EXPECT_EQ(get("a", 20), "(none)");
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_EQ(lines_[0].substr(0, 2), "30");
  EXPECT_EQ(cache_->statistics().misses, 1u);
  EXPECT_EQ(cache_->statistics().disk_expired, 0u);
  EXPECT_EQ(cache_->statistics().current_disk_items, 1u);
  faults_.begin = false;
  EXPECT_EQ(get("a", 20), "(none)");
  EXPECT_EQ(cache_->statistics().disk_expired, 1u);
  EXPECT_EQ(cache_->statistics().current_disk_items, 0u);
}

TEST_F(CacheTest, MemoryFollowsOnlyAfterTheCommit) {
  open({});
  put("a", "old");
  std::string before;
  faults_.before_commit = [&] { before = resident(); };
  put("b", "new");
  EXPECT_EQ(before, "a");
  EXPECT_EQ(resident(), "ab");
}

// What was read is not promoted if it was replaced meanwhile.
TEST_F(CacheTest, APromotionThatComesTooLateIsNone) {
  open({});
  put("a", "old");
  cache_->clear_memory();
  faults_.after_read = [&] { std::thread([&] { cache_->remove(Key("a")); }).join(); };
  EXPECT_EQ(get("a"), "old");  // it was there when the call began
  EXPECT_EQ(resident(), "");
  EXPECT_EQ(get("a"), "(none)");

  put("a", "old");
  cache_->clear_memory();
  faults_.after_read = [&] { std::thread([&] { put("a", "new"); }).join(); };
  EXPECT_EQ(get("a"), "old");
  EXPECT_EQ(get("a"), "new");
}

// What no caller is told is reported all the same, so that the file does not stay as it is.
TEST_F(CacheTest, DamageIsReportedWhereACallGoesOn) {
  open({.max_memory_items = 0, .disk_ttl_seconds = 10});
  put("a", "value", 0);
  int reports = 0;
  faults_.on_damage = [&] { ++reports; };
  faults_.at_begin = [] { throw Error(Status::kBusy, "another writer"); };
  EXPECT_EQ(get("a", 11), "(none)");
  EXPECT_EQ(reports, 0);
  faults_.at_begin = [] { throw Error(Status::kCorrupt, "damaged"); };
  EXPECT_EQ(get("a", 11), "(none)");
  EXPECT_EQ(reports, 1);
  faults_ = {};
}

TEST_F(CacheTest, DamageIsReportedByTheThreadThatCommitsTheBuffer) {
  std::atomic<int> reports{0};
  faults_.on_damage = [&] { ++reports; };
  open({.write_behind = true, .write_behind_delay_seconds = 0.01});
  faults_.at_begin = [] { throw Error(Status::kCorrupt, "damaged"); };
  put("a", "value");
  for (int i = 0; i < 2000 && reports == 0; ++i) usleep(10'000);
  EXPECT_GT(reports, 0);
  faults_.at_begin = nullptr;
  cache_->flush();
  EXPECT_EQ(get("a"), "value");
  cache_->close();
  cache_.reset();
  faults_ = {};
}

// An item that expires while somebody uses it again is not removed.
TEST_F(CacheTest, AnItemUsedMeanwhileIsNotExpired) {
  open({.max_memory_items = 0, .disk_ttl_seconds = 10});
  put("a", "value", 0);
  faults_.after_read = [&] { EXPECT_EQ(get("a", 9), "value"); };
  EXPECT_EQ(get("a", 11), "(none)");  // as read, it was expired
  EXPECT_EQ(get("a", 12), "value");
  EXPECT_EQ(cache_->statistics().disk_expired, 0u);
}

// ---------------------------------------------------------------------------------------------------- dropped ----

TEST_F(CacheTest, WhatLeavesMemoryIsTold) {
  open({.max_memory_items = 2, .max_item_size_bytes = 5, .memory_values = false});
  uint64_t a = put("a", "1", 1), b = put("b", "1", 2), c = put("c", "1", 3);
  EXPECT_EQ(dropped(), std::vector<uint64_t>{a});  // evicted
  uint64_t again = put("b", "2", 4);
  EXPECT_EQ(dropped(), std::vector<uint64_t>{b});  // replaced
  cache_->remove(Key("c"));
  EXPECT_EQ(dropped(), std::vector<uint64_t>{c});
  uint64_t large = put("d", "too large", 5);
  EXPECT_EQ(dropped(), std::vector<uint64_t>{large});  // never was there
  cache_->clear_memory();
  EXPECT_EQ(dropped(), std::vector<uint64_t>{again});
  EXPECT_TRUE(dropped().empty());
}

TEST_F(CacheTest, WhatCameBackIsNotDropped) {
  open({.memory_values = false});
  put("a", "1");
  cache_->clear_memory();
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(resident(), "a");
  EXPECT_TRUE(dropped().empty());
}

TEST_F(CacheTest, WithValuesInMemoryNothingIsTold) {
  open({.max_memory_items = 1});
  put("a", "1");
  put("b", "1");
  cache_->clear();
  EXPECT_TRUE(dropped().empty());
}

TEST_F(CacheTest, AnOverflowIsToldOnce) {
  open({.memory_values = false});
  put("a", "1");
  cache_->drop_all_objects();
  uint64_t version = 0;
  bool overflowed = false;
  EXPECT_EQ(cache_->take_dropped(&version, 1, &overflowed), 0u);
  EXPECT_TRUE(overflowed);
  EXPECT_EQ(cache_->take_dropped(&version, 1, &overflowed), 0u);
  EXPECT_FALSE(overflowed);
}

TEST_F(CacheTest, TheListOfTheDroppedIsBounded) {
  DroppedList list(true);
  ItemRef item = Item::create(Key("a"), {.version = 7}, 0);
  for (size_t i = 0; i < DroppedList::kLimit; ++i) list.add(item);
  list.add(item);
  uint64_t version = 0;
  bool overflowed = false;
  auto nobody = [](const Item &) { return false; };
  EXPECT_EQ(list.take(&version, 1, &overflowed, nobody), 0u);
  EXPECT_TRUE(overflowed);
  list.add(item);
  EXPECT_EQ(list.take(&version, 1, &overflowed, nobody), 1u);
  EXPECT_EQ(version, 7u);
  EXPECT_FALSE(overflowed);
}

// ---------------------------------------------------------------------------------------------------- logging ----

TEST_F(CacheTest, OperationsAndOutcomesAreLogged) {
  open({.memory_ttl_seconds = 10, .disk_ttl_seconds = 20});
  EXPECT_EQ(logged([&] { put("k", "value", 0); }).front(), "5 put(key='k')");
  EXPECT_EQ(logged([&] { get("k", 0); }), (Lines{"5 get(key='k')", "5 get(key='k'): memory hit"}));
  EXPECT_EQ(
      logged([&] { get("k", 15); }),
      (Lines{"5 get(key='k')", "5 get(key='k'): expired from memory (TTL exceeded)", "5 get(key='k'): disk hit"}));
  EXPECT_EQ(logged([&] { get("x"); }), (Lines{"5 get(key='x')", "5 get(key='x'): miss (not found)"}));
  EXPECT_EQ(logged([&] { get("k", 100); }),
            (Lines{"5 get(key='k')", "5 get(key='k'): expired from memory (TTL exceeded)",
                   "5 get(key='k'): expired from disk (TTL exceeded)"}));
  EXPECT_EQ(logged([&] { cache_->remove(Key("k")); }).front(), "5 delete(key='k')");
  double time = 0;
  EXPECT_EQ(logged([&] { cache_->exists(Key("k"), &time); }).front(), "5 exists(key='k')");
  std::vector<Key> keys = {Key("a"), Key("b")};
  std::vector<Cache::NewItem> items = {{keys[0], "1"}, {keys[1], "2"}};
  uint64_t versions[2];
  EXPECT_EQ(logged([&] { cache_->put_many(items, false, &time, versions); }).front(), "5 put_many(count=2)");
  EXPECT_EQ(logged([&] { cache_->get_many(keys, nullptr, &time); }).front(), "5 get_many(count=2)");
  EXPECT_EQ(logged([&] { cache_->remove_many(keys); }).front(), "5 delete_many(count=2)");
  EXPECT_EQ(logged([&] { cache_->clear(); }).front(), "5 clear()");
}

TEST_F(CacheTest, EvictionsNameTheLimitAndTheKey) {
  open({.max_memory_items = 1, .max_memory_size_bytes = 10, .max_disk_items = 2, .max_disk_size_bytes = 20});
  put("a", "1", 1);
  auto contains = [](const Lines &lines, const std::string &line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  };
  EXPECT_TRUE(contains(logged([&] { put("b", "1", 2); }), "5 evicting from memory (count): key='a'"));
  EXPECT_TRUE(contains(logged([&] { put("c", "1", 3); }), "5 evicting from disk (count): key='a'"));
  Lines lines = logged([&] { put("d", std::string(20, 'x'), 4); });
  EXPECT_TRUE(contains(lines, "5 evicting from disk (count): key='b'"));
  EXPECT_TRUE(contains(lines, "5 evicting from disk (size): key='c'"));
}

TEST_F(CacheTest, SizeEvictionsFromMemoryAreNamed) {
  open({.max_memory_size_bytes = 10});
  put("a", "123456", 1);
  Lines lines = logged([&] { put("b", "123456", 2); });
  EXPECT_NE(std::find(lines.begin(), lines.end(), "5 evicting from memory (size): key='a'"), lines.end());
}

TEST_F(CacheTest, TheFirstDiskEvictionIsToldOnceAndNamesItsLimit) {
  open({.max_disk_items = 1});
  put("a", "1", 1);
  put("b", "1", 2);
  put("c", "1", 3);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_EQ(lines_[0].substr(0, 3), "20 ");
  EXPECT_NE(lines_[0].find("max_disk_items=1"), std::string::npos) << lines_[0];
}

TEST_F(CacheTest, TheFirstDiskEvictionBySizeNamesThatLimit) {
  open({.max_disk_size_bytes = 10});
  put("a", "123456", 1);
  put("b", "123456", 2);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_NE(lines_[0].find("max_disk_size_bytes=10"), std::string::npos) << lines_[0];
}

// Whatever is logged is logged with no lock held: the callback may call the cache, and on another thread too.
TEST_F(CacheTest, ACallbackMayUseTheCache) {
  open({.max_memory_items = 1, .max_disk_items = 2, .disk_ttl_seconds = 10});
  put("a", "1", 1);
  put("b", "1", 2);
  double late = 100;
  const std::vector<std::function<void()>> calls = {
      [&] { put("c", "1", 3); },
      [&] { get("b", 3); },
      [&] { get("b", 50); },
      [&] { cache_->remove(Key("c")); },
      [&] { cache_->purge_expired(&late); },
      [&] { cache_->clear_memory(); },
      [&] { cache_->flush(); },
      [&] { cache_->clear(); },
  };
  for (const auto &call : calls) {
    int nested = 0;
    on_line_ = [&] {
      std::thread([&] {
        put("nested", "1", 4);
        get("nested", 4);
        ++nested;
      }).join();
    };
    cache_->set_log_level(kTrace);
    call();
    cache_->set_log_level(kInfo);
    EXPECT_EQ(nested, 1);
  }
}

// ------------------------------------------------------------------------------------------------------ tiers ----

TEST_F(CacheTest, ALargeItemLivesOnDiskOnlyAndEvictsNothing) {
  open({.max_memory_items = 2, .max_memory_size_bytes = 10, .max_item_size_bytes = 8});
  put("a", "1");
  put("b", "1");
  put("c", "nine bytes", 2);
  EXPECT_EQ(resident(), "ab");
  EXPECT_EQ(tier("c"), Tier::kDisk);
  EXPECT_EQ(get("c", 3), "nine bytes");
  EXPECT_EQ(resident(), "ab");
  put("a", "nine bytes", 4);
  EXPECT_EQ(resident(), "b");
  put("a", "1", 5);
  EXPECT_EQ(resident(), "ba");
  EXPECT_EQ(cache_->statistics().memory_evictions, 0u);
}

TEST_F(CacheTest, AnItemLargerThanAllOfMemoryEvictsNothing) {
  open({.max_memory_size_bytes = 5});
  put("a", "1234");
  put("b", "123456", 2);
  EXPECT_EQ(resident(), "a");
  EXPECT_EQ(cache_->statistics().memory_evictions, 0u);
}

TEST_F(CacheTest, AScanNeitherTouchesNorPromotes) {
  open({.max_memory_items = 1});
  put("a", "1", 1);
  put("b", "1", 2);
  std::vector<Key> keys = {Key("a"), Key("b"), Key("x")};
  double time = 50;
  std::vector<Cache::Found> found = cache_->get_many(keys, nullptr, &time);
  EXPECT_EQ(found[0].tier, Tier::kDisk);
  EXPECT_EQ(found[0].timestamp, 1);
  EXPECT_EQ(found[1].tier, Tier::kMemory);
  EXPECT_EQ(found[1].timestamp, 2);
  EXPECT_EQ(found[2].status, Status::kNotFound);
  EXPECT_EQ(resident(), "b");
  EXPECT_EQ(cache_->memory_in_order()[0]->timestamp.load(), 2);
}

// With no values in memory the caller gets an item of its own, which must say the same.
TEST_F(CacheTest, AGetSaysWhenItWas) {
  for (bool memory_values : {true, false}) {
    open({.memory_values = memory_values});
    put("a", "1", 1);
    for (double time : {2.0, 5.0, 3.0}) {
      ItemRef value;
      EXPECT_EQ(get(Key("a"), time, &value), Status::kOk);
      EXPECT_EQ(value->timestamp.load(), time);
      EXPECT_EQ(cache_->memory_in_order()[0]->timestamp.load(), time);
    }
    cache_->close();
  }
  cache_.reset();
}

TEST_F(CacheTest, ADiscardTakesTheHitBack) {
  open({});
  uint64_t version = put("a", "1");
  get("a");
  cache_->discard(Key("a"), version + 1, Tier::kMemory);  // replaced meanwhile: it stays
  EXPECT_EQ(tier("a"), Tier::kMemory);
  get("a");
  cache_->discard(Key("a"), version, Tier::kMemory);
  EXPECT_EQ(tier("a"), Tier::kNone);
  StatisticsSnapshot s = cache_->statistics();
  EXPECT_EQ(s.memory_hits, 0u);
  EXPECT_EQ(s.misses, 2u);
  EXPECT_EQ(s.total_gets, 2u);
  EXPECT_EQ(s.discarded, 1u);
}

}  // namespace
}  // namespace dbc
