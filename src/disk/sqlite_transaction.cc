#include "disk/sqlite_transaction.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "base/status.h"
#include "disk/writer.h"

namespace dbc {

// Columns of the statements that read rows of `item`.
enum Column { kId, kVersion, kSchemaId, kSize, kTimestamp, kRecorded, kKey, kUsed };

SqliteTransaction::SqliteTransaction(SqliteStore &store)
    : store_(store), writer_(*store.writer_), order_(*store.writer_, *store.connection_) {
  store_.lock_writer();
  no_fork_.emplace();
  try {
    // The counts, and what waits with them, are those of the fresh file.
    if (store_.replaced()) {
      throw ReplacedError("db_path " + store_.options_.path +
                          ": another file has taken the place of the one that was opened");
    }
    if (!sqlite3_get_autocommit(store_.connection_->handle())) writer_.roll_back.run();
    store_.mend_wal_index_under_lock();
    begin();
    open_ = true;
    if (store_.data_version_ && store_.uses_wal()) store_.refuse_mixed_use();
    load_totals();
    store_.seen_version_.store(last_version_, std::memory_order_relaxed);
  } catch (...) {
    roll_back();
    end();
    throw;
  }
}

// Waits for foreign programs (all of ours queue at the writer lock) without being in SQLite, so that fork() does not
// wait too.
void SqliteTransaction::begin() {
  using Clock = std::chrono::steady_clock;
  sqlite3_busy_timeout(store_.connection_->handle(), 0);
  if (store_.writer_snapshot_) store_.writer_snapshot_->before_begin();
  auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(store_.options_.busy_timeout_seconds));
  for (auto pause = std::chrono::microseconds(100);; pause = std::min(2 * pause, std::chrono::microseconds(10'000))) {
    try {
      writer_.begin.run();
      // In rollback journal mode the commit waits for those who read just now.
      sqlite3_busy_timeout(store_.connection_->handle(), store_.busy_timeout_milliseconds());
      return;
    } catch (const Error &error) {
      if (error.status() != Status::kBusy) throw;
      // It may be what is refused, if another program has just committed; and it is not kept while we wait.
      if (store_.writer_snapshot_ && store_.writer_snapshot_->end()) continue;
      if (Clock::now() >= deadline) throw;
    }
    no_fork_.reset();
    std::this_thread::sleep_for(pause);
    no_fork_.emplace();
  }
}

SqliteTransaction::~SqliteTransaction() {
  if (!open_) return;
  roll_back();
  end();
}

void SqliteTransaction::end() {
  no_fork_.reset();
  store_.unlock_writer();
}

void SqliteTransaction::roll_back() noexcept {
  if (store_.connection_->is_out_of_room()) store_.make_room_soon();
  // SQLite has rolled back by itself after some errors; a second time is refused, which is right.
  if (!sqlite3_get_autocommit(store_.connection_->handle())) {
    try {
      writer_.roll_back.run();
    } catch (const std::exception &) {
      // Whoever begins next tries again.
    }
  }
  if (store_.writer_snapshot_) store_.writer_snapshot_->end();
  store_.touches_.done(false);
  open_ = false;
}

SqliteTransaction::Row SqliteTransaction::row_of(const Statement &statement) {
  return {statement.integer(kId),       statement.unsigned_integer(kVersion),
          statement.integer(kSchemaId), statement.unsigned_integer(kSize),
          statement.real(kTimestamp),   statement.real(kRecorded)};
}

std::optional<SqliteTransaction::Row> SqliteTransaction::find(const Key &key) {
  Use find(writer_.find);
  find->bind(1, key.text);
  if (!find->step()) return std::nullopt;
  return row_of(writer_.find);
}

// `is_first`: of the order.
void SqliteTransaction::erase_row(const Row &row, std::string_view key, bool is_first) {
  SchemaTotals &schema = totals_of(row.schema_id);
  if (row.id == last_put_) last_put_ = 0;
  writer_.erase_item.bind(1, row.id).run();
  if (row.may_be_used) writer_.erase_usage.bind(1, row.id).run();
  if (is_first) {
    order_.remove_first(row.recorded, key);
  } else {
    order_.remove(row.id, row.recorded, key);
  }
  subtract(&schema.totals, row);
}

// The order knows the item under `timestamp` from now on, which must be the time of its last access.
void SqliteTransaction::record(const Row &row, std::string_view key, double timestamp) {
  writer_.set_usage.bind(1, row.id).bind(2, row.version).bind(3, timestamp).bind(4, timestamp).run();
  order_.move(row.id, row.recorded, key, timestamp);
}

uint64_t SqliteTransaction::new_version() {
  last_version_ = store_.next_version(last_version_);
  store_.seen_version_.store(last_version_, std::memory_order_relaxed);
  return last_version_;
}

Transaction::Written SqliteTransaction::put(const Key &key, std::string_view value, bool text, double timestamp,
                                            uint64_t reserved, std::optional<Removed> *in_exchange) {
  // A build of SQLite may allow less than others.
  auto most = static_cast<uint64_t>(sqlite3_limit(store_.connection_->handle(), SQLITE_LIMIT_LENGTH, -1));
  if (value.size() + kMaxRowBytesBesides > most) {
    throw Error(Status::kInvalidArgument, "Item size (" + std::to_string(value.size()) +
                                              " bytes) exceeds the largest value of this build of SQLite (" +
                                              std::to_string(most - kMaxRowBytesBesides) + " bytes)");
  }
  changed_.push_back(key.hash);
  SchemaTotals &schema = totals_of(store_.schema_id_);
  std::optional<Row> row = find(key);
  // An item's versions grow.
  uint64_t version = reserved != 0 && (!row || row->version < reserved) ? reserved : new_version();
  last_version_ = std::max(last_version_, version);
  store_.seen_version_.store(last_version_, std::memory_order_relaxed);
  uint64_t checksum = hash_bytes(value, key.hash);
  Compressed compressed;
  if (store_.options_.compression == Compression::kZstd) compressed = writer_.compressor.compress(value);
  Encoding encoding = !compressed ? Encoding::kAsGiven : text ? Encoding::kZstdText : Encoding::kZstdBytes;
  auto run_with_fields = [&](Statement &statement) {
    statement.bind(2, timestamp)
        .bind(3, version)
        .bind(4, schema.id)
        .bind(5, uint64_t{value.size()})
        .bind(6, checksum)
        .bind(7, static_cast<int64_t>(encoding));
    if (compressed) {
      statement.bind_blob(8, compressed.bytes());
    } else if (text) {
      statement.bind(8, value);
    } else {
      statement.bind_blob(8, value);
    }
    statement.run();
  };
  int64_t id;
  if (row) {
    subtract(&totals_of(row->schema_id).totals, *row);
    id = row->id;
    run_with_fields(writer_.update_item.bind(1, id));
    // Earlier than the order knows: it must follow, else the recorded time would be later than the true one.
    if (timestamp > row->recorded) wants_maintenance_ = true;
    row->version = version;
    if (timestamp < row->recorded) record(*row, key.text, timestamp);
  } else {
    id = in_exchange ? take_place_of_oldest(key, timestamp, version, in_exchange) : 0;
    if (id != 0) {
      // Its row is overwritten: one page, where taking a row out and putting one in elsewhere changes several.
      run_with_fields(writer_.replace_item.bind(1, id).bind(9, key.text));
    } else {
      run_with_fields(writer_.insert_item.bind(1, key.text));
      id = sqlite3_last_insert_rowid(store_.connection_->handle());
    }
    order_.add(id, timestamp, key.text);
  }
  schema.totals.items += 1;
  schema.totals.bytes += value.size();
  last_put_ = id;
  last_put_version_ = version;
  return {id, version};
}

bool SqliteTransaction::erase(const Key &key, std::optional<uint64_t> version) {
  std::optional<Row> row = find(key);
  if (!row || (version && row->version != *version)) return false;
  changed_.push_back(key.hash);
  erase_row(*row, key.text);
  return true;
}

bool SqliteTransaction::erase_if_expired(const Key &key, double now, double ttl) {
  std::optional<Row> row = find(key);
  if (!row || !(now - last_access(*row) > ttl)) return false;
  changed_.push_back(key.hash);
  erase_row(*row, key.text);
  return true;
}

// With what is not written yet.
double SqliteTransaction::last_access(const Row &row) const {
  double timestamp = row.timestamp;
  store_.touches_.apply(row.version, &timestamp);
  return timestamp;
}

std::optional<Removed> SqliteTransaction::evict_oldest() {
  std::optional<Victim> victim = find_oldest(nullptr);
  if (!victim) return std::nullopt;
  changed_.push_back(victim->removed.hash);
  erase_row(victim->row, victim->removed.key, true);
  return std::move(victim->removed);
}

// Takes out everything of the item that would be evicted after a new one of that key and time, but for its row, and
// returns the row's id; 0 if that would be the new one itself.
int64_t SqliteTransaction::take_place_of_oldest(const Key &key, double timestamp, uint64_t version,
                                                std::optional<Removed> *removed) {
  Place place{timestamp, key.text};
  std::optional<Victim> victim = find_oldest(&place);
  if (!victim) return 0;
  const Row &row = victim->row;
  if (version <= row.version) return 0;  // the versions of a row grow
  changed_.push_back(victim->removed.hash);
  SchemaTotals &schema = totals_of(row.schema_id);
  if (row.may_be_used) writer_.erase_usage.bind(1, row.id).run();
  order_.remove_first(row.recorded, victim->removed.key);
  subtract(&schema.totals, row);
  *removed = std::move(victim->removed);
  return row.id;
}

// Nothing if there is none, or none before `place`. Gets go on meanwhile, and may hit one candidate after the other just
// when its turn has come; that ends, because what comes up again after it was moved is taken, as it was then.
std::optional<SqliteTransaction::Victim> SqliteTransaction::find_oldest(const Place *place) {
  if (store_.touches_.any_backward()) write_touches(SIZE_MAX);
  std::unordered_set<int64_t> moved;
  while (true) {
    Row row;
    Removed victim;
    {
      Use oldest(writer_.oldest);
      if (!order_.first()) {
        if (totals().items > 0) {
          throw Error(Status::kCorrupt,
                      "db_path " + store_.options_.path + ": the counts speak of items that are not there");
        }
        return std::nullopt;
      }
      row = row_of(writer_.oldest);
      row.may_be_used = oldest->integer(kUsed) != 0;
      victim.key = oldest->bytes(kKey);
    }
    if (row.id == 0) {
      throw Error(Status::kCorrupt, "db_path " + store_.options_.path + ": the order of eviction names an absent item");
    }
    // An item is recorded no later than its time: the rest comes after the place too.
    if (place && *place < Place(row.recorded, victim.key)) return std::nullopt;
    double timestamp = last_access(row);
    if (timestamp > row.recorded) {
      bool again = !moved.insert(row.id).second;
      if (again && row.timestamp > row.recorded) fail_for_endless_order();
      if (!again) {
        record(row, victim.key, timestamp);
        continue;
      }
    }
    victim.hash = Key(victim.key).hash;
    victim.version = row.version;
    return Victim{row, std::move(victim)};
  }
}

bool SqliteTransaction::erase_expired(double now, double ttl, size_t most, Progress *progress,
                                      std::vector<Removed> *removed) {
  if (std::isinf(ttl)) return true;
  write_touches(SIZE_MAX);
  // An expired item is recorded no later than its time; the little more makes up for rounding.
  double latest = now - ttl;
  latest += std::abs(latest) * 1e-12 + 1e-6;
  order_.settle();
  std::vector<Row> rows;
  size_t first = removed->size();
  {
    Use expired(writer_.expired);
    expired->bind(1, latest).bind(2, now).bind(3, ttl);
    expired->bind(4, progress->time).bind(5, progress->key).bind(6, uint64_t{most});
    while (expired->step()) {
      rows.push_back(row_of(writer_.expired));
      Key key(expired->bytes(kKey));
      removed->push_back({std::string(key.text), key.hash, rows.back().version});
      changed_.push_back(key.hash);
    }
  }
  // Only now: what is bound is borrowed.
  if (!rows.empty()) *progress = {rows.back().recorded, removed->back().key};
  for (size_t i = 0; i < rows.size(); ++i) erase_row(rows[i], (*removed)[first + i].key);
  return rows.size() < most;
}

uint64_t SqliteTransaction::erase_other_schemas() {
  uint64_t items = 0;
  for (SchemaTotals &schema : schemas_) {
    if (schema.id != store_.schema_id_) items += schema.totals.items;
  }
  if (items == 0) return 0;
  if (items == totals().items) {
    clear();
    return items;
  }
  order_.settle();
  writer_.erase_other_order.bind(1, store_.schema_id_).run();
  writer_.erase_other_usage.bind(1, store_.schema_id_).run();
  writer_.erase_other_items.bind(1, store_.schema_id_).run();
  for (SchemaTotals &schema : schemas_) {
    if (schema.id != store_.schema_id_) totals_of(schema.id).totals = {};
  }
  all_changed_ = true;
  return items;
}

void SqliteTransaction::clear() {
  writer_.clear_items.run();
  writer_.clear_usage.run();
  writer_.clear_order.run();
  order_.forget();
  for (SchemaTotals &schema : schemas_) totals_of(schema.id).totals = {};
  all_changed_ = cleared_ = true;
}

uint64_t SqliteTransaction::repair(CheckReport *report) {
  RecordedTotals recorded{last_version_, {}, order_.waiting()};
  for (const SchemaTotals &schema : schemas_) recorded.schemas.push_back({schema.id, schema.totals});
  uint64_t before = report->problems();
  uint64_t removed = repair_file(*store_.connection_, store_.checked_schema(), recorded, report);
  if (report->problems() == before) return 0;
  order_.forget();  // it was made anew
  read_table_of_totals();
  all_changed_ = totals_changed_ = must_save_ = true;
  return removed;
}

size_t SqliteTransaction::write_touches(size_t most) {
  for (const TouchLog::Touch &touch : store_.touches_.take(most)) {
    if (touch.backward) {
      set_back(touch);
      continue;
    }
    writer_.touch.bind(1, touch.id).bind(2, touch.version).bind(3, touch.timestamp).run();
    if (sqlite3_changes(store_.connection_->handle()) == 0) {
      writer_.first_touch.bind(1, touch.id).bind(2, touch.version).bind(3, touch.timestamp).run();
    }
  }
  return store_.touches_.size();
}

void SqliteTransaction::set_back(const TouchLog::Touch &touch) {
  Row row;
  std::string key;
  {
    Use find(writer_.find_by_id);
    find->bind(1, touch.id);
    if (!find->step()) return;
    row = row_of(writer_.find_by_id);
    if (row.version != touch.version) return;
    key = find->bytes(kKey);
  }
  writer_.set_back.bind(1, row.id).bind(2, touch.timestamp).run();
  if (touch.timestamp < row.recorded) {
    record(row, key, touch.timestamp);
  } else {
    writer_.set_usage.bind(1, row.id).bind(2, row.version).bind(3, touch.timestamp).bind(4, row.recorded).run();
  }
}

size_t SqliteTransaction::tidy(size_t candidates, bool doubting) {
  struct Misplaced {
    Row row;
    std::string key;
  };
  auto find_misplaced = [&] {
    std::vector<Misplaced> found;
    Use misplaced(writer_.misplaced);
    misplaced->bind(1, uint64_t{candidates});
    order_.bind_begin(writer_.misplaced, 2);
    while (misplaced->step()) found.push_back({row_of(writer_.misplaced), std::string(misplaced->bytes(kKey))});
    return found;
  };
  std::vector<Misplaced> found = find_misplaced();
  for (const auto &[row, key] : found) record(row, key, row.timestamp);
  if (doubting) {
    std::unordered_set<int64_t> recorded;
    for (const Misplaced &misplaced : found) recorded.insert(misplaced.row.id);
    for (const Misplaced &misplaced : find_misplaced()) {
      if (recorded.contains(misplaced.row.id)) fail_for_endless_order();
    }
  }
  return found.size();
}

// A damaged tree can lead in a circle: what was moved away comes up again.
void SqliteTransaction::fail_for_endless_order() const {
  throw Error(Status::kCorrupt, "db_path " + store_.options_.path + ": the order of eviction has no end");
}

void SqliteTransaction::begin_generations() {
  if (all_changed_) {
    store_.generations_->begin_all();
  } else {
    for (uint64_t hash : changed_) store_.generations_->begin(hash);
  }
}

void SqliteTransaction::end_generations() {
  if (all_changed_) {
    store_.generations_->end_all();
  } else {
    for (uint64_t hash : changed_) store_.generations_->end(hash);
  }
}

void SqliteTransaction::commit(const std::function<void()> &publish) {
  // A failure up to here leaves the transaction to the destructor.
  totals_changed_ = totals_changed_ || order_.changed();
  if (totals_changed_) prepare_totals();
  if (store_.writer_snapshot_) store_.writer_snapshot_->before_commit();
  SharedTotals *shared = totals_changed_ ? store_.totals_.get() : nullptr;
  std::optional<DataVersion::OwnCommit> own_commit;  // ends after everything below
  if (store_.data_version_) own_commit.emplace(*store_.data_version_, *store_.connection_);
  begin_generations();
  try {
    writer_.commit.run();
    if (store_.writer_snapshot_) store_.writer_snapshot_->after_commit();
    if (own_commit) own_commit->done();
  } catch (...) {
    end_generations();  // and the counts stay in doubt: see settle_totals()
    throw;
  }
  if (shared) shared->settle(true);
  // It is done. Whatever happens from here on, the generations are settled and the next writer is let in.
  open_ = false;
  struct Ending {
    SqliteTransaction &self;
    ~Ending() {
      self.end_generations();
      self.store_.touches_.done(true);
      if (self.cleared_) self.store_.touches_.clear();
      self.no_fork_.reset();  // what follows may wait for readers
      self.store_.after_commit(self.wants_maintenance_);
      self.end();
    }
  } ending{*this};
  publish();
}

}  // namespace dbc
