// SqliteTransaction: changes to the file, all or none; holds the writer lock for its life.
//
// Victims are found as in memory: the table `eviction_order` holds timestamps as recorded, never later than the true
// ones. The smallest entry is looked at; if its item has moved on (in its row, in `usage`, or in the touch log), it is
// recorded anew, and the next smallest is looked at. What survives is the exact minimum, and a touch or an overwrite
// costs the order nothing. So that no eviction has to put right what many touches have left behind, the next candidates
// are kept in order ahead of time: tidy().
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "disk/eviction_order.h"
#include "disk/sqlite_store.h"

namespace dbc {

class SqliteTransaction final : public Transaction {
 public:
  // Waits for the writer lock.
  explicit SqliteTransaction(SqliteStore &store);
  ~SqliteTransaction() override;

  Written put(const Key &key, std::string_view value, bool text, double timestamp, uint64_t reserved,
              std::optional<Removed> *in_exchange) override;
  bool erase(const Key &key, std::optional<uint64_t> version) override;
  bool erase_if_expired(const Key &key, double now, double ttl) override;
  std::optional<Removed> evict_oldest() override;
  bool erase_expired(double now, double ttl, size_t most, Progress *progress, std::vector<Removed> *removed) override;
  uint64_t erase_other_schemas() override;
  void clear() override;
  uint64_t repair(CheckReport *report) override;
  size_t write_touches(size_t most) override;
  // Has the counts written to the table of schema versions, so that they need not be counted after a power cut.
  void save_totals_in_table() { totals_changed_ = must_save_ = true; }
  // On open: do the counts that are shared belong to this file, and do all know this handle's schema version? Says
  // whether there is something to commit.
  bool check_totals();
  // Records anew those of the next `candidates` for eviction that have moved on; returns how many. `doubting`:
  // throws Error(kCorrupt) if they come up again.
  size_t tidy(size_t candidates, bool doubting);
  Totals totals() const override;
  void commit(const std::function<void()> &publish) override;

 private:
  // The counts of the items under one schema version, as this transaction leaves them.
  struct SchemaTotals {
    int64_t id;
    Totals totals;
  };
  // A row of `item`, with the times that `usage` may hold.
  struct Row {
    int64_t id;
    uint64_t version;
    int64_t schema_id;
    uint64_t size;
    double timestamp;
    double recorded;
    bool may_be_used = true;  // false: `usage` has nothing about it
  };
  struct Victim {
    Row row;
    Removed removed;
  };

  static Row row_of(const Statement &statement);
  std::optional<Row> find(const Key &key);
  double last_access(const Row &row) const;
  void set_back(const TouchLog::Touch &touch);
  static void subtract(Totals *totals, const Row &row);
  [[noreturn]] void fail_for_endless_order() const;
  void erase_row(const Row &row, std::string_view key, bool is_first = false);
  using Place = std::pair<double, std::string_view>;  // in the order of eviction
  std::optional<Victim> find_oldest(const Place *place);
  int64_t take_place_of_oldest(const Key &key, double timestamp, uint64_t version, std::optional<Removed> *removed);
  void record(const Row &row, std::string_view key, double timestamp);
  SchemaTotals &totals_of(int64_t schema_id);
  uint64_t new_version();
  void load_totals();
  void add_own_schema();
  void load_saved_totals();
  void read_table_of_totals();
  void believe_version(int64_t version);
  void count_again();
  void settle_totals(SharedTotals &shared);
  bool happened(const FileTotals &totals);
  bool totals_are_stale();
  void prepare_totals();
  void begin_generations();
  void end_generations();
  void begin();
  void roll_back() noexcept;
  void end();  // lets the next writer in

  SqliteStore &store_;
  std::optional<NoFork> no_fork_;
  Writer &writer_;
  EvictionOrder order_;
  std::vector<SchemaTotals> schemas_;
  uint64_t last_version_ = 0;
  int64_t last_put_ = 0;  // id of the last item that was put; 0: none, or it was taken out again
  uint64_t last_put_version_ = 0;
  bool totals_changed_ = false;  // counts or last_version_
  // As SharedTotals knows it; then also changes of the order may wait in the shared file.
  bool table_is_stale_ = false;
  bool must_save_ = false;         // in the table, whatever else would do
  std::vector<uint64_t> changed_;  // hashes of the keys whose items changed
  bool all_changed_ = false;
  bool cleared_ = false;
  bool wants_maintenance_ = false;  // the order or the saved counts have fallen behind
  bool open_ = false;
};

}  // namespace dbc
