// No checkpoint ever overlaps a commit, of whatever process: before 3.51.3, SQLite can corrupt a file then.
#include "lock_trace.h"

#include <fcntl.h>
#include <stdarg.h>

namespace {

dbc::testing::LockTrace *trace = nullptr;  // shared by all processes while a test runs
using dbc::testing::LockEvent;

void record(LockEvent event) {
  if (trace) trace->add(event);
}

// ---- A VFS around the usual one.

struct TracedFile {
  sqlite3_file base;
  int kind;
  sqlite3_file *real() { return reinterpret_cast<sqlite3_file *>(this + 1); }
};

sqlite3_file *real(sqlite3_file *file) { return reinterpret_cast<TracedFile *>(file)->real(); }
sqlite3_vfs *usual = nullptr;

int close_file(sqlite3_file *f) { return real(f)->pMethods->xClose(real(f)); }
int read_file(sqlite3_file *f, void *to, int size, sqlite3_int64 at) {
  return real(f)->pMethods->xRead(real(f), to, size, at);
}
int write_file(sqlite3_file *f, const void *from, int size, sqlite3_int64 at) {
  int kind = reinterpret_cast<TracedFile *>(f)->kind;
  if (kind & SQLITE_OPEN_WAL) record(at == 0 ? LockEvent::kWalReset : LockEvent::kWalWritten);
  if (kind & SQLITE_OPEN_MAIN_DB) record(LockEvent::kDatabaseWritten);
  return real(f)->pMethods->xWrite(real(f), from, size, at);
}
int truncate(sqlite3_file *f, sqlite3_int64 size) { return real(f)->pMethods->xTruncate(real(f), size); }
int sync(sqlite3_file *f, int flags) { return real(f)->pMethods->xSync(real(f), flags); }
int size_of(sqlite3_file *f, sqlite3_int64 *size) { return real(f)->pMethods->xFileSize(real(f), size); }
int lock(sqlite3_file *f, int level) { return real(f)->pMethods->xLock(real(f), level); }
int unlock(sqlite3_file *f, int level) { return real(f)->pMethods->xUnlock(real(f), level); }
int is_reserved(sqlite3_file *f, int *out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); }
int control(sqlite3_file *f, int what, void *argument) {
  return real(f)->pMethods->xFileControl(real(f), what, argument);
}
int sector_size(sqlite3_file *f) { return real(f)->pMethods->xSectorSize(real(f)); }
int characteristics(sqlite3_file *f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); }
int map(sqlite3_file *f, int region, int size, int extend, void volatile **out) {
  return real(f)->pMethods->xShmMap(real(f), region, size, extend, out);
}
// The WAL's locks: 0 to append, 1 to checkpoint. More than one at a time is a recovery.
int lock_shared_memory(sqlite3_file *f, int offset, int count, int flags) {
  bool exclusive = flags & SQLITE_SHM_EXCLUSIVE, locks = flags & SQLITE_SHM_LOCK;
  bool traced = exclusive && count == 1 && offset <= 1;
  LockEvent begins = offset == 0 ? LockEvent::kWriteBegins : LockEvent::kCheckpointBegins;
  LockEvent ends = offset == 0 ? LockEvent::kWriteEnds : LockEvent::kCheckpointEnds;
  if (traced && locks) record(begins);
  int result = real(f)->pMethods->xShmLock(real(f), offset, count, flags);
  if (traced && (!locks || result != SQLITE_OK)) record(ends);
  return result;
}
void barrier(sqlite3_file *f) { real(f)->pMethods->xShmBarrier(real(f)); }
int unmap(sqlite3_file *f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); }

const sqlite3_io_methods kMethods = {2,
                                     close_file,
                                     read_file,
                                     write_file,
                                     truncate,
                                     sync,
                                     size_of,
                                     lock,
                                     unlock,
                                     is_reserved,
                                     control,
                                     sector_size,
                                     characteristics,
                                     map,
                                     lock_shared_memory,
                                     barrier,
                                     unmap,
                                     nullptr,
                                     nullptr};

