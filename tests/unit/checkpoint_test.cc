// What others wait for while the WAL is folded into the file, and what a device that fails leaves of it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "disk/connection.h"
#include "disk/sqlite_store.h"
#include "disk/wal_index.h"
#include "processes.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// ---- A device below the library: what it has of the database file is what was synced.

std::mutex device;  // guards what follows
std::map<sqlite3_int64, std::string> written, kept;
std::set<sqlite3_file *> open_files, to_be_told;
std::function<void()> during_sync;  // of a database file, once
bool fails = false;                 // the next sync; as in Linux, what was to be written is forgotten, and all who have
                                    // the file open are told once
std::atomic<int> failures{0}, wals_begun{0};

sqlite3_vfs *usual = nullptr;
sqlite3_io_methods usual_database, database, usual_wal, wal;

int write_database(sqlite3_file *file, const void *from, int size, sqlite3_int64 at) {
  std::lock_guard lock(device);
  written[at] = std::string(static_cast<const char *>(from), static_cast<size_t>(size));
  return usual_database.xWrite(file, from, size, at);
}

int sync_database(sqlite3_file *file, int flags) {
  std::function<void()> interruption;
  {
    std::lock_guard lock(device);
    interruption.swap(during_sync);
  }
  if (interruption) interruption();
  int result = usual_database.xSync(file, flags);
  std::lock_guard lock(device);
  if (fails) {
    fails = false;
    written.clear();
    to_be_told = open_files;
  }
  if (to_be_told.erase(file) > 0) {
    ++failures;
    return SQLITE_IOERR_FSYNC;
  }
  for (auto &[at, bytes] : written) kept[at] = std::move(bytes);
  written.clear();
  return result;
}

int close_database(sqlite3_file *file) {
  std::lock_guard lock(device);
  open_files.erase(file);
  to_be_told.erase(file);
  return usual_database.xClose(file);
}

int write_wal(sqlite3_file *file, const void *from, int size, sqlite3_int64 at) {
  if (at == 0) ++wals_begun;
  return usual_wal.xWrite(file, from, size, at);
}

int open_file(sqlite3_vfs *, const char *name, sqlite3_file *file, int flags, int *out) {
  int result = usual->xOpen(usual, name, file, flags, out);
  if (result != SQLITE_OK) return result;
  std::lock_guard lock(device);
  if (flags & SQLITE_OPEN_WAL) {
    if (!usual_wal.xSync) {
      wal = usual_wal = *file->pMethods;
      wal.xWrite = write_wal;
    }
    file->pMethods = &wal;
  } else if ((flags & SQLITE_OPEN_MAIN_DB) && file->pMethods->iVersion >= 2 && file->pMethods->xShmMap) {
    if (!usual_database.xSync) {
      database = usual_database = *file->pMethods;
      database.xWrite = write_database;
      database.xSync = sync_database;
      database.xClose = close_database;
    }
    // Not those that are only looked at, which have methods of their own.
    if (file->pMethods->xLock == usual_database.xLock) {
      file->pMethods = &database;
      open_files.insert(file);
    }
  }
  return result;
}

std::function<void()> during_wal_sync;  // the library's own, once
std::mutex wal_sync;

}  // namespace

extern "C" int fdatasync(int descriptor) {
  std::function<void()> interruption;
  {
    std::lock_guard lock(wal_sync);
    interruption.swap(during_wal_sync);
  }
  if (interruption) interruption();
  return static_cast<int>(syscall(SYS_fdatasync, descriptor));
}

namespace dbc {
namespace {

class CheckpointTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static sqlite3_vfs vfs;
    usual = sqlite3_vfs_find(nullptr);
    vfs = *usual;
    vfs.zName = "device";
    vfs.xOpen = open_file;
    ASSERT_EQ(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
  }
  static void TearDownTestSuite() { sqlite3_vfs_register(usual, 1); }

