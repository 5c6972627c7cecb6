#include "disk/eviction_order.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/status.h"

namespace dbc {

void EvictionOrder::load(const WaitingPlaces &waiting) {
  waiting_ = waiting;
  keys_.assign(waiting.fresh_count, {});
}

void EvictionOrder::add(int64_t id, double recorded, std::string_view key) {
  changed_ = true;
  make_room_at(recorded);
  if (waiting_.fresh_count == WaitingPlaces::kMost) enter_fresh();
  keys_.emplace_back(key);
  waiting_.fresh[waiting_.fresh_count++] = {id, recorded};
}

void EvictionOrder::move(int64_t id, double recorded, std::string_view key, double to) {
  changed_ = true;
  make_room_at(to);
  if (WaitingPlaces::Place *place = find_fresh(id)) {
    place->recorded = to;
    return;
  }
  writer_.move_order.bind(1, recorded).bind(2, key).bind(3, to).run();
  // Who looks for a victim would meet the same place for ever.
  if (sqlite3_changes(connection_.handle()) != 1) {
    throw Error(Status::kCorrupt, "db_path " + connection_.name() + ": the order of eviction does not know an item");
  }
}

void EvictionOrder::remove(int64_t id, double recorded, std::string_view key) {
  changed_ = true;
  if (WaitingPlaces::Place *place = find_fresh(id)) {
    erase_fresh(place);
  } else {
    writer_.erase_order.bind(1, recorded).bind(2, key).run();
  }
}

void EvictionOrder::remove_first(double recorded, std::string_view key) {
  changed_ = true;
  if (key.size() > WaitingPlaces::kMostKeyBytes) {
    writer_.erase_order.bind(1, recorded).bind(2, key).run();
    return;
  }
  ++waiting_.gone_count;
  waiting_.gone_until = recorded;
  waiting_.gone_key_bytes = key.size();
  std::copy(key.begin(), key.end(), waiting_.gone_key.begin());
  if (waiting_.gone_count == WaitingPlaces::kMost) erase_gone();
}

bool EvictionOrder::first() {
  bind_begin(writer_.oldest, 1);
  bool any = writer_.oldest.step();
  constexpr int kRecorded = 5;
  double recorded = any ? writer_.oldest.real(kRecorded) : std::numeric_limits<double>::infinity();
  bool fresh_may_be_first = std::any_of(waiting_.fresh.begin(), waiting_.fresh.begin() + waiting_.fresh_count,
                                        [&](const WaitingPlaces::Place &place) { return place.recorded <= recorded; });
  if (!fresh_may_be_first) return any;
  writer_.oldest.reset();
  enter_fresh();
  bind_begin(writer_.oldest, 1);  // the places before may have been erased
  return writer_.oldest.step();
}

void EvictionOrder::bind_begin(Statement &statement, int at) const {
  bool any = waiting_.gone_count > 0;
  statement.bind(at, any ? waiting_.gone_until : -std::numeric_limits<double>::infinity());
  statement.bind(at + 1, any ? gone_key() : std::string_view());
}

void EvictionOrder::settle() {
  enter_fresh();
  erase_gone();
}

void EvictionOrder::forget() {
  changed_ = true;
  waiting_ = {};
  keys_.clear();
}

void EvictionOrder::restore() {
  forget();
  double recorded = 0;
  std::string key;
  {
    Use first(writer_.first_with_item);
    if (first->step()) recorded = first->real(0), key = first->bytes(1);
  }
  if (key.empty()) {
    writer_.clear_order.run();
  } else {
    writer_.erase_order_before.bind(1, recorded).bind(2, key).run();
  }
  writer_.enter_missing.run();
}

WaitingPlaces::Place *EvictionOrder::find_fresh(int64_t id) {
  auto end = waiting_.fresh.begin() + waiting_.fresh_count;
  auto at =
      std::find_if(waiting_.fresh.begin(), end, [&](const WaitingPlaces::Place &place) { return place.id == id; });
  return at == end ? nullptr : &*at;
}

void EvictionOrder::erase_fresh(WaitingPlaces::Place *place) {
  size_t at = static_cast<size_t>(place - waiting_.fresh.data()), last = --waiting_.fresh_count;
  waiting_.fresh[at] = waiting_.fresh[last];
  std::swap(keys_[at], keys_[last]);
  keys_.pop_back();
}

void EvictionOrder::enter_fresh() {
  if (waiting_.fresh_count == 0) return;
  changed_ = true;
  for (size_t i = 0; i < waiting_.fresh_count; ++i) {
    const auto &[id, recorded] = waiting_.fresh[i];
    if (!keys_[i].empty()) {
      writer_.insert_order.bind(1, recorded).bind(2, keys_[i]).bind(3, id).run();
    } else {
      writer_.insert_order_of.bind(1, recorded).bind(2, id).run();
    }
    // The item is gone, or has its place: a foreign hand was at the items, or at the shared file.
    if (sqlite3_changes(connection_.handle()) != 1) return restore();
  }
  waiting_.fresh_count = 0;
  keys_.clear();
}

void EvictionOrder::erase_gone() {
  if (waiting_.gone_count == 0) return;
  changed_ = true;
  writer_.erase_order_through.bind(1, waiting_.gone_until).bind(2, gone_key()).run();
  waiting_.gone_count = 0;
}

// No item may stand among the places that are gone.
void EvictionOrder::make_room_at(double recorded) {
  if (waiting_.gone_count > 0 && recorded <= waiting_.gone_until) erase_gone();
}

}  // namespace dbc