int open_file(sqlite3_vfs *, const char *name, sqlite3_file *file, int flags, int *out) {
  auto *traced = reinterpret_cast<TracedFile *>(file);
  traced->base.pMethods = nullptr;
  traced->kind = flags;
  int result = usual->xOpen(usual, name, traced->real(), flags, out);
  if (traced->real()->pMethods) traced->base.pMethods = &kMethods;
  return result;
}

void register_vfs() {
  static sqlite3_vfs vfs;
  if (usual) return;
  usual = sqlite3_vfs_find(nullptr);
  vfs = *usual;
  vfs.zName = "trace";
  vfs.szOsFile = static_cast<int>(sizeof(TracedFile)) + usual->szOsFile;
  vfs.xOpen = open_file;
  sqlite3_vfs_register(&vfs, 1);
}

}  // namespace

// The library calls this program's fcntl(): byte 0 of the shared file is the writer lock.
extern "C" int fcntl(int descriptor, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  auto *request = static_cast<struct flock *>(argument);
  bool writer = command == F_OFD_SETLK && request->l_start == 0;
  if (writer && request->l_type == F_UNLCK) record(LockEvent::kWriterReleased);
  auto result = static_cast<int>(syscall(SYS_fcntl, descriptor, command, argument));
  if (writer && request->l_type == F_WRLCK && result == 0) record(LockEvent::kWriterTaken);
  return result;
}