  std::unique_ptr<SqliteStore> make_store(Durability durability, double busy_timeout_seconds) {
    StoreOptions options;
    options.path = path_;
    options.schema_version = "1";
    options.durability = durability;
    options.busy_timeout_seconds = busy_timeout_seconds;
    options.touch_delay_seconds = 3600;  // what is urgent is done all the same
    LogScope log(logger_);
    return std::make_unique<SqliteStore>(options, logger_, log);
  }
  void open(Durability durability = Durability::kNormal, double busy_timeout_seconds = 60) {
    store_ = make_store(durability, busy_timeout_seconds);
  }
  void close() {
    LogScope log(logger_);
    store_->close(log);
    EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
  }
  void put(int number) {
    static const std::string value(3000, 'v');
    std::string key = "key" + std::to_string(number);
    auto transaction = store_->begin();
    transaction->put(Key(key), value, false, number);
    transaction->commit([] {});
  }
  // Puts until something has happened; how many.
  int put_until(const std::function<bool()> &happened) {
    int number = 0;
    for (auto deadline = Clock::now() + 60s; !happened() && Clock::now() < deadline; ++number) put(number % 5000);
    EXPECT_TRUE(happened());
    return number;
  }
  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  static double fork_time() {
    auto start = Clock::now();
    pid_t child = fork();
    if (child == 0) _exit(0);
    double seconds = seconds_since(start);
    waitpid(child, nullptr, 0);
    return seconds;
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "cache.db";
  Logger logger_{nullptr, kLogOff};
  std::unique_ptr<SqliteStore> store_;
};

// The sync takes until others have made some puts, or cannot.
TEST_F(CheckpointTest, PutsGoOnWhileTheDeviceWritesTheFile) {
  open();
  std::atomic<bool> syncing{false}, in_vain{false};
  std::atomic<int> puts{0};
  {
    std::lock_guard lock(device);
    during_sync = [&] {
      syncing = true;
      for (auto deadline = Clock::now() + 10s; puts < 20; std::this_thread::sleep_for(1ms)) {
        if (Clock::now() > deadline) {
          in_vain = true;
          break;
        }
      }
      syncing = false;
    };
  }
  put_until([&] { return syncing || in_vain; });
  for (int i = 0; i < 20; ++i, ++puts) put(i);
  EXPECT_FALSE(in_vain);
  while (syncing) std::this_thread::sleep_for(1ms);
  for (int i = 0; i < 3000; ++i) put(i);
  close();
}

// What the device did not take is copied to it once more before the WAL, which has it, is begun anew.
TEST_F(CheckpointTest, AFailedSyncLosesNothing) {
  {
    std::lock_guard lock(device);
    written.clear();
    kept.clear();
  }
  open();
  const int before = failures;
  {
    std::lock_guard lock(device);
    fails = true;
  }
  const int items = std::min(5000, put_until([&] { return failures > before; }));
  const int begun = wals_begun;
  put_until([&, last = 0]() mutable {
    put(last++ % 20);  // others than these stay as they were
    return wals_begun >= begun + 2;
  });
  // The power goes: what the device has of the file, and the WAL.
  std::filesystem::create_directory(directory_ / "after");
  const std::string after = directory_ / "after/cache.db";
  {
    std::lock_guard lock(device);
    std::fstream file(after, std::ios::out | std::ios::binary | std::ios::trunc);
    for (const auto &[at, bytes] : kept) file.seekp(at).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::filesystem::copy_file(path_ + "-wal", after + "-wal");
  Connection connection(after, SQLITE_OPEN_READWRITE);
  Statement check(connection, "PRAGMA integrity_check");
  ASSERT_TRUE(check.step());
  EXPECT_EQ(check.bytes(0), "ok");
  EXPECT_GE(connection.query_integer("SELECT count(*) FROM item NOT INDEXED"), items);
  close();
}

// A checkpoint that could copy a part only, because somebody reads an earlier state, has synced nothing: when the sync
// of a later one fails, that part is forgotten too.
TEST_F(CheckpointTest, AFailedSyncBringsBackWhatOthersCopiedBefore) {
  open();
  auto read = [&] {
    auto reader = std::make_unique<Connection>(path_, SQLITE_OPEN_READWRITE);
    reader->execute("BEGIN");
    reader->query_integer("SELECT count(*) FROM item");
    return reader;
  };
  auto wal_pages = [&] { return std::filesystem::file_size(path_ + "-wal") / 4120; };
  put(0);
  std::unique_ptr<Connection> first = read();
  put_until([&] { return wal_pages() > 8000; });
  std::unique_ptr<Connection> second = read();
  put_until([&] { return wal_pages() > 15'000; });
  const int before = failures;
  std::atomic<bool> ended{false};
  std::thread ending([&] {
    while (wal_pages() < 16'400) std::this_thread::sleep_for(1ms);
    first.reset();
    std::this_thread::sleep_for(30ms);
    {
      std::lock_guard lock(device);
      fails = true;
    }
    second.reset();
  });
  put_until([&] { return failures > before; });
  ending.join();
  Connection connection(path_, SQLITE_OPEN_READWRITE);
  connection.query_integer("SELECT count(*) FROM item");
  WalIndex index;
  ASSERT_TRUE(index.find(connection.handle()));
  EXPECT_GT(index.pages_to_copy(), 16'000u) << "all that is in the WAL";
  {
    std::lock_guard lock(device);
    to_be_told.clear();
  }
  put(1);
  store_->flush();
}

// Nor if the writer lock cannot be had then: until it can, the WAL is not begun anew.
TEST_F(CheckpointTest, AFailedSyncLosesNothingWhileAnotherWrites) {
  open(Durability::kNormal, 2);
  const int before = failures;
  std::unique_ptr<SqliteStore> other = make_store(Durability::kNormal, 60);
  // Whatever goes wrong below: the thread that syncs is waited for.
  static std::atomic<bool> syncing, locked;
  syncing = locked = false;
  struct GoOn {
    ~GoOn() { locked = true; }
  } go_on;
  {
    std::lock_guard lock(device);
    fails = true;
    during_sync = [] {
      syncing = true;
      while (!locked) std::this_thread::sleep_for(1ms);
    };
  }
  put_until([&] { return syncing.load(); });
  WalIndex index;
  std::optional<Connection> connection(std::in_place, path_, SQLITE_OPEN_READWRITE);
  connection->query_integer("SELECT count(*) FROM item");
  ASSERT_TRUE(index.find(connection->handle()));
  EXPECT_LT(index.pages_to_copy(), 2000u);
  {
    auto transaction = other->begin();
    locked = true;
    while (failures == before) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(3s);  // longer than the busy timeout
  }
  put(0);
  EXPECT_GT(index.pages_to_copy(), 4000u);  // all of it once more
  connection.reset();
  {
    LogScope log(logger_);
    other->close(log);
  }
  {
    std::lock_guard lock(device);
    to_be_told.clear();
  }
  close();
}

// Damage may come in between the looks.
TEST_F(CheckpointTest, AnIndexThatIsNotPlausibleIsMendedUnderTheLockThatTheCheckpointHas) {
  open();
  std::atomic<bool> due{false}, ended{false};
  {
    std::lock_guard lock(wal_sync);
    during_wal_sync = [&] {
      due = true;
      while (!ended) std::this_thread::sleep_for(1ms);
      int descriptor = ::open((path_ + "-shm").c_str(), O_RDWR | O_CLOEXEC);
      uint32_t nonsense = 0x7fffffff;
      EXPECT_EQ(pwrite(descriptor, &nonsense, 4, 96), 4);  // nBackfill
      ::close(descriptor);
    };
  }
  put_until([&] { return due.load(); });
  ended = true;
  std::this_thread::sleep_for(300ms);  // until it has the lock
  auto start = Clock::now();
  put(1);
  EXPECT_LT(seconds_since(start), 30);  // half the busy timeout
  close();
}

TEST_F(CheckpointTest, AForkDoesNotWaitForAForeignProgram) {
  open();
  put(0);
  auto foreign = std::make_unique<Connection>(path_, SQLITE_OPEN_READWRITE);
  EXPECT_EQ(foreign->query_integer("SELECT count(*) FROM item"), 1);
  // Before the checkpoint takes the writer lock the puts end, and the program begins to write.
  std::atomic<bool> due{false}, ended{false}, holds{false};
  {
    std::lock_guard lock(wal_sync);
    during_wal_sync = [&] {
      due = true;
      while (!ended) std::this_thread::sleep_for(1ms);
      foreign->execute("BEGIN IMMEDIATE");
      holds = true;
    };
  }
  put_until([&] { return due.load(); });
  ended = true;
  while (!holds) std::this_thread::sleep_for(1ms);
  auto start = Clock::now();
  double slowest = 0;
  for (int i = 0; i < 50; ++i) {
    slowest = std::max(slowest, fork_time());
    std::this_thread::sleep_for(10ms);
  }
  double held = seconds_since(start);
  foreign.reset();
  EXPECT_LT(slowest, held / 4);
  close();
}

// A reader that stays keeps the WAL from being begun anew, and puts wait for it now and then: forks do not.
TEST_F(CheckpointTest, AForkDoesNotWaitForAReader) {
  open(Durability::kOff);
  put(0);
  auto reader = std::make_unique<Connection>(path_, SQLITE_OPEN_READWRITE);
  reader->execute("BEGIN");
  EXPECT_EQ(reader->query_integer("SELECT count(*) FROM item"), 1);
  std::atomic<bool> done{false};
  double slowest_put = 0, slowest_fork = 0;
  std::thread writer([&] {
    put_until([&, start = Clock::now()]() mutable {
      slowest_put = std::max(slowest_put, seconds_since(std::exchange(start, Clock::now())));
      return slowest_put > 0.3;
    });
    done = true;
  });
  while (!done) {
    slowest_fork = std::max(slowest_fork, fork_time());
    std::this_thread::sleep_for(2ms);
  }
  writer.join();
  EXPECT_LT(slowest_fork, slowest_put / 2);
  reader.reset();
  close();
}

}  // namespace
}  // namespace dbc
