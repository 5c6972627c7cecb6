// SqliteStore: what only looks at the file.
#include <chrono>
#include <utility>

#include "base/fork.h"
#include "base/status.h"
#include "disk/sqlite_store.h"
#include "disk/sqlite_transaction.h"

namespace dbc {

SqliteStore::Lease::Lease(SqliteStore &store) : store_(store) {
  if (store_.in_memory()) store_.lock_writer();
  store_.mend_wal_index();
  no_fork_.emplace();
  if (!store_.in_memory()) loan_.emplace(*store_.readers_);
}

SqliteStore::Lease::Lease(SqliteStore &store, const Turn &) : store_(store) {
  store_.mend_wal_index_under_lock();
  no_fork_.emplace();
  loan_.emplace(*store_.readers_);
}

SqliteStore::Lease::~Lease() {
  if (!store_.in_memory()) return;
  no_fork_.reset();
  store_.unlock_writer();
}

Reader *SqliteStore::Lease::latest() { return loan_ ? loan_->latest() : store_.memory_reader_.get(); }
Reader *SqliteStore::Lease::reader() { return loan_ ? loan_->reader() : store_.memory_reader_.get(); }
void SqliteStore::Lease::park() noexcept { loan_->park(); }

const Connection &SqliteStore::Lease::connection() const { return loan_ ? loan_->connection() : *store_.connection_; }

Lookup SqliteStore::read(const Key &key, Want want, uint64_t held_version, double recent_enough) {
  uint64_t generation = generations_->word(key.hash);
  Lease lease(*this);
  uint64_t batches = touches_.written();
  Lookup found = lease.latest()->read(key, want, held_version, recent_enough, schema_id_, generation);
  while (found.version != 0) {
    double timestamp = found.timestamp;
    touches_.apply(found.version, &timestamp);
    if (touches_.written() == batches) {
      if (timestamp != found.timestamp) found.set_timestamp(timestamp);
      return found;
    }
    // A batch was written meanwhile. The time again, not the bytes: that could take as long as until the next batch.
    batches = touches_.written();
    Lookup head = lease.latest()->read(key, Want::kNothing, 0, Store::kExactly, schema_id_, generation);
    if (head.version != found.version) {
      found = lease.latest()->read(key, want, held_version, recent_enough, schema_id_, generation);
    } else {
      found.set_timestamp(head.timestamp);
    }
  }
  return found;
}

// Reads of one moment. What is read may be older than the present generation says: such items must not be kept.
class SqliteSnapshot final : public Snapshot {
 public:
  explicit SqliteSnapshot(SqliteStore &store)
      : pin_(store.touches_), store_(store), lease_(store), reader_(*lease_.reader()), transaction_(reader_) {}
  Lookup read(const Key &key, Want want, uint64_t held_version) override {
    uint64_t generation = store_.generations_->last_word(key.hash);
    Lookup found = reader_.read(key, want, held_version, Store::kExactly, store_.schema_id_, generation);
    if (found.version == 0) return found;
    double timestamp = found.timestamp;
    store_.touches_.apply_in_snapshot(found.version, &timestamp);
    found.set_timestamp(timestamp);
    return found;
  }

 private:
  struct Pin {
    explicit Pin(TouchLog &log_) : log(log_), number(log.pin()) {}
    ~Pin() { log.unpin(number); }
    TouchLog &log;
    const uint64_t number;
  };
  Pin pin_;  // before the snapshot begins, until it has ended
  SqliteStore &store_;
  SqliteStore::Lease lease_;
  Reader &reader_;
  ReadTransaction transaction_;
};

std::unique_ptr<Snapshot> SqliteStore::snapshot() { return std::make_unique<SqliteSnapshot>(*this); }

Totals SqliteStore::totals() {
  std::optional<FileTotals> shared;
  if (totals_) {
    // A writer that holds the lock is about to commit, and what was before counts. One that died has left a doubt.
    if (totals_->in_doubt() && lock_->try_lock_for(std::chrono::seconds(0))) {
      lock_->unlock();
      return SqliteTransaction(*this).totals();
    }
    shared = totals_->current();
    if (!shared) return SqliteTransaction(*this).totals();
    Totals sum;
    for (size_t i = 0; i < shared->count; ++i) {
      sum.items += shared->schemas[i].items;
      sum.bytes += shared->schemas[i].bytes;
    }
    return sum;
  }
  return Lease(*this).reader()->totals();
}

// The counts that are shared are no part of a snapshot. They belong to it if there was no doubt about them before it
// began, and they are the same afterwards.
void SqliteStore::check(CheckReport *report) try {
  using Clock = std::chrono::steady_clock;
  auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(options_.busy_timeout_seconds));
  for (auto pause = std::chrono::microseconds(10);; pause = std::min(2 * pause, std::chrono::microseconds(1000))) {
    if (totals_) totals();  // settles what a dead writer left in doubt
    {
      uint64_t moment = totals_ ? totals_->moment() : 0;
      Lease lease(*this);
      Reader &reader = *lease.reader();
      ReadTransaction transaction(reader);
      reader.totals();  // with the first read the snapshot begins
      std::optional<RecordedTotals> recorded = shared_totals();
      if (!totals_ || (!totals_->in_doubt() && totals_->moment() == moment)) {
        return check_file(lease.connection(), checked_schema(), recorded, report);
      }
    }
    if (Clock::now() >= deadline) {
      throw Error(Status::kBusy, "db_path " + options_.path + ": writers left no time for a check to begin; try again");
    }
    std::this_thread::sleep_for(pause);
  }
} catch (const Error &error) {
  // What cannot even be opened.
  if (error.status() != Status::kCorrupt) throw;
  report->add(std::string("structure: ") + error.what());
}

std::optional<RecordedTotals> SqliteStore::shared_totals() const {
  std::optional<FileTotals> shared = totals_ ? totals_->current() : std::nullopt;
  if (!shared) return std::nullopt;
  RecordedTotals recorded{shared->last_version, {}, shared->waiting};
  for (size_t i = 0; i < shared->count; ++i) {
    const FileTotals::Schema &schema = shared->schemas[i];
    recorded.schemas.push_back({schema.id, {schema.items, schema.bytes}});
  }
  return recorded;
}

}  // namespace dbc
