// What others wait for while the WAL is folded into the file.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/hash.h"
#include "base/log.h"
#include "disk/sqlite_store.h"
#include "processes.h"

namespace dbc {
namespace {

using testing::TemporaryDirectory;
using namespace std::chrono_literals;

// A device that is slow when it is told to be: the first time that a database file is synced, that takes until others
// have made `kPutsMeanwhile` puts, or cannot.
constexpr int kPutsMeanwhile = 20;
std::atomic<bool> slow{false}, syncing{false}, in_vain{false};
std::atomic<int> failing{0};  // how many syncs will
std::atomic<int> puts_meanwhile{0};

sqlite3_vfs *usual = nullptr;
sqlite3_io_methods methods;
int (*usual_sync)(sqlite3_file *, int) = nullptr;

int sync_slowly(sqlite3_file *file, int flags) {
  if (slow.exchange(false)) {
    syncing = true;
    auto deadline = std::chrono::steady_clock::now() + 10s;
    while (puts_meanwhile < kPutsMeanwhile && !in_vain) {
      if (std::chrono::steady_clock::now() > deadline) in_vain = true;
      std::this_thread::sleep_for(1ms);
    }
    syncing = false;
  }
  if (failing > 0 && failing.fetch_sub(1) > 0) return SQLITE_IOERR_FSYNC;
  return usual_sync(file, flags);
}

int open_file(sqlite3_vfs *, const char *name, sqlite3_file *file, int flags, int *out) {
  int result = usual->xOpen(usual, name, file, flags, out);
  if (result == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB)) {
    if (!usual_sync) {
      methods = *file->pMethods;
      usual_sync = methods.xSync;
      methods.xSync = sync_slowly;
    }
    file->pMethods = &methods;
  }
  return result;
}

class CheckpointTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static sqlite3_vfs vfs;
    usual = sqlite3_vfs_find(nullptr);
    vfs = *usual;
    vfs.zName = "slow";
    vfs.xOpen = open_file;
    ASSERT_EQ(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
  }
  static void TearDownTestSuite() { sqlite3_vfs_register(usual, 1); }

  std::unique_ptr<SqliteStore> open() {
    StoreOptions options;
    options.path = directory_ / "cache.db";
    options.schema_version = "1";
    options.busy_timeout_seconds = 60;
    options.touch_delay_seconds = 3600;  // what is urgent is done all the same
    LogScope log(logger_);
    return std::make_unique<SqliteStore>(options, logger_, log);
  }
  static void put(Store &store, int number) {
    static const std::string value(3000, 'v');
    std::string key = "key" + std::to_string(number % 5000);
    auto transaction = store.begin();
    transaction->put(Key(key), value, false, number);
    transaction->commit([] {});
  }

  TemporaryDirectory directory_;
  Logger logger_{nullptr, kLogOff};
};

TEST_F(CheckpointTest, NoPutWaitsUntilTheDeviceHasTheFile) {
  std::unique_ptr<SqliteStore> store = open();
  slow = true;
  int number = 0;
  auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!syncing && !in_vain && std::chrono::steady_clock::now() < deadline) put(*store, number++);
  ASSERT_TRUE(syncing || in_vain) << "no checkpoint in " << number << " puts";
  for (int i = 0; i < kPutsMeanwhile; ++i, ++puts_meanwhile) put(*store, number++);
  EXPECT_FALSE(in_vain);
  while (syncing) std::this_thread::sleep_for(1ms);
  // And it goes on.
  for (int i = 0; i < 3000; ++i) put(*store, number++);
  std::string last = "key" + std::to_string((number - 1) % 5000);
  Lookup found = store->read(Key(last), Want::kValue, 0, Store::kExactly);
  ASSERT_EQ(found.state, Lookup::State::kPresent);
  EXPECT_EQ(found.timestamp, number - 1);
  LogScope log(logger_);
  store->close(log);
}

TEST_F(CheckpointTest, ASyncThatFailsIsTriedAgain) {
  std::unique_ptr<SqliteStore> store = open();
  failing = 3;
  int number = 0;
  auto deadline = std::chrono::steady_clock::now() + 60s;
  while (failing > 0 && std::chrono::steady_clock::now() < deadline) put(*store, number++);
  EXPECT_LE(failing, 0);
  for (int i = 0; i < 10'000; ++i) put(*store, number++);
  CheckReport report;
  store->check(&report);
  EXPECT_EQ(report.problems(), 0u) << report.text();
  EXPECT_EQ(store->totals().items, 5000u);
  LogScope log(logger_);
  store->close(log);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "cache.db-wal"));
}

}  // namespace
}  // namespace dbc
