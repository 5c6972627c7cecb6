#include "disk/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/fork.h"
#include "base/status.h"
#include "disk/sqlite_transaction.h"

namespace dbc {
namespace {

constexpr int kOpenFlags = SQLITE_OPEN_READWRITE;

void create_parent_directories(const std::string &path) {
  std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (parent.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  if (error) {
    throw Error(Status::kIo,
                "db_path " + path + ": cannot create directory " + parent.string() + ": " + error.message());
  }
}

// Creates the file with its mode, which SQLite then gives to the WAL too. It may exist.
void create_empty_file(const std::string &path, unsigned mode) {
  int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor >= 0) {
    ::close(descriptor);
  } else if (errno != EEXIST) {
    Status status = errno == ENOSPC || errno == EDQUOT ? Status::kFull : Status::kIo;
    throw Error(status, "db_path " + path + ": cannot create the file: " + std::strerror(errno));
  }
}

}  // namespace

std::string canonical_path(const std::string &path) {
  if (path == ":memory:") return path;
  // Absolute first: of a path that does not exist yet, weakly_canonical() leaves a relative one relative.
  std::error_code error;
  std::filesystem::path full = std::filesystem::absolute(path, error);
  if (error) return path;
  std::filesystem::path resolved = std::filesystem::weakly_canonical(full, error);
  return error ? full.string() : resolved.string();
}

SqliteStore::SqliteStore(const StoreOptions &options, Logger &logger, LogScope &log)
    : options_(options), logger_(logger) {
  take_down_inherited();
  try {
    open(log);
  } catch (const Error &error) {
    if (error.status() == Status::kCorrupt && shared_) report_damage();
    abandon();
    throw;
  } catch (...) {
    abandon();
    throw;
  }
}

void SqliteStore::open(LogScope &log) {
  // What is loaded may be older than what was compiled with.
  if (sqlite3_libversion_number() < 3037000 || sqlite3_threadsafe() == 0) {
    throw Error(Status::kInternal, std::string("SQLite 3.37 or later, built for threads, is needed; loaded is ") +
                                       sqlite3_libversion() +
                                       (sqlite3_threadsafe() == 0 ? ", without support for threads" : ""));
  }
  {
    NoFork no_fork;
    register_inherited(this, [](void *store) { static_cast<SqliteStore *>(store)->take_down(); });
  }
  if (in_memory()) {
    NoFork no_fork;
    share_nothing();
    open_or_create(FileKind::kFresh);
    memory_reader_ = std::make_unique<Reader>(*connection_);
  } else {
    create_parent_directories(options_.path);
    // Before anything is created beside it: a foreign or newer file stays alone.
    {
      NoFork no_fork;
      if (inspect_file(options_.path) == FileKind::kDamaged && options_.fail_on_corrupt) refuse_damaged();
    }
    open_shared(log);
    open_database(log);
  }
  generations_ = std::make_unique<Generations>(shared_ ? shared_->words() : private_words_.data(), data_version_.get());
  maintenance_ = std::make_unique<Maintenance>([this] { return maintain(); },
                                               std::chrono::duration<double>(options_.touch_delay_seconds));
  if (!in_memory()) {
    // In rollback journal mode a snapshot keeps others from writing.
    std::function<bool()> request_release;
    if (shared_) {
      // On a thread of its own: the other one waits for the writer lock, whose holder may be waiting for the snapshots.
      snapshot_end_ = std::make_unique<Maintenance>([this] { return release_snapshots(); }, ReaderPool::kLongest);
      request_release = [this] { return snapshot_end_->request(false); };
    }
    readers_.emplace([this] { return connect(false); }, std::move(request_release));
    if (shared_ && wal_index_.found()) {
      NoFork no_fork;
      writer_snapshot_.emplace(*connection_, wal_index_, *readers_);
    }
  }
  try {
    check_totals();
  } catch (const Error &error) {
    if (error.status() == Status::kCorrupt) report_damage();
    throw;
  }
  log.add(kInfo, [&] { return "opened " + options_.path; });
}

SqliteStore::~SqliteStore() { abandon(); }

void SqliteStore::abandon() {
  maintenance_.reset();
  snapshot_end_.reset();
  NoFork no_fork;
  close_connections();
  forget_inherited(this);
}

void SqliteStore::refuse_damaged() const {
  throw Error(Status::kCorrupt, "db_path " + options_.path + " is damaged or no database; it was left as it is" +
                                    (options_.fail_on_corrupt ? "" : ", since others cannot be told; remove it"));
}

void SqliteStore::open_shared(LogScope &log) {
  try {
    shared_ = std::make_unique<SharedFile>(options_.path + "-dbc", options_.file_mode);
    lock_ = std::make_unique<WriterLock>(shared_->descriptor(), shared_->queue());
  } catch (const NoSharedFile &error) {
    why_not_shared_ = error.what();
    share_nothing();
    log.add(kWarning, [&] {
      return "db_path " + options_.path + ": nothing can be shared with other processes through memory (" +
             why_not_shared_ +
             "). Every memory hit now asks SQLite whether another process has committed, which takes " +
             "microseconds; writes go through a rollback journal, and are slower";
    });
  }
}

void SqliteStore::share_nothing() {
  private_words_ = std::vector<std::atomic<uint64_t>>(Generations::kMemory);
  lock_ = std::make_unique<WriterLock>(-1);
}

void SqliteStore::open_database(LogScope &log) {
  Turn turn(*this);
  NoFork no_fork;

  FileKind kind = inspect_file(options_.path);
  if (kind != FileKind::kDamaged) {
    try {
      open_or_create(kind);
    } catch (const Error &error) {
      if (error.status() != Status::kCorrupt) throw;
      writer_.reset();
      wal_index_ = {};
      connection_.reset();
      kind = FileKind::kDamaged;
    }
  }
  if (kind == FileKind::kDamaged) {
    if (!may_restart()) refuse_damaged();
    // First: if this process is killed in between, those who use the file open it again, and find it damaged or gone.
    shared_->next_incarnation();
    std::string aside = move_aside(options_.path);
    log.add(kWarning, [&] {
      return "db_path " + options_.path + " is damaged or no database; it was moved to " + aside +
             " and a fresh cache was started";
    });
    open_or_create(FileKind::kFresh);
    shared_->set_damaged_database(0);  // who repairs the damaged file may put it back
  }
}

// Under the writer lock (in memory: before anybody else can know; where nothing is shared, several processes may be
// here).
void SqliteStore::open_or_create(FileKind kind) {
  if (!in_memory() && kind == FileKind::kFresh) {
    if (shared_) remove_leftovers(options_.path);
    create_empty_file(options_.path, options_.file_mode);
  }
  connection_ = connect(true);
  if (sqlite3_db_readonly(connection_->handle(), "main") == 1) {
    // SQLite also says so of a file whose header names a later format than it can write; no cache does.
    if (header_forbids_to_write(options_.path)) {
      throw Error(Status::kCorrupt, "db_path " + options_.path + " is damaged: its header forbids to write");
    }
    // SQLite opens for reading what it cannot open for writing, for whatever reason.
    if (faccessat(AT_FDCWD, options_.path.c_str(), W_OK, AT_EACCESS) == 0) {
      throw Error(Status::kIo, "db_path " + options_.path + ": the file could not be opened for writing; try again");
    }
    throw Error(Status::kIo,
                "db_path " + options_.path +
                    ": this process may not write the file, which a cache does even where it is only read; "
                    "give it the permission");
  }
  if (!in_memory()) require_known_format(*connection_);
  bool has_tables = kind == FileKind::kCache && connection_->query_integer("PRAGMA user_version") >= kTablesVersion;
  if (has_tables) verify_format(*connection_);  // before anything is changed
  if (!in_memory()) choose_journal();
  create_format(*connection_, in_memory());
  if (connection_->query_integer("PRAGMA user_version") < kFormatVersion) migrate_format(*connection_);
  if (!has_tables) verify_format(*connection_);
  if (shared_) {
    database_id_ =
        static_cast<uint64_t>(connection_->query_integer("SELECT value FROM meta WHERE name = 'database_id'"));
    if (database_id_ == 0)
      throw Error(Status::kCorrupt, "db_path " + options_.path + ": it does not say which cache it is");
    if (shared_->damaged_database() == database_id_) {
      throw Error(Status::kCorrupt, "db_path " + options_.path + " was found damaged while in use");
    }
    if (shared_->database_id() != database_id_) shared_->adopt(database_id_);
    totals_ = std::make_unique<SharedTotals>(shared_->totals());
    if (!totals_->adopt_boot()) totals_.reset();
    versions_ = shared_->versions();
    remember_file();
  } else if (!in_memory()) {
    data_version_connection_ = connect(false);
    data_version_ = std::make_unique<DataVersion>(*data_version_connection_);
  }
  find_schema_id();
  writer_ = std::make_unique<Writer>(*connection_);
  if (shared_) wal_index_.find(connection_->handle());
}

// The mode of the journal says by what means all who use the file see each other's changes: in WAL mode through the
// shared file, else through SQLite. It changes only while nobody else uses the file: SQLite does not let go of the WAL
// mode before, and of the other mode a transaction here sees it (see uses_wal()).
void SqliteStore::choose_journal() {
  if (uses_wal() == (shared_ != nullptr)) return;
  if (shared_) {
    // Those who were without it have changed the counts since. First, in case that this process is killed in between.
    SharedTotals(shared_->totals()).forget();
    enter_wal_mode(*connection_, busy_timeout_milliseconds());
    return;
  }
  sqlite3_busy_timeout(connection_->handle(), 0);  // they may well stay
  try {
    connection_->execute("PRAGMA journal_mode=DELETE");
  } catch (const Error &error) {
    if (error.status() == Status::kBusy) refuse_mixed_use();
    throw;
  }
  sqlite3_busy_timeout(connection_->handle(), busy_timeout_milliseconds());
}

bool SqliteStore::uses_wal() const {
  Statement mode(*connection_, "PRAGMA journal_mode");
  return mode.step() && mode.bytes(0) == "wal";
}

void SqliteStore::refuse_mixed_use() const {
  throw Error(Status::kBusy,
              "db_path " + options_.path + ": other processes see each other's changes through " + options_.path +
                  "-dbc, which this one cannot (" + why_not_shared_ +
                  "), so they cannot use the file together; close it there, or give this process the means");
}

void SqliteStore::check_totals() {
  SqliteTransaction transaction(*this);
  if (transaction.check_totals()) transaction.commit([] {});
}

void SqliteStore::find_schema_id() {
  Statement find(*connection_, "SELECT id FROM schema_version WHERE version = ?1");
  find.bind(1, options_.schema_version);
  if (Use use(find); find.step()) {
    schema_id_ = find.integer(0);
    return;
  }
  Statement insert(*connection_,
                   "INSERT OR IGNORE INTO schema_version(version, last_version) VALUES(?1, (SELECT max("
                   "(SELECT value FROM meta WHERE name = 'first_version'), "
                   "coalesce((SELECT max(last_version) FROM schema_version), 0))))");
  insert.bind(1, options_.schema_version).run();
  Use use(find);
  find.step();
  schema_id_ = find.integer(0);
}

int SqliteStore::busy_timeout_milliseconds() const {
  return static_cast<int>(std::ceil(options_.busy_timeout_seconds * 1000));
}

std::unique_ptr<Connection> SqliteStore::connect(bool writes) const {
  auto connection = std::make_unique<Connection>(options_.path, kOpenFlags);
  sqlite3 *handle = connection->handle();
  sqlite3_busy_timeout(handle, busy_timeout_milliseconds());
  // The file may come from anywhere: nothing in it may run code, and damage is looked for.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FKEY, 0, nullptr);
  sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
  connection->execute("PRAGMA cell_size_check=ON");
  // Checkpoints are made under the writer lock only.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  connection->execute("PRAGMA wal_autocheckpoint=0");
  connection->execute("PRAGMA temp_store=MEMORY");
  // Some distributions build SQLite to overwrite with zeros what is deleted: then a clear would write as much as it
  // frees, and find no room for that on a full disk.
  connection->execute("PRAGMA secure_delete=OFF");
  if (!writes) {
    connection->execute("PRAGMA query_only=ON");
    connection->execute("PRAGMA cache_size=-8192");
    return connection;
  }
  connection->execute("PRAGMA cache_size=-16384");
  // A full cache that spills takes the exclusive lock long before the commit, and DataVersion could not look any more.
  if (!shared_ && !in_memory()) connection->execute("PRAGMA cache_spill=OFF");
  switch (options_.durability) {
    case Durability::kNormal:
      // In rollback journal mode NORMAL may leave a damaged file: it syncs the journal and its header at one go.
      connection->execute(shared_ || in_memory() ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL");
      break;
    case Durability::kFull:
      // As FULL, and in rollback journal mode the removal of the journal, which is the commit, is synced too.
      connection->execute("PRAGMA synchronous=EXTRA");
      break;
    case Durability::kOff:
      connection->execute("PRAGMA synchronous=OFF");
      break;
  }
  sqlite3_wal_hook(
      handle,
      [](void *pages, sqlite3 *, const char *, int count) {
        static_cast<std::atomic<int> *>(pages)->store(count, std::memory_order_relaxed);
        return SQLITE_OK;
      },
      const_cast<std::atomic<int> *>(&wal_pages_));
  return connection;
}

void SqliteStore::remember_file() {
  incarnation_ = shared_->incarnation();
  struct stat status;
  if (stat(options_.path.c_str(), &status) != 0) return;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

bool SqliteStore::is_at_its_path() const {
  struct stat status;
  return stat(options_.path.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

bool SqliteStore::outdated() const { return replaced() || (damaged_.load() && may_restart()); }

// Others learn of it through the shared file, so that whoever comes first moves it aside for all.
void SqliteStore::report_damage() noexcept {
  if (!may_restart()) return;
  // What was replaced is dealt with, or was not even damaged.
  if (!replaced()) shared_->set_damaged_database(database_id_);
  damaged_.store(true);
}

// One later than `seen`, and than all that were given out. The counter is in shared memory, where anything can be found:
// further ahead than this it is not believed.
uint64_t SqliteStore::next_version(uint64_t seen) noexcept {
  constexpr uint64_t kFarAhead = uint64_t{1} << 40;
  uint64_t last = versions_->load();
  while (last - seen > kFarAhead) {  // also when it is behind
    if (versions_->compare_exchange_weak(last, seen)) break;
  }
  return std::max(seen, versions_->fetch_add(1)) + 1;
}

void SqliteStore::lock_writer() {
  bool locked;
  try {
    locked = lock_->try_lock_for(std::chrono::duration<double>(options_.busy_timeout_seconds));
  } catch (const Error &error) {
    throw Error(error.status(), "db_path " + options_.path + ": " + error.what());
  }
  if (!locked) {
    throw Error(Status::kBusy, "db_path " + options_.path +
                                   ": another writer held the file longer than the busy timeout of " +
                                   std::to_string(options_.busy_timeout_seconds) + " seconds; try again");
  }
  connection_mutex_.lock();
  if (sync_failed_.load(std::memory_order_relaxed)) [[unlikely]]
    mend_failed_sync();
}

void SqliteStore::unlock_writer() {
  connection_mutex_.unlock();
  lock_->unlock();
}

void SqliteStore::close(LogScope &log) {
  closing_.store(true);
  maintenance_->stop();
  if (snapshot_end_) snapshot_end_->stop();
  // Others may be waiting for what is kept, and we shall wait for them.
  std::optional<ReaderPool::NoSnapshots> no_snapshots;
  if (readers_) {
    NoFork no_fork;
    no_snapshots.emplace(*readers_);
    if (writer_snapshot_) writer_snapshot_->end();
  }
  std::exception_ptr error;
  try {
    if (!replaced()) {
      write_touches_in_batches();
      save_totals();
    }
  } catch (const Error &failure) {
    if (failure.status() == Status::kCorrupt) report_damage();  // for whoever opens it next
    error = std::current_exception();
  } catch (...) {
    error = std::current_exception();
  }
  // The last connection to leave folds the WAL into the file, which needs the writer lock; without it, the WAL stays
  // for the next who opens.
  bool locked = false;
  try {
    if (!in_memory() && !outdated()) {
      lock_writer();
      locked = true;
    }
  } catch (const std::exception &failure) {
    log.add(kWarning, [&] { return std::string("closing without a checkpoint: ") + failure.what(); });
  }
  {
    NoFork no_fork;
    // Not if the file was moved or removed: SQLite would delete the WAL by its name, which may be that of a new file.
    // And not before no child can come: it would inherit that, and make the checkpoint without the writer lock.
    if (locked && !outdated() && is_at_its_path()) {
      sqlite3_db_config(connection_->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
    }
    close_connections();
  }
  if (locked) unlock_writer();
  if (shared_) shared_->let_go();
  log.add(kInfo, [&] { return "closed " + options_.path; });
  if (error) std::rethrow_exception(error);
}

void SqliteStore::close_connections() {
  memory_reader_.reset();
  writer_snapshot_.reset();
  data_version_.reset();
  data_version_connection_.reset();
  if (readers_) readers_->clear();
  writer_.reset();
  wal_index_ = {};
  connection_.reset();
}

// In a forked child no thread was inside SQLite (see NoFork), so every connection is at rest. Closing them here makes
// SQLite forget the file locks that it believes to have; those of the parent are the parent's and stay. The WAL is left
// alone, since connections are set not to checkpoint on close. All else, locks and threads above all, is not touched.
void SqliteStore::take_down() { close_connections(); }

}  // namespace dbc
