// The order of eviction, whose changes wait in the shared file, with everything happening to it at random: disks that
// are full, memory that runs out, kills, power cuts, lost shared files, damage and repairs. Victims are those that
// plain SQL finds, and what a check finds is nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "allocations.h"
#include "base/key.h"
#include "base/log.h"
#include "base/status.h"
#include "disk/connection.h"
#include "disk/sqlite_store.h"
#include "injector.h"
#include "support.h"

namespace dbc::faults {
namespace {

constexpr int kSteps = 3000;
const Fault kFullDisk = {"write: full", Call::kWrite, SQLITE_FULL, ENOSPC};
const Fault kNoMemory = {"allocation", Call::kAllocate};

#define LAST_ACCESS "CASE usage.version WHEN item.version THEN usage.timestamp ELSE item.timestamp END"

class World {
 public:
  explicit World(unsigned seed)
      : random_(seed),
        limit_(below(3) == 0 ? 1 + below(3) : 20 + below(150)),
        keys_(limit_ * 3 + 5),
        schemas_(1 + below(7)),
        with_faults_(below(2) == 0) {
    reopen_all();
  }

  void run() {
    for (step_ = 0; step_ < kSteps && !::testing::Test::HasFailure(); ++step_) {
      try {
        step();
      } catch (const std::bad_alloc &) {
        injector().disarm();
        ++failures;
        works_again();
      } catch (const Error &error) {
        injector().disarm();
        ++failures;
        EXPECT_TRUE(with_faults_ && error.status() != Status::kCorrupt) << error.what();
        works_again();
      }
      injector().disarm();
      for (int handle : {0, 1}) {
        if (!stores_[handle]) open(handle);
      }
    }
    expect_sound();
    while (evict(*stores_[0]) && !::testing::Test::HasFailure()) {
    }
    expect_sound();
    for (int handle : {0, 1}) close(handle);
    for (const auto &entry : std::filesystem::directory_iterator(folder_.path())) {
      EXPECT_EQ(entry.path().string().find(".corrupt"), std::string::npos) << entry.path();
    }
  }

  uint64_t failures = 0, cuts = 0, evictions = 0, repairs = 0;

 private:
  unsigned below(unsigned limit) { return random_() % limit; }
  // Mostly the present; the past, the same for many, what comes never.
  double any_time() {
    switch (below(12)) {
      case 0:
        return below(2) ? 1e300 : -1e300;
      case 1:
        return below(kSteps) / 8;
      case 2:
        return -static_cast<double>(below(100));
      case 3:
        return 5;
      default:
        return step_ / 8;
    }
  }
  std::string any_key(unsigned keys) {
    unsigned number = below(keys);
    std::string key = "key " + std::to_string(number);
    return number % 5 ? key : key + std::string(100 + number % 60, 'x');  // some too long to wait
  }

  void open(int handle) {
    StoreOptions options;
    options.path = path_;
    options.schema_version = schema_versions_[static_cast<size_t>(handle)];
    options.durability = Durability::kOff;
    options.touch_delay_seconds = 3600;
    options.busy_timeout_seconds = 1;
    LogScope log(logger_);
    stores_[handle] = std::make_unique<SqliteStore>(options, logger_, log);
  }
  void close(int handle) {
    LogScope log(logger_);
    stores_[handle]->close(log);
    stores_[handle].reset();
  }
  // As after a kill: nothing is written that was not.
  void abandon_all() {
    for (auto &store : stores_) store.reset();
  }
  void reopen_all() {
    for (int handle : {0, 1}) open(handle);
  }
  void works_again() {
    for (auto &store : stores_) {
      if (!store) continue;
      auto transaction = store->begin();
      transaction->write_touches(SIZE_MAX);
      transaction->commit([] {});
    }
  }

