#include "disk/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

// The WAL is folded into the file when it has grown to 16 MiB, by the maintenance thread; at four times that, because the
// thread does not keep up, by the writer who made it so.
constexpr int kCheckpointPages = 4096;
constexpr int kUrgentCheckpointPages = 4 * kCheckpointPages;

// Readers whose times overlap would keep the WAL from ever being begun anew. Once it has grown that far, a checkpoint waits
// this long for those that still need it, while nobody writes; new ones read from the file then.
constexpr int kPatienceWithReadersMilliseconds = 100;

// How many touches one transaction writes, and how many may wait before they are written ahead of time.
constexpr size_t kTouchBatch = 4096;
constexpr size_t kUrgentTouches = 16384;

// How many candidates for eviction are kept in order ahead of time. When N items are used evenly, 1024 uses in N cost a repair,
// in the background, where an index that is kept up costs one each; and an eviction finds its victim at once.
constexpr size_t kTidyCandidates = 1024;
// After so many rounds it is time to ask whether they lead anywhere.
constexpr int kTidyRoundsUntilDoubt = 64;

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
  generations_ =
      std::make_unique<Generations>(shared_ ? shared_->words() : private_words_.data(), data_version_.get());
  maintenance_ = std::make_unique<Maintenance>([this] { return maintain(); },
                                               std::chrono::duration<double>(options_.touch_delay_seconds));
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
             why_not_shared_ + "). Every memory hit now asks SQLite whether another process has committed, which takes " +
             "microseconds; writes go through a rollback journal, and are slower";
    });
  }
}

void SqliteStore::share_nothing() {
  private_words_ = std::vector<std::atomic<uint64_t>>(Generations::kWords);
  lock_ = std::make_unique<WriterLock>(-1);
}

void SqliteStore::open_database(LogScope &log) {
  lock_writer();
  struct Unlock {
    WriterLock &lock;
    ~Unlock() { lock.unlock(); }
  } unlock{*lock_};
  NoFork no_fork;

  FileKind kind = inspect_file(options_.path);
  if (kind != FileKind::kDamaged) {
    try {
      open_or_create(kind);
    } catch (const Error &error) {
      if (error.status() != Status::kCorrupt) throw;
      writer_.reset();
      connection_.reset();
      kind = FileKind::kDamaged;
    }
  }
  if (kind == FileKind::kDamaged) {
    if (!may_restart()) refuse_damaged();
    std::string aside = move_aside(options_.path);
    log.add(kWarning, [&] {
      return "db_path " + options_.path + " is damaged or no database; it was moved to " + aside +
             " and a fresh cache was started";
    });
    shared_->next_incarnation();
    open_or_create(FileKind::kFresh);
  }
}

