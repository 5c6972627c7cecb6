#include "disk/reader_pool.h"

#include <exception>
#include <new>
#include <utility>

namespace dbc {

// The reader first: a connection with statements left cannot be closed.
ReaderPool::Entry &ReaderPool::Entry::operator=(Entry &&other) noexcept {
  reader.reset();
  connection = std::move(other.connection);
  reader = std::move(other.reader);
  index = other.index;
  last = other.last;
  keeps = std::exchange(other.keeps, false);
  round = other.round;
  return *this;
}

void ReaderPool::Entry::end_snapshot() {
  if (!keeps) return;
  keeps = false;
  reader->end();
}

ReaderPool::ReaderPool(std::function<std::unique_ptr<Connection>()> connect, std::function<bool()> request_release)
    : connect_(std::move(connect)), request_release_(std::move(request_release)) {}

ReaderPool::Loan::Loan(ReaderPool &pool) : pool_(pool), exceptions_(std::uncaught_exceptions()) {
  {
    std::lock_guard lock(pool_.mutex_);
    if (!pool_.free_.empty()) {
      entry_ = std::move(pool_.free_.back());
      pool_.free_.pop_back();
      return;
    }
  }
  entry_.connection = pool_.connect_();
  entry_.reader = std::make_unique<Reader>(*entry_.connection);
}

ReaderPool::Loan::~Loan() {
  try {
    if (std::uncaught_exceptions() > exceptions_) entry_.end_snapshot();
    give_back();
  } catch (const std::exception &) {
    // The next reader makes a connection anew.
  }
}

void ReaderPool::Loan::give_back() {
  if (!entry_.connection) return;
  if (entry_.keeps && entry_.round != pool_.round_.load()) entry_.end_snapshot();
  std::unique_lock lock(pool_.mutex_);
  // Once more, since release_snapshots() counts under the mutex and then ends what it finds here.
  if (entry_.keeps && entry_.round != pool_.round_.load()) {
    lock.unlock();
    entry_.end_snapshot();
    lock.lock();
  }
  pool_.free_.push_back(std::move(entry_));
}

Reader *ReaderPool::Loan::reader() {
  entry_.end_snapshot();
  return entry_.reader.get();
}

void ReaderPool::Loan::park() noexcept {
  std::lock_guard lock(pool_.mutex_);
  pool_.parked_ = std::move(entry_);
}

Reader *ReaderPool::Loan::latest() {
  Reader *reader = entry_.reader.get();
  if (!pool_.request_release_) return reader;
  if (!entry_.index.found() && !entry_.index.find(entry_.connection->handle())) return reader;
  // Before the snapshot is taken: what is committed in between only makes it look older than it is.
  WalIndex::Header now = entry_.index.header();
  bool same = now == entry_.last;
  entry_.last = now;
  if (entry_.keeps) {
    if (same && entry_.round == pool_.round_.load()) return reader;
    entry_.end_snapshot();
  }
  if (!same) return reader;
  if (!pool_.may_keep(&entry_.round)) return reader;
  reader->begin();
  entry_.keeps = true;
  return reader;
}

bool ReaderPool::may_keep(uint64_t *round) {
  // Before the rest: a release that comes later, or has come while the connection was lent, finds another round.
  *round = round_.load();
  if (pauses_.load() > 0) return false;
  if (release_requested_.exchange(true) || request_release_()) return true;
  release_requested_.store(false);
  round_.fetch_add(1);  // for who has relied on this request meanwhile
  return false;
}

ReaderPool::NoSnapshots::NoSnapshots(ReaderPool &pool) : pool_(pool) {
  pool_.pauses_.fetch_add(1);
  try {
    pool_.release_snapshots();
  } catch (...) {
    pool_.pauses_.fetch_sub(1);
    throw;
  }
}

// All under the mutex: who found the pool empty meanwhile would open one more connection, which then stays.
void ReaderPool::release_snapshots() {
  release_requested_.store(false);
  std::lock_guard lock(mutex_);
  round_.fetch_add(1);
  std::erase_if(free_, [](Entry &entry) {
    try {
      entry.end_snapshot();
      return false;
    } catch (const std::exception &) {
      return true;  // closed
    }
  });
}

void ReaderPool::end_parked() noexcept {
  Entry parked;
  std::lock_guard lock(mutex_);
  parked = std::move(parked_);
}

void ReaderPool::clear() {
  free_.clear();
  parked_ = Entry();
}

}  // namespace dbc