  int64_t ask(const char *sql) { return Connection(path_, SQLITE_OPEN_READWRITE).query_integer(sql); }
  std::string oldest() {
    Connection connection(path_, SQLITE_OPEN_READWRITE);
    Statement query(connection, "SELECT item.key FROM item LEFT JOIN usage ON usage.id = item.id ORDER BY " LAST_ACCESS
                                ", item.key LIMIT 1");
    return query.step() ? std::string(query.bytes(0)) : "(none)";
  }
  void expect_sound() {
    Spared spared;
    for (auto &store : stores_) {
      CheckReport report;
      store->check(&report);
      EXPECT_EQ(report.problems(), 0u) << "step " << step_ << ": " << report.text();
      EXPECT_EQ(store->totals().items, static_cast<uint64_t>(ask("SELECT count(*) FROM item"))) << "step " << step_;
    }
    // Where the file says so, the table knows everything.
    if (ask("SELECT value FROM meta WHERE name = 'totals_are_stale'") != 0) return;
    EXPECT_EQ(ask("SELECT count(*) FROM eviction_order"), ask("SELECT count(*) FROM item")) << "step " << step_;
  }

  bool evict(SqliteStore &store) {
    std::string expected;
    {
      Spared spared;
      expected = oldest();
    }
    auto transaction = store.begin();
    std::optional<Removed> victim = transaction->evict_oldest();
    EXPECT_EQ(victim ? victim->key : "(none)", expected) << "step " << step_;
    transaction->commit([] {});
    ++evictions;
    return victim.has_value();
  }

  void step() {
    const int handle = static_cast<int>(below(2));
    SqliteStore &store = *stores_[handle];
    switch (with_faults_ ? below(8) : 8) {
      case 0:
        injector().arm(kFullDisk, 1 + below(12), false);
        break;
      case 1:
      case 2:
        injector().arm(kNoMemory, 1 + below(below(2) ? 60 : 600), false);
        break;
      default:
        break;
    }
    switch (below(24)) {
      case 0:
      case 1: {
        auto transaction = store.begin();
        transaction->erase(Key(any_key(keys_)), 0);
        return transaction->commit([] {});
      }
      case 2:
      case 3:
        evict(store);
        return;
      case 4:
        if (below(4) == 0) store.flush();
        return;
      case 5:
        if (below(10)) return;
        injector().disarm();
        return expect_sound();
      case 6:
        if (below(15)) return;
        injector().disarm();
        if (below(2)) {
          close(handle);
        } else {
          stores_[handle].reset();
        }
        schema_versions_[static_cast<size_t>(handle)] = std::to_string(1 + below(schemas_));
        return open(handle);
      case 7:
        if (below(25) == 0) lose_what_is_not_kept();
        return;
      case 8: {
        if (below(20)) return;
        auto transaction = store.begin();
        std::vector<Removed> removed;
        Progress progress;
        double ttl = 20 + below(200);
        while (!transaction->erase_expired(step_ / 8, ttl, 2, &progress, &removed)) {
        }
        return transaction->commit([] {});
      }
      case 9: {
        if (below(60)) return;
        auto transaction = store.begin();
        if (below(2)) {
          transaction->clear();
        } else {
          transaction->erase_other_schemas();
        }
        return transaction->commit([] {});
      }
      case 10:
        if (below(15) == 0) damage_and_repair(store);
        return;
      case 11:
      case 12:
      case 13:
        return touch(store);
      case 14:
        return put_batch(store);
      default:
        return put(store);
    }
  }