namespace dbc::testing {
namespace {

// Writes until it is killed or told to stop; closes and opens in between, which makes checkpoints too.
int write(const std::string &path, uint64_t seed, const std::atomic<bool> &stop) {
  register_vfs();
  Options options;
  options.set(DBC_MAX_DISK_ITEMS, 40).set(DBC_MAX_MEMORY_ITEMS, 10).set_seconds(DBC_BUSY_TIMEOUT_SECONDS, 60);
  options.set_seconds(DBC_TOUCH_DELAY_SECONDS, 0.02);
  if (!long_run()) options.set(DBC_DURABILITY, DBC_DURABILITY_OFF);
  Random random(seed);
  while (!stop) {
    Cache cache(path, options);
    for (int i = 0; i < 400 && !stop; ++i) {
      cache.put(key_of(random.below(60)), random.next(), 100'000);
      cache.get(key_of(random.below(60)));
      if (random.below(200) == 0) cache.clear();
    }
    if (random.below(2)) cache.close();
  }
  return 0;
}

// There must be some checkpoints to look at.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr double kSeconds = 16;
#else
constexpr double kSeconds = 4;
#endif

TEST(LockTrace, NoCheckpointOverlapsACommit) {
  constexpr int kProcesses = 4;
  SharedObject<LockTrace> shared;
  SharedObject<std::atomic<bool>> stop;
  trace = &*shared;
  TemporaryDirectory directory;
  std::string path = directory / "cache.db";
  std::map<int, std::unique_ptr<Child>> children;
  std::set<int> killed;
  uint64_t seed = 0;
  auto start = [&] {
    auto child = std::make_unique<Child>([&, number = ++seed] { return write(path, number, *stop); });
    int process = child->process();
    children[process] = std::move(child);
  };
  for (int i = 0; i < kProcesses; ++i) start();
  Random random(1);
  Deadline deadline(kSeconds);
  while (!deadline.passed() && !shared->full()) {
    usleep(static_cast<useconds_t>(50'000 + random.below(150'000)));
    auto victim = std::next(children.begin(), static_cast<long>(random.below(kProcesses)));
    killed.insert(victim->first);
    victim->second->kill_and_wait();
    children.erase(victim);
    start();
  }
  *stop = true;
  for (auto &[process, child] : children) EXPECT_EQ(child->wait(), 0);
  LockFindings found = examine(*shared, killed);
  trace = nullptr;
  std::printf(
      "   %zu records: %zu commits, %zu checkpoints, %zu resets of the WAL, %zu holds of the writer lock, %zu kills\n",
      shared->size(), found.commits, found.checkpoints, found.resets, found.holds, killed.size());
  for (const std::string &problem : found.problems) ADD_FAILURE() << problem;
  EXPECT_GT(found.commits, 100u);
  EXPECT_GT(found.checkpoints, 5u);
  EXPECT_GT(found.resets, 5u);
  EXPECT_GT(killed.size(), 3u);
  expect_sound(path);
}

// ---- That the examination would find it.

class ExaminationTest : public ::testing::Test {
 protected:
  using enum LockEvent;
  void commit(int process) {
    for (LockEvent event : {kWriterTaken, kWriteBegins, kWalWritten, kWriteEnds, kWriterReleased})
      trace_->add(event, process);
  }
  void checkpoint(int process) {
    for (LockEvent event : {kWriterTaken, kCheckpointBegins, kDatabaseWritten, kCheckpointEnds, kWriterReleased})
      trace_->add(event, process);
  }
  std::string problems(const std::set<int> &killed = {}) const {
    std::string all;
    for (const std::string &problem : examine(*trace_, killed).problems) all += problem + "; ";
    return all;
  }
  SharedObject<LockTrace> trace_;
};

TEST_F(ExaminationTest, OneAfterTheOtherIsWell) {
  commit(1);
  checkpoint(2);
  commit(2);
  checkpoint(1);
  EXPECT_EQ(problems(), "");
}

TEST_F(ExaminationTest, ACheckpointOverACommitIsFound) {
  trace_->add(kWriterTaken, 1);
  trace_->add(kWriteBegins, 1);
  trace_->add(kWalWritten, 1);
  trace_->add(kCheckpointBegins, 2);
  trace_->add(kDatabaseWritten, 2);
  trace_->add(kWriteEnds, 1);
  trace_->add(kWriterReleased, 1);
  trace_->add(kCheckpointEnds, 2);
  EXPECT_NE(problems().find("a checkpoint overlaps a commit"), std::string::npos) << problems();
  EXPECT_NE(problems().find("a checkpoint outside the writer lock"), std::string::npos);
  EXPECT_NE(problems().find("the database was written without"), std::string::npos);
}

TEST_F(ExaminationTest, ACommitThatLastsIntoACheckpointIsFound) {
  trace_->add(kWriterTaken, 1);
  trace_->add(kWriteBegins, 1);
  trace_->add(kWalReset, 1);
  trace_->add(kWriterReleased, 1);
  trace_->add(kWriterTaken, 2);
  trace_->add(kCheckpointBegins, 2);
  trace_->add(kWriteEnds, 1);
  trace_->add(kCheckpointEnds, 2);
  trace_->add(kWriterReleased, 2);
  EXPECT_NE(problems().find("a checkpoint overlaps a commit"), std::string::npos) << problems();
  EXPECT_NE(problems().find("a commit outside the writer lock"), std::string::npos);
}

TEST_F(ExaminationTest, TwoHoldersAreFound) {
  trace_->add(kWriterTaken, 1);
  trace_->add(kWriterTaken, 2);
  trace_->add(kWriterReleased, 1);
  trace_->add(kWriterReleased, 2);
  EXPECT_NE(problems().find("two held the writer lock"), std::string::npos) << problems();
}

TEST_F(ExaminationTest, WhoWasKilledHoldsNothing) {
  for (LockEvent event : {kWriterTaken, kWriteBegins, kWalWritten}) trace_->add(event, 1);
  checkpoint(2);
  EXPECT_EQ(problems({1}), "");
  EXPECT_NE(problems().find("a lock was kept"), std::string::npos);
}

}  // namespace
}  // namespace dbc::testing