// Under the writer lock (in memory: before anybody else can know; where nothing is shared, several processes may be here).
void SqliteStore::open_or_create(FileKind kind) {
  if (!in_memory() && kind == FileKind::kFresh) create_empty_file(options_.path, options_.file_mode);
  connection_ = connect(true);
  if (sqlite3_db_readonly(connection_->handle(), "main") == 1) {
    throw Error(Status::kIo, "db_path " + options_.path +
                                 ": this process may not write the file, which a cache does even where it is only read; "
                                 "give it the permission");
  }
  bool is_current = kind == FileKind::kCache && connection_->query_integer("PRAGMA user_version") == kFormatVersion;
  if (is_current) verify_format(*connection_);  // before anything is changed
  if (!in_memory()) choose_journal();
  create_format(*connection_, in_memory());
  if (connection_->query_integer("PRAGMA user_version") < kFormatVersion) migrate_format(*connection_);
  if (!is_current) verify_format(*connection_);
  if (shared_) {
    database_id_ =
        static_cast<uint64_t>(connection_->query_integer("SELECT value FROM meta WHERE name = 'database_id'"));
    if (database_id_ == 0) throw Error(Status::kCorrupt, "db_path " + options_.path + ": it does not say which cache it is");
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
}

// The mode of the journal says by what means all who use the file see each other's changes: in WAL mode through the shared
// file, else through SQLite. It changes only while nobody else uses the file: SQLite does not let go of the WAL mode before, and
// of the other mode a transaction here sees it (see uses_wal()).
void SqliteStore::choose_journal() {
  if (uses_wal() == (shared_ != nullptr)) return;
  if (shared_) {
    // Those who were without it have changed the counts since. First, in case that this process is killed in between.
    SharedTotals(shared_->totals()).forget();
    connection_->execute("PRAGMA journal_mode=WAL");
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
  throw Error(Status::kBusy, "db_path " + options_.path + ": other processes see each other's changes through " +
                                 options_.path + "-dbc, which this one cannot (" + why_not_shared_ +
                                 "), so they cannot use the file together; close it there, or give this process the means");
}

void SqliteStore::check_totals() {
  SqliteTransaction transaction(*this);
  if (transaction.check_totals()) transaction.commit([] {});
}

// While none of ours is at work the table says what there is, so that nothing need be counted after a power cut.
void SqliteStore::save_totals() {
  std::optional<FileTotals> shared = totals_ ? totals_->current() : std::nullopt;
  if (!shared || !shared->table_is_stale) return;
  SqliteTransaction transaction(*this);
  transaction.save_totals_in_table();
  transaction.commit([] {});
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
  // Some distributions build SQLite to overwrite with zeros what is deleted: then a clear would write as much as it frees, and
  // find no room for that on a full disk.
  connection->execute("PRAGMA secure_delete=OFF");
  if (!writes) {
    connection->execute("PRAGMA query_only=ON");
    connection->execute("PRAGMA cache_size=-8192");
    return connection;
  }
  connection->execute("PRAGMA cache_size=-16384");
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

bool SqliteStore::outdated() const {
  return shared_ && (shared_->incarnation() != incarnation_ || (damaged_.load() && may_restart()));
}

// Others learn of it through the shared file, so that whoever comes first moves it aside for all.
void SqliteStore::report_damage() noexcept {
  if (!may_restart()) return;
  shared_->set_damaged_database(database_id_);
  damaged_.store(true);
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
}

// ------------------------------------------------------------------------------------------------------------- reads ------

SqliteStore::Lease::Lease(SqliteStore &store) : store_(store) {
  if (store_.in_memory()) store_.lock_writer();
  no_fork_.emplace();
  if (store_.in_memory()) return;
  {
    std::lock_guard lock(store_.pool_mutex_);
    if (!store_.pool_.empty()) {
      lent_ = std::move(store_.pool_.back());
      store_.pool_.pop_back();
      return;
    }
  }
  lent_.connection = store_.connect(false);
  lent_.reader = std::make_unique<Reader>(*lent_.connection);
}

SqliteStore::Lease::~Lease() {
  if (store_.in_memory()) {
    no_fork_.reset();
    store_.lock_->unlock();
    return;
  }
  std::lock_guard lock(store_.pool_mutex_);
  try {
    store_.pool_.push_back(std::move(lent_));
  } catch (const std::bad_alloc &) {
    // The next reader makes a connection anew.
  }
}

Reader *SqliteStore::Lease::operator->() const {
  return store_.in_memory() ? store_.memory_reader_.get() : lent_.reader.get();
}

const Connection &SqliteStore::Lease::connection() const {
  return store_.in_memory() ? *store_.connection_ : *lent_.connection;
}

Lookup SqliteStore::read_with(Reader &reader, const Key &key, Want want, uint64_t held_version, double recent_enough,
                              uint64_t generation, bool in_snapshot) {
  // Before the row is read, as its generation: see TouchLog.
  TouchLog::Pending pending = in_snapshot ? touches_.find_for_snapshot(key) : touches_.find(key);
  Lookup found = reader.read(key, want, held_version, recent_enough, schema_id_, generation);
  if (pending.item && found.version != 0) {
    found.timestamp = TouchLog::apply(pending, found.version, found.timestamp);
    found.fields.timestamp = found.timestamp;
    if (found.item) found.item->timestamp.store(found.timestamp);
  }
  return found;
}

Lookup SqliteStore::read(const Key &key, Want want, uint64_t held_version, double recent_enough) {
  uint64_t generation = generations_->word(key.hash);
  Lease reader(*this);
  return read_with(*reader.operator->(), key, want, held_version, recent_enough, generation, false);
}

// Reads of one moment. What is read may be older than the present generation says: such items must not be kept.
class SqliteSnapshot final : public Snapshot {
 public:
  explicit SqliteSnapshot(SqliteStore &store)
      : pin_(store.touches_), store_(store), reader_(store), transaction_(*reader_.operator->()) {}
  Lookup read(const Key &key, Want want, uint64_t held_version) override {
    uint64_t generation = store_.generations_->last_word(key.hash);
    return store_.read_with(*reader_.operator->(), key, want, held_version, Store::kExactly, generation, true);
  }

 private:
  struct Pin {
    explicit Pin(TouchLog &log_) : log(log_) { log.pin(); }
    ~Pin() { log.unpin(); }
    TouchLog &log;
  };
  Pin pin_;  // before the snapshot begins, until it has ended
  SqliteStore &store_;
  SqliteStore::Lease reader_;
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
  Lease reader(*this);
  return reader->totals();
}

// The counts that are shared are no part of a snapshot. They belong to it if there was no doubt about them before it began, and
// they are the same afterwards.
void SqliteStore::check(CheckReport *report) try {
  using Clock = std::chrono::steady_clock;
  auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(options_.busy_timeout_seconds));
  for (auto pause = std::chrono::microseconds(10);; pause = std::min(2 * pause, std::chrono::microseconds(1000))) {
    if (totals_) totals();  // settles what a dead writer left in doubt
    {
      uint64_t moment = totals_ ? totals_->moment() : 0;
      Lease reader(*this);
      ReadTransaction transaction(*reader.operator->());
      reader->totals();  // with the first read the snapshot begins
      std::optional<RecordedTotals> recorded = shared_totals();
      if (!totals_ || (!totals_->in_doubt() && totals_->moment() == moment)) {
        return check_file(reader.connection(), checked_schema(), recorded, report);
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
  RecordedTotals recorded{shared->last_version, {}};
  for (size_t i = 0; i < shared->count; ++i) {
    const FileTotals::Schema &schema = shared->schemas[i];
    recorded.schemas.push_back({schema.id, {schema.items, schema.bytes}});
  }
  return recorded;
}

// ------------------------------------------------------------------------------------------------------------ writes ------

std::unique_ptr<Transaction> SqliteStore::begin() { return std::make_unique<SqliteTransaction>(*this); }

void SqliteStore::left_memory(Item &item) noexcept try { touches_.forget_value(item); } catch (const std::bad_alloc &) {
  // The bytes stay until the touch is written.
}

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

void SqliteStore::write_touches_in_batches() {
  // Those too that another thread is writing now: they are done when it is our turn.
  while (touches_.unwritten() > 0) {
    SqliteTransaction transaction(*this);
    transaction.write_touches(kTouchBatch);
    transaction.commit([] {});
  }
}

// In transactions of a few milliseconds each, between which other writers have their turn.
void SqliteStore::tidy() {
  for (int round = 0; !closing_.load(std::memory_order_relaxed); ++round) {
    {
      Lease reader(*this);
      if (!reader->any_misplaced(kTidyCandidates)) return;
    }
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
  try {
    write_touches_in_batches();
    tidy();
    save_totals();
    checkpoint_if_due();
    return true;
  } catch (const std::exception &error) {
    logger_.defer(kWarning, "work in the background failed and will be tried again: ", error.what());
    return false;
  }
}

void SqliteStore::checkpoint_if_due() {
  if (pages_since_checkpoint() < kCheckpointPages) return;
  sync_wal();
  lock_writer();
  try {
    NoFork no_fork;
    checkpoint();
  } catch (...) {
    lock_->unlock();
    throw;
  }
  lock_->unlock();
}

// A checkpoint first waits until the device has the WAL. What it has by then it need not wait for under the writer lock. (The
// WAL, other than the database, has no locks that closing a descriptor of it could take away.) A failure is the checkpoint's to
// find.
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
  int pages = wal_pages_.load(std::memory_order_relaxed);
  if (pages < checkpointed_pages_) checkpointed_pages_ = 0;  // the WAL has been begun anew
  if (pages_since_checkpoint() < kCheckpointPages) return;
  if (pages < kUrgentCheckpointPages) {
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

// Under the writer lock.
void SqliteStore::checkpoint() {
  bool urgent = wal_pages_.load(std::memory_order_relaxed) >= kUrgentCheckpointPages;
  if (urgent) sqlite3_busy_timeout(connection_->handle(), kPatienceWithReadersMilliseconds);
  int pages = 0;
  int result = sqlite3_wal_checkpoint_v2(connection_->handle(), nullptr,
                                         urgent ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, &pages, nullptr);
  if (urgent) sqlite3_busy_timeout(connection_->handle(), busy_timeout_milliseconds());
  // Also of one that failed: the next is due when the WAL has grown as much again, not with the next commit.
  checkpointed_pages_ = std::max(pages, 0);
  // Busy: a reader needs the rest of the WAL; the next checkpoint gets further.
  if (result != SQLITE_OK && result != SQLITE_BUSY) connection_->fail(result, "checkpoint");
}

int SqliteStore::pages_since_checkpoint() const {
  int pages = wal_pages_.load(std::memory_order_relaxed), before = checkpointed_pages_;
  return pages < before ? pages : pages - before;
}

void SqliteStore::close(LogScope &log) {
  closing_.store(true);
  maintenance_->stop();
  std::exception_ptr error;
  try {
    write_touches_in_batches();
    save_totals();
  } catch (const Error &failure) {
    if (failure.status() == Status::kCorrupt) report_damage();  // for whoever opens it next
    error = std::current_exception();
  } catch (...) {
    error = std::current_exception();
  }
  // The last connection to leave folds the WAL into the file, which needs the writer lock; without it, the WAL stays for
  // the next who opens.
  bool locked = false;
  try {
    lock_writer();
    locked = true;
    // Not if the file was moved or removed: SQLite would delete the WAL by its name, which may be that of a new file.
    if (!in_memory() && !outdated() && is_at_its_path()) {
      sqlite3_db_config(connection_->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
    }
  } catch (const Error &busy) {
    log.add(kWarning, [&] { return std::string("closing without a checkpoint: ") + busy.what(); });
  }
  {
    NoFork no_fork;
    close_connections();
  }
  if (locked) lock_->unlock();
  log.add(kInfo, [&] { return "closed " + options_.path; });
  if (error) std::rethrow_exception(error);
}

void SqliteStore::close_connections() {
  memory_reader_.reset();
  data_version_.reset();
  data_version_connection_.reset();
  pool_.clear();
  writer_.reset();
  connection_.reset();
}

// In a forked child no thread was inside SQLite (see NoFork), so every connection is at rest. Closing them here makes SQLite
// forget the file locks that it believes to have; those of the parent are the parent's and stay. The WAL is left alone, since
// connections are set not to checkpoint on close. All else, locks and threads above all, is not touched.
void SqliteStore::take_down() { close_connections(); }

}  // namespace dbc
