// SqliteStore: the disk tier in one SQLite file in WAL mode.
//
// One connection writes, under the WriterLock; readers lend themselves connections from a pool. Checkpoints are made by
// this class alone, under the writer lock, so that none ever overlaps a commit (SQLite before 3.51.3 can corrupt a file
// when a second checkpoint overlaps the commit that resets the WAL).
//
// Where no SharedFile can be had, the file is in rollback journal mode instead: SQLite's locks make writers queue, and
// its data_version tells of the commits of others. The mode also keeps processes of the two kinds apart; see
// choose_journal().
//
// At ":memory:" there is one connection, and readers take turns with writers.
//
// Lock order: WriterLock, the mutex of the writer's connection, NoFork, the pool's mutex, SQLite's locks, then the leaf mutexes (touch log, maintenance).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fork.h"
#include "base/log.h"
#include "disk/check.h"
#include "disk/compression.h"
#include "disk/connection.h"
#include "disk/data_version.h"
#include "disk/format.h"
#include "disk/maintenance.h"
#include "disk/reader.h"
#include "disk/reader_pool.h"
#include "disk/store.h"
#include "disk/touch_log.h"
#include "disk/wal_index.h"
#include "disk/writer.h"
#include "disk/writer_snapshot.h"
#include "share/shared_file.h"
#include "share/writer_lock.h"

namespace dbc {

enum class Durability { kNormal = 0, kFull = 1, kOff = 2 };

// The path by which every process knows a file, whatever link or folder it came by: the sidecar must be the same for
// all.
std::string canonical_path(const std::string &path);

struct StoreOptions {
  std::string path;  // canonical, or ":memory:"
  std::string schema_version;
  Durability durability = Durability::kNormal;
  double busy_timeout_seconds = 5;
  double touch_delay_seconds = 1;
  unsigned file_mode = 0600;
  bool fail_on_corrupt = false;
  Compression compression = Compression::kNone;  // of what is put from now on
};

class SqliteStore final : public Store {
 public:
  // Opens or creates the file. Lines about what was found go to `log`; `logger` outlives the store.
  SqliteStore(const StoreOptions &options, Logger &logger, LogScope &log);
  ~SqliteStore() override;

  Lookup read(const Key &key, Want want, uint64_t held_version, double recent_enough) override;
  std::unique_ptr<Snapshot> snapshot() override;
  std::unique_ptr<Transaction> begin() override;
  Totals totals() override;
  uint64_t reserve_version() noexcept override { return next_version(seen_version_.load(std::memory_order_relaxed)); }
  bool can_reserve() const override { return shared_ || in_memory(); }
  void expect_evictions(bool expected) noexcept override;
  void touched(Item &item, bool backward) noexcept override;
  void left_memory(Item &item) noexcept override;
  void flush() override;
  void check(CheckReport *report) override;
  const Generations &generations() const override { return *generations_; }
  bool outdated() const override;
  void report_damage() noexcept override;
  void close(LogScope &log) override;

 private:
  friend class SqliteTransaction;
  friend class SqliteSnapshot;

  // The writer lock for the length of a scope.
  class Turn {
   public:
    explicit Turn(SqliteStore &store) : store_(store) { store.lock_writer(); }
    ~Turn() { store_.unlock_writer(); }
    Turn(const Turn &) = delete;
    Turn &operator=(const Turn &) = delete;

   private:
    SqliteStore &store_;
  };
  // A reader for the length of a scope; in memory that includes the writer lock.
  class Lease {
   public:
    explicit Lease(SqliteStore &store);
    Lease(SqliteStore &store, const Turn &turn);  // by who has the writer lock; not in memory
    ~Lease();
    Lease(const Lease &) = delete;
    Lease &operator=(const Lease &) = delete;
    Reader *latest();  // see ReaderPool::Loan
    Reader *reader();
    void park() noexcept;
    const Connection &connection() const;

