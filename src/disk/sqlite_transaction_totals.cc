// The counts of a transaction: where they come from, and where they go when it commits.
#include <algorithm>
#include <string>
#include <vector>

#include "base/status.h"
#include "disk/sqlite_transaction.h"
#include "disk/writer.h"

namespace dbc {

// See SharedTotals. Without it, the counts are in the table of schema versions, always.
void SqliteTransaction::load_totals() {
  if (!store_.totals_) return load_saved_totals();
  if (store_.totals_->in_doubt()) settle_totals(*store_.totals_);
  std::optional<FileTotals> shared = store_.totals_->current();
  if (!shared) return load_saved_totals();
  last_version_ = shared->last_version;
  table_is_stale_ = shared->table_is_stale;
  order_.load(shared->waiting);
  schemas_.reserve(shared->count);
  for (size_t i = 0; i < shared->count; ++i) {
    const FileTotals::Schema &schema = shared->schemas[i];
    schemas_.push_back({schema.id, {schema.items, schema.bytes}});
  }
  add_own_schema();
}

// Schema versions without items need not be shared.
void SqliteTransaction::add_own_schema() {
  for (const SchemaTotals &schema : schemas_) {
    if (schema.id == store_.schema_id_) return;
  }
  schemas_.push_back({store_.schema_id_, {}});
}

// A writer died between preparing its counts and settling them.
void SqliteTransaction::settle_totals(SharedTotals &shared) {
  std::optional<FileTotals> prepared = shared.prepared();
  if (!prepared) return shared.forget();
  if (happened(*prepared)) {
    // Nor did the writer say that all is well again with the keys it changed. (It may even be alive: a commit whose
    // sync failed comes back where the WAL is read anew.)
    store_.generations_->begin_all();
    store_.generations_->end_all();
    return shared.settle(true);
  }
  // Its pages may lie whole in the WAL all the same, behind the last commit: whoever recovers the file after a crash
  // would believe them. A commit in their place makes an end of them, and only then there is no doubt. Where none can
  // be had, what this transaction writes does the same.
  try {
    writer_.count_undone.run();  // any change would do
    writer_.commit.run();
    shared.settle(false);
  } catch (const Error &) {
    if (!sqlite3_get_autocommit(store_.connection_->handle())) writer_.roll_back.run();
  }
  begin();
}

bool SqliteTransaction::totals_are_stale() {
  Use stale(writer_.totals_are_stale);
  return stale->step() && stale->integer(0) != 0;
}

bool SqliteTransaction::happened(const FileTotals &totals) {
  Statement &evidence = totals.evidence != 0 ? writer_.version_of : writer_.last_saved_version;
  Use use(evidence);
  if (totals.evidence != 0) evidence.bind(1, totals.evidence);
  return evidence.step() && evidence.unsigned_integer(0) == totals.evidence_version;
}

void SqliteTransaction::read_table_of_totals() {
  schemas_.clear();
  Use totals(writer_.totals);
  while (totals->step()) {
    schemas_.push_back({totals->integer(0), {totals->unsigned_integer(1), totals->unsigned_integer(2)}});
    believe_version(totals->integer(3));
  }
}

// Versions begin with the time in nanoseconds. One that is a century ahead was damaged, and after the last of all there
// would be none.
void SqliteTransaction::believe_version(int64_t version) {
  constexpr int64_t kLatest = int64_t{1} << 62;
  if (version > 0 && version <= kLatest) last_version_ = std::max(last_version_, static_cast<uint64_t>(version));
}

void SqliteTransaction::load_saved_totals() {
  read_table_of_totals();
  table_is_stale_ = totals_are_stale();
  if (table_is_stale_ || last_version_ == 0) count_again();
}

// The one time that everything is looked at: after a power cut, or when the shared file was lost.
void SqliteTransaction::count_again() {
  for (SchemaTotals &schema : schemas_) schema.totals = {};
  Use count(writer_.count_again);
  while (count->step()) {
    SchemaTotals &schema = totals_of(count->integer(0));
    schema.totals = {count->unsigned_integer(1), count->sum(2)};
    believe_version(count->integer(3));
  }
  order_.restore();
  must_save_ = true;
}

SqliteTransaction::SchemaTotals &SqliteTransaction::totals_of(int64_t schema_id) {
  for (SchemaTotals &schema : schemas_) {
    if (schema.id == schema_id) {
      totals_changed_ = true;
      return schema;
    }
  }
  throw Error(Status::kCorrupt, "db_path " + store_.options_.path + ": an item names an unknown schema version");
}

// Never below zero, whatever a foreign hand did to the rows.
void SqliteTransaction::subtract(Totals *totals, const Row &row) {
  totals->items -= std::min<uint64_t>(totals->items, 1);
  totals->bytes -= std::min(totals->bytes, row.size);
}

Totals SqliteTransaction::totals() const {
  Totals sum;
  for (const SchemaTotals &schema : schemas_) {
    sum.items += schema.totals.items;
    sum.bytes += schema.totals.bytes;
  }
  return sum;
}

// The counts go into the shared file if a put is there to be the evidence, else into the table.
void SqliteTransaction::prepare_totals() {
  SharedTotals *shared = store_.totals_.get();
  bool fits = shared && schemas_.size() <= FileTotals::kMostSchemas;
  // A file sees one schema version after the other. Those that have no items are left to the table, which says so.
  if (!fits) must_save_ = true;
  bool save = must_save_ || last_put_ == 0;
  // Only said once: until somebody saves them for a power cut's sake, the counts in the table are old.
  bool stale = !must_save_ && (table_is_stale_ || !save);
  if (stale && !table_is_stale_) wants_maintenance_ = true;
  if (stale != table_is_stale_) writer_.set_totals_are_stale.bind(1, int64_t{stale}).run();
  if (save) {
    order_.settle();
    new_version();  // evidence too
    for (const SchemaTotals &schema : schemas_) {
      writer_.save_totals.bind(1, schema.id)
          .bind(2, schema.totals.items)
          .bind(3, schema.totals.bytes)
          .bind(4, last_version_)
          .run();
    }
  }
  if (!shared) {
    // Those who can use the shared counts must not believe in old ones.
    if (store_.shared_) SharedTotals(store_.shared_->totals()).forget();
    return;
  }
  if (!fits) {
    std::erase_if(schemas_, [this](const SchemaTotals &schema) {
      return schema.totals.items == 0 && schema.id != store_.schema_id_;
    });
  }
  if (schemas_.size() > FileTotals::kMostSchemas) return shared->forget();
  FileTotals next;
  next.waiting = order_.waiting();
  next.last_version = last_version_;
  next.evidence = save ? 0 : last_put_;
  next.evidence_version = save ? last_version_ : last_put_version_;
  next.table_is_stale = stale;
  next.count = schemas_.size();
  for (size_t i = 0; i < next.count; ++i) {
    next.schemas[i] = {schemas_[i].id, schemas_[i].totals.items, schemas_[i].totals.bytes};
  }
  shared->prepare(next);
}

bool SqliteTransaction::check_totals() {
  if (SharedTotals *shared = store_.totals_.get()) {
    std::optional<FileTotals> current = shared->current();
    if (current && !happened(*current)) {
      // They are of another state of the file, and so is what waits with them.
      shared->forget();
      current.reset();
      last_version_ = 0;
      order_.load({});
      load_saved_totals();
    }
    if (!current) totals_changed_ = must_save_ = true;
  }
  // So that versions can be reserved from here on.
  new_version();
  return totals_changed_;
}

}  // namespace dbc
