// SqliteStore: what has to be written now and then, most of it by the maintenance thread: touches, the order of the
// next candidates for eviction, the saved counts, checkpoints.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <thread>

#include "base/fork.h"
#include "disk/sqlite_store.h"
#include "disk/sqlite_transaction.h"
#include "disk/wal_index.h"

namespace dbc {
namespace {

// The WAL is folded into the file when it has grown to 16 MiB, by the maintenance thread; at four times that, because
// the thread does not keep up, by the writer who made it so.
constexpr int kCheckpointPages = 4096;
static_assert(WriterSnapshot::kMostPages < kCheckpointPages);
constexpr int kUrgentCheckpointPages = 4 * kCheckpointPages;

// Readers whose times overlap would keep the WAL from ever being begun anew. Once it has grown that far, a checkpoint
// waits this long for those that still need it, while nobody writes; new ones read from the file then. If they stay for
// longer, it is tried again after 4 MiB, with twice the patience, but not more than the most.
constexpr int kLeastPatienceMilliseconds = 100, kMostPatienceMilliseconds = 1600;
constexpr int kRetryPages = 1024;

// How many touches one transaction writes, and how many may wait before they are written ahead of time.
constexpr size_t kTouchBatch = 8192;
constexpr size_t kUrgentTouches = 16384;

// How many candidates for eviction are kept in order ahead of time. When N items are used evenly, 1024 uses in N cost a
// repair, in the background, where an index that is kept up costs one each; and an eviction finds its victim at once.
constexpr size_t kTidyCandidates = 1024;
// After so many rounds it is time to ask whether they lead anywhere.
constexpr int kTidyRoundsUntilDoubt = 64;

}  // namespace

std::unique_ptr<Transaction> SqliteStore::begin() { return std::make_unique<SqliteTransaction>(*this); }

// Keeping candidates in order is work for nothing while none is evicted.
void SqliteStore::expect_evictions(bool expected) noexcept {
  if (evictions_expected_.load(std::memory_order_relaxed) == expected) return;
  evictions_expected_.store(expected);
  if (expected) maintenance_->request(false);
}

void SqliteStore::left_memory(Item &item) noexcept { touches_.left_memory(item); }

void SqliteStore::touched(Item &item, bool backward) noexcept {
  size_t entries = 0;
  try {
    entries = touches_.add(item, backward);
  } catch (const std::bad_alloc &) {
    return;  // its mark is not set: the next hit tells again
  }
  // The first entry starts the clock, and from then on only a log that grows too long is news.
  if (entries == 1) maintenance_->request(false);
  if (entries >= kUrgentTouches && entries % kTouchBatch == 0) maintenance_->request(true);
}

// As many as there are now, and no more: where many hit all the time, there are always some.
void SqliteStore::write_touches_in_batches() {
  // Those too that another thread is writing now: they are done when it is our turn.
  for (size_t most = touches_.unwritten(); most > 0;) {
    SqliteTransaction transaction(*this);
    size_t batch = std::min(most, kTouchBatch);
    size_t left = transaction.write_touches(batch);
    transaction.commit([] {});
    most = std::min(most - batch, left);
  }
  if (touches_.size() > 0) maintenance_->request(false);
}

// In transactions of a few milliseconds each, between which other writers have their turn.
void SqliteStore::tidy() {
  if (!evictions_expected_.load()) return;
  for (int round = 0; !closing_.load(std::memory_order_relaxed); ++round) {
    if (!Lease(*this).reader()->any_misplaced(kTidyCandidates)) return;
    SqliteTransaction transaction(*this);
    // Nothing: another was faster, or the reader sees a damaged page that the writer read before.
    if (transaction.tidy(kTidyCandidates, round >= kTidyRoundsUntilDoubt) == 0) return;
    transaction.commit([] {});
  }
}

// What failed in the background is pending still, and is tried again here.
void SqliteStore::flush() {
  write_touches_in_batches();
  tidy();
  save_totals();
}

// On the maintenance thread, so a failure is told in the log, by the next call.
bool SqliteStore::maintain() {
  if (replaced()) return true;
  try {
    bool written = true;
    try {
      write_touches_in_batches();
      tidy();
      save_totals();
    } catch (const Error &error) {
      // Then a checkpoint may make room.
      if (error.status() != Status::kFull) throw;
      logger_.defer(kWarning, "work in the background will be tried again: ", error.what());
      written = false;
    }
    checkpoint_if_due();
    return written;
  } catch (const Error &error) {
    if (error.status() == Status::kCorrupt) report_damage();
    logger_.defer(kWarning, "work in the background failed and will be tried again: ", error.what());
    return outdated();
  } catch (const std::exception &error) {
    logger_.defer(kWarning, "work in the background failed and will be tried again: ", error.what());
    return false;
  }
}

// When the file has what is in the WAL, that can be begun anew. What kept it from it so far may be gone.
void SqliteStore::make_room_soon() noexcept {
  checkpointed_pages_ = 0;
  if (maintenance_) maintenance_->request(false);
}

// False: not all have ended. That of a writer who is at work ends with its commit, or when this comes again.
bool SqliteStore::release_snapshots() {
  try {
    NoFork no_fork;
    readers_->release_snapshots();
    std::unique_lock lock(connection_mutex_, std::try_to_lock);
    if (lock.owns_lock() && writer_snapshot_) writer_snapshot_->end();
    return lock.owns_lock();
  } catch (const std::bad_alloc &) {
    return false;
  }
}

void SqliteStore::checkpoint_if_due() {
  if (sync_failed_.load()) mend_failed_sync_soon();
  if (!checkpoint_is_due()) return;
  if (options_.durability != Durability::kOff) {
    sync_wal();
    try {
      if (!checkpoint_ahead()) return;
    } catch (const Error &) {
      if (sync_failed_.load()) mend_failed_sync_soon();
      throw;
    }
    sync_wal();
  }
  Turn turn(*this);
  checkpoint();
}

// Most of a checkpoint is the wait for the device to have what was copied into the file. While somebody reads an
// earlier state than the latest, SQLite copies what that state has, but cannot begin the WAL anew, and so does not wait
// for the device either. Such a reader is made here, with a commit after it; then the writer lock is given back, and
// the file synced. What others have committed meanwhile is left to an ordinary checkpoint, which has little to wait
// for. False: none is needed, since another process has just made one.
bool SqliteStore::checkpoint_ahead() {
  if (!wal_index_.found()) return true;
  std::optional<Turn> turn(std::in_place, *this);
  Lease lease(*this, *turn);
  ReadTransaction earlier(*lease.reader());
  lease.reader()->totals();  // with the first read it begins
  if (wal_index_.pages_to_copy() < kCheckpointPages / 2) {
    checkpointed_pages_ = wal_pages_.load();
    return false;
  }
  try {
    if (!sqlite3_get_autocommit(connection_->handle())) writer_->roll_back.run();
    sqlite3_busy_timeout(connection_->handle(), 0);  // fork() waits for this, and shall not wait for another program
    if (writer_snapshot_) writer_snapshot_->end();
    writer_->count_checkpoint.run();
  } catch (const Error &) {
    return true;  // no room, or a foreign program is writing: then nothing is done ahead
  }
  copy_wal(SQLITE_CHECKPOINT_PASSIVE);
  turn.reset();
  try {
    lease.connection().sync();
  } catch (const Error &) {
    // What the device did not take, the kernel has forgotten. As long as `earlier` lives, it all still is in the WAL,
    // of which SQLite believes that it was copied. To say otherwise needs the writer lock, and a fork() that waits for
    // this Lease may be what its holder waits for: so the reader lives on, and whoever has the lock next says it.
    earlier.leave_open();
    lease.park();
    sync_failed_.store(true);
    throw;
  }
  return true;
}

// Under the writer lock.
void SqliteStore::mend_failed_sync() noexcept {
  NoFork no_fork;
  wal_index_.invalidate();
  readers_->end_parked();
  sync_failed_.store(false);
}

void SqliteStore::mend_failed_sync_soon() noexcept {
  try {
    Turn turn(*this);
  } catch (const std::exception &) {
    // Another holds it: then with the next transaction or round of work.
  }
}

// A checkpoint first waits until the device has the WAL. What it has by then it need not wait for under the writer
// lock. (The WAL, other than the database, has no locks that closing a descriptor of it could take away.) A failure is
// the checkpoint's to find.
void SqliteStore::sync_wal() const {
  if (options_.durability == Durability::kOff) return;
  int descriptor;
  {
    NoFork no_fork;
    descriptor = ::open((options_.path + "-wal").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) return;
    try {
      close_in_child(descriptor);
    } catch (const std::bad_alloc &) {
      ::close(descriptor);
      return;
    }
  }
  fdatasync(descriptor);
  NoFork no_fork;
  forget_descriptor(descriptor);
  ::close(descriptor);
}

// At the end of a commit, under the writer lock.
void SqliteStore::after_commit(bool wants_maintenance) noexcept {
  if (wants_maintenance) maintenance_->request(false);
  // Begun anew?
  if (wal_pages_.load(std::memory_order_relaxed) < checkpointed_pages_) checkpointed_pages_ = 0;
  if (!checkpoint_is_due()) return;
  if (!checkpoint_is_urgent()) {
    maintenance_->request(true);
    return;
  }
  try {
    checkpoint();
  } catch (const std::exception &error) {
    // The commit stands. A checkpoint that failed is tried again with the next one.
    logger_.defer(kWarning, "checkpoint failed: ", error.what());
  }
}

// Under the writer lock. The snapshots that readers here keep would only be in the way; those of other processes end
// soon. Readers are waited for in small steps, between which a fork() can go on.
void SqliteStore::checkpoint() {
  using Clock = std::chrono::steady_clock;
  std::optional<ReaderPool::NoSnapshots> no_snapshots;
  if (!checkpoint_is_urgent()) {
    NoFork no_fork;
    no_snapshots.emplace(*readers_);
    copy_wal(SQLITE_CHECKPOINT_PASSIVE);
    return;
  }
  int patience = std::clamp(patience_milliseconds_, kLeastPatienceMilliseconds, kMostPatienceMilliseconds);
  auto deadline = Clock::now() + std::chrono::milliseconds(std::min(patience, busy_timeout_milliseconds()));
  patience_milliseconds_ = 2 * patience;
  while (true) {
    {
      NoFork no_fork;
      if (!no_snapshots) no_snapshots.emplace(*readers_);
      if (copy_wal(SQLITE_CHECKPOINT_RESTART) == SQLITE_OK) break;
    }
    if (Clock::now() >= deadline) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  patience_milliseconds_ = 0;
}

// Before a read. What is not plausible without the lock may only be in the middle of a change.
void SqliteStore::mend_wal_index() {
  for (int look = 0; look < 100; ++look) {
    if (!wal_index_.found() || wal_index_.plausible()) return;
    std::this_thread::sleep_for(std::chrono::microseconds(10));
  }
  Turn turn(*this);
  mend_wal_index_under_lock();
}

void SqliteStore::mend_wal_index_under_lock() {
  if (wal_index_.found() && !wal_index_.plausible()) wal_index_.invalidate();
}

// In a NoFork, under the writer lock. SQLITE_BUSY: a reader needs the rest of the WAL.
int SqliteStore::copy_wal(int mode) {
  if (writer_snapshot_) writer_snapshot_->end();
  sqlite3_busy_timeout(connection_->handle(), 0);
  int pages = 0;
  int result = sqlite3_wal_checkpoint_v2(connection_->handle(), nullptr, mode, &pages, nullptr);
  // Also of one that failed: the next is due when the WAL has grown again, not with the next commit.
  checkpointed_pages_ = pages >= 0 ? pages : wal_pages_.load();
  if (result != SQLITE_OK && result != SQLITE_BUSY) {
    // If it was the sync, the kernel has forgotten what this checkpoint has copied, and what others have before it that
    // did not come to their sync; SQLite believes that all of theirs is in the file.
    if (wal_index_.found()) wal_index_.invalidate();
    connection_->fail(result, "checkpoint");
  }
  return result;
}

bool SqliteStore::checkpoint_is_due() const {
  int pages = wal_pages_.load(std::memory_order_relaxed), before = checkpointed_pages_;
  return (pages < before ? pages : pages - before) >= (checkpoint_is_urgent() ? kRetryPages : kCheckpointPages);
}

bool SqliteStore::checkpoint_is_urgent() const {
  return wal_pages_.load(std::memory_order_relaxed) >= kUrgentCheckpointPages;
}

// While none of ours is at work the table says what there is, so that nothing need be counted after a power cut.
void SqliteStore::save_totals() {
  std::optional<FileTotals> shared = totals_ ? totals_->current() : std::nullopt;
  if (!shared || !shared->table_is_stale) return;
  SqliteTransaction transaction(*this);
  transaction.save_totals_in_table();
  transaction.commit([] {});
}

}  // namespace dbc
