// EvictionOrder: the order of eviction as one transaction sees and leaves it: the table `eviction_order`, and what the
// table has still to be told.
//
// A put into a full cache takes the first place out of the order and adds one, mostly the last. These are two pages of
// the WAL, for a few bytes each, and the next put changes the same two. So a number of changes wait in the shared file,
// where they come and go with the counts (see SharedTotals), and are then made at once:
// - `fresh` items, whose places the table lacks. One is entered before a victim behind it could be chosen.
// - the places up to `gone_until`, which the table has though their items are gone: always its first ones.
//
// Whoever saves the counts in the database settles the order too. If the shared file is lost before, restore() finds
// what is missing. What needs the whole table calls settle() first.
//
// Part of a transaction: used under the writer lock, and undone with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "disk/connection.h"
#include "disk/writer.h"
#include "share/shared_totals.h"

namespace dbc {

class EvictionOrder {
 public:
  EvictionOrder(Writer &writer, const Connection &connection) : writer_(writer), connection_(connection) {}

  void load(const WaitingPlaces &waiting);
  // As it is to be shared if the transaction commits.
  const WaitingPlaces &waiting() const { return waiting_; }
  bool changed() const { return changed_; }

  // An item comes in, moves, is taken out; `recorded` is the time under which the order knows it.
  void add(int64_t id, double recorded, std::string_view key);
  void move(int64_t id, double recorded, std::string_view key, double to);
  void remove(int64_t id, double recorded, std::string_view key);
  // That which first() has found is taken out.
  void remove_first(double recorded, std::string_view key);

  // Steps `oldest` of the writer to the item in the first place; false when there is none. To be reset by the caller.
  bool first();
  // For statements that begin where the order does: binds parameters `at` and `at` + 1 to the place before.
  void bind_begin(Statement &statement, int at) const;

  // Makes the table say everything.
  void settle();
  // The table was cleared, or made anew from the items.
  void forget();
  // Makes the table say everything after the changes that waited were lost, or turned out to be of another state of the
  // file: looks at every item.
  void restore();

 private:
  WaitingPlaces::Place *find_fresh(int64_t id);
  void erase_fresh(WaitingPlaces::Place *place);
  void enter_fresh();
  void erase_gone();
  void make_room_at(double recorded);
  std::string_view gone_key() const { return {waiting_.gone_key.data(), waiting_.gone_key_bytes}; }

  Writer &writer_;
  const Connection &connection_;
  WaitingPlaces waiting_;
  std::vector<std::string> keys_;  // of the fresh ones; empty where the item must be asked
  bool changed_ = false;
};

}  // namespace dbc