  // Both handles die; perhaps the shared file is lost, perhaps the end of the WAL too.
  void lose_what_is_not_kept() {
    injector().disarm();
    abandon_all();
    if (below(2)) std::filesystem::remove(path_ + "-dbc");
    std::error_code none;
    uintmax_t size = std::filesystem::file_size(path_ + "-wal", none);
    if (below(2) && !none && size > 0) {
      for (const char *which : {"-dbc", "-shm"}) std::filesystem::remove(path_ + which);
      std::filesystem::resize_file(path_ + "-wal",
                                   size - below(static_cast<unsigned>(std::min<uintmax_t>(size, 300'000))));
      ++cuts;
    }
    reopen_all();
    expect_sound();
  }

  void damage_and_repair(SqliteStore &store) {
    injector().disarm();
    static const char *const kDamage[] = {
        "DELETE FROM eviction_order WHERE abs(random()) % 4 = 0",
        "UPDATE item SET checksum = 1 WHERE abs(random()) % 9 = 0",
        "INSERT OR IGNORE INTO eviction_order SELECT recorded + abs(random()) % 9, key || 'z', id FROM eviction_order "
        "WHERE abs(random()) % 5 = 0",
        "DELETE FROM item WHERE abs(random()) % 7 = 0",
        "UPDATE item SET recorded = recorded + 3 WHERE abs(random()) % 5 = 0",
        "DELETE FROM usage WHERE abs(random()) % 3 = 0",
    };
    for (unsigned left = below(4); left > 0; --left) {
      Connection(path_, SQLITE_OPEN_READWRITE).execute(kDamage[below(std::size(kDamage))]);
    }
    CheckReport report;
    {
      auto transaction = store.begin();
      transaction->repair(&report);
      transaction->commit([] {});
    }
    if (report.problems() > 0) ++repairs;
    expect_sound();
    // Into the file, so that no power cut takes the repair back and leaves the damage.
    for (int handle : {0, 1}) close(handle);
    if (below(2)) std::filesystem::remove(path_ + "-dbc");
    reopen_all();
    expect_sound();
  }

  void touch(SqliteStore &store) {
    Lookup found = store.read(Key(any_key(keys_)), Want::kValue, 0, Store::kExactly);
    if (!found.item) return;
    double time = below(3) ? found.timestamp + below(50) : any_time();
    if (std::abs(time) > 1e200) time = 7;
    found.item->timestamp.store(time);
    store.touched(*found.item, time < found.timestamp);
    auto transaction = store.begin();
    transaction->write_touches(SIZE_MAX);
    transaction->commit([] {});
  }

  void put_batch(SqliteStore &store) {
    auto transaction = store.begin();
    const double time = any_time();
    for (unsigned left = below(150); left > 0; --left) transaction->put(Key(any_key(keys_ * 2)), "batch", false, time);
    while (transaction->totals().items > limit_) transaction->evict_oldest();
    transaction->commit([] {});
  }

  // As a cache does it; several a transaction, as written behind; now and then it comes to nothing.
  void put(SqliteStore &store) {
    auto transaction = store.begin();
    for (unsigned left = below(4) ? 1 : below(6); left > 0; --left) {
      std::optional<Removed> in_exchange;
      bool full = transaction->totals().items >= limit_;
      uint64_t reserved = below(3) == 0 && store.can_reserve() ? store.reserve_version() : 0;
      transaction->put(Key(any_key(keys_)), "value", below(2), any_time(), reserved, full ? &in_exchange : nullptr);
      while (transaction->totals().items > limit_) transaction->evict_oldest();
    }
    if (below(20)) transaction->commit([] {});
  }

  Folder folder_;
  const std::string path_ = folder_.path() + "/cache.db";
  Logger logger_{nullptr, kLogOff};
  std::mt19937 random_;
  const unsigned limit_, keys_, schemas_;
  const bool with_faults_;
  std::array<std::string, 2> schema_versions_{"1", "1"};
  std::unique_ptr<SqliteStore> stores_[2];
  int step_ = 0;
};

TEST(OrderFaults, RandomUseEvictsInOrderWhateverHappens) {
  install_fault_allocator();
  install_fault_vfs();
  const unsigned worlds = run_is_long() ? 300 : 12;
  uint64_t failures = 0, cuts = 0, evictions = 0, repairs = 0;
  for (unsigned seed = 1; seed <= worlds && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.run();
    failures += world.failures, cuts += world.cuts, evictions += world.evictions, repairs += world.repairs;
  }
  std::printf("   %u worlds: %llu failures, %llu power cuts, %llu evictions, %llu repairs\n", worlds,
              static_cast<unsigned long long>(failures), static_cast<unsigned long long>(cuts),
              static_cast<unsigned long long>(evictions), static_cast<unsigned long long>(repairs));
  EXPECT_GT(failures, 0u);
  EXPECT_GT(cuts, 0u);
  EXPECT_GT(repairs, 0u);
}

}  // namespace
}  // namespace dbc::faults