   private:
    SqliteStore &store_;
    std::optional<NoFork> no_fork_;  // before the loan: left after it is given back
    std::optional<ReaderPool::Loan> loan_;
  };
  uint64_t next_version(uint64_t seen) noexcept;
  std::optional<RecordedTotals> shared_totals() const;
  CheckedSchema checked_schema() const { return {schema_id_, options_.schema_version}; }
  bool in_memory() const { return options_.path == ":memory:"; }
  void open(LogScope &log);
  [[noreturn]] void refuse_damaged() const;
  void close_connections();
  void abandon();
  void take_down();
  bool is_at_its_path() const;
  // Was the file moved aside? Then what is shared belongs to the fresh one. Under the writer lock it stays true or
  // false.
  bool replaced() const { return shared_ && shared_->incarnation() != incarnation_; }
  void remember_file();
  // May a damaged file be moved aside? Only where all can be told.
  bool may_restart() const { return shared_ && !options_.fail_on_corrupt; }
  void open_shared(LogScope &log);
  void share_nothing();
  void open_database(LogScope &log);
  void open_or_create(FileKind kind);
  void choose_journal();
  bool uses_wal() const;
  [[noreturn]] void refuse_mixed_use() const;
  void find_schema_id();
  void check_totals();
  void save_totals();
  int busy_timeout_milliseconds() const;
  std::unique_ptr<Connection> connect(bool writes) const;
  void lock_writer();
  void unlock_writer();
  void mend_wal_index();
  void mend_wal_index_under_lock();
  void mend_failed_sync() noexcept;
  void mend_failed_sync_soon() noexcept;
  bool maintain();
  bool release_snapshots();
  void checkpoint_if_due();
  void sync_wal() const;
  bool checkpoint_ahead();
  void write_touches_in_batches();
  void tidy();
  void after_commit(bool wants_maintenance) noexcept;
  void make_room_soon() noexcept;  // after a transaction that found none
  void checkpoint();
  int copy_wal(int mode);
  bool checkpoint_is_due() const;
  bool checkpoint_is_urgent() const;

  const StoreOptions options_;
  Logger &logger_;
  std::unique_ptr<SharedFile> shared_;  // null at ":memory:", and where none can be had
  std::string why_not_shared_;
  std::vector<std::atomic<uint64_t>> private_words_;  // where there is no shared file
  std::unique_ptr<Generations> generations_;
  std::unique_ptr<SharedTotals> totals_;  // null where nothing is shared
  std::unique_ptr<WriterLock> lock_;
  // The last version given out, or any number: see next_version().
  std::atomic<uint64_t> private_versions_{0};
  std::atomic<uint64_t> seen_version_{0};  // one that the file has had, and it has had none much later
  std::atomic<uint64_t> *versions_ = &private_versions_;
  int64_t schema_id_ = 0;
  uint64_t database_id_ = 0;
  uint64_t incarnation_ = 0;
  dev_t device_ = 0;  // which file it is, whatever becomes of its name
  ino_t inode_ = 0;
  std::atomic<bool> damaged_{false};

  // The writer's; used between lock_writer() and unlock_writer(), and for the end of its snapshot under the mutex alone.
  std::unique_ptr<Connection> connection_;
  std::mutex connection_mutex_;
  std::unique_ptr<Writer> writer_;
  WalIndex wal_index_;  // the writer's connection has it mapped
  std::unique_ptr<Connection> data_version_connection_;
  std::unique_ptr<DataVersion> data_version_;  // for a file without a shared one
  std::unique_ptr<Reader> memory_reader_;      // at ":memory:": on the writer's connection, under lock_

  std::optional<ReaderPool> readers_;              // none in memory
  std::optional<WriterSnapshot> writer_snapshot_;  // none where readers keep none

  TouchLog touches_;
  std::atomic<int> wal_pages_{0};           // in the WAL after the last commit
  std::atomic<int> checkpointed_pages_{0};  // of them, how many the last checkpoint has seen
  std::atomic<bool> sync_failed_{false};    // and nobody has had the writer lock since; see checkpoint_ahead()
  int patience_milliseconds_ = 0;           // with readers, of the next urgent checkpoint; used under lock_
  std::atomic<bool> closing_{false};
  std::atomic<bool> evictions_expected_{false};
  std::unique_ptr<Maintenance> maintenance_;
  std::unique_ptr<Maintenance> snapshot_end_;  // null where no snapshots are kept
};

}  // namespace dbc
