#include "disk/touch_log.h"

#include <algorithm>
#include <new>
#include <utility>

namespace dbc {
namespace {

// Forward, the later of the two counts: another process may have touched the item too.
void move(double time, bool backward, double *timestamp) { *timestamp = backward ? time : std::max(time, *timestamp); }

}  // namespace

size_t TouchLog::add(Item &item, bool backward) {
  ItemRef displaced;  // let go of after the mutex
  std::lock_guard lock(mutex_);
  auto [at, fresh] = pending_.try_emplace(item.version());
  if (fresh) {
    try {
      order_.push_back(item.version());
    } catch (...) {
      pending_.erase(at);
      throw;
    }
  }
  Entry &entry = at->second;
  entry.id = item.id();
  Item *in_memory = nullptr;
  if (item.resident.load()) {
    item.touched.store(true);
    // left_memory() looks at the mark after the item has left, so one of the two sees the other.
    if (item.resident.load()) {
      in_memory = &item;
    } else {
      item.touched.store(false);
    }
  }
  // The mark first: a touch that still sees it is in the time that is read afterwards.
  if (entry.item && entry.item.get() != in_memory) entry.item->touched.store(false);
  double time = item.timestamp.load();
  // This object may have come late: another one of the same state may have been touched since.
  if (!fresh && !backward) time = std::max(time, entry.time());
  if (entry.item.get() != in_memory) displaced = std::exchange(entry.item, ItemRef::share(in_memory));
  if (!in_memory) entry.timestamp = time;
  if (!backward && !writing_.empty()) {
    // A way back that is being written is not in the file yet, where a later time must not win over this one.
    auto writing = writing_.find(item.version());
    backward = writing != writing_.end() && writing->second.backward;
  }
  if (backward && !entry.backward) {
    entry.backward = true;
    ++backward_;
  }
  return fresh ? pending_.size() : 0;
}

void TouchLog::left_memory(Item &item) noexcept {
  if (!item.touched.load()) return;
  ItemRef left;  // let go of after the mutex
  std::lock_guard lock(mutex_);
  auto at = pending_.find(item.version());
  if (at == pending_.end() || at->second.item.get() != &item) return;
  item.touched.store(false);
  at->second.timestamp = item.timestamp.load();
  left = std::move(at->second.item);
}

const TouchLog::Entry *TouchLog::find_unwritten(uint64_t version) const {
  for (const Map *map : {&pending_, &writing_}) {
    if (map->empty()) continue;
    auto at = map->find(version);
    if (at != map->end()) return &at->second;
  }
  return nullptr;
}

void TouchLog::apply(uint64_t version, double *timestamp) const {
  std::lock_guard lock(mutex_);
  if (const Entry *entry = find_unwritten(version)) move(entry->time(), entry->backward, timestamp);
}

// In turn: what is pending may be a way forward from a way back that was written since.
void TouchLog::apply_in_snapshot(uint64_t version, double *timestamp) const {
  std::lock_guard lock(mutex_);
  if (auto at = written_.find(version); at != written_.end()) {
    move(at->second.timestamp, at->second.backward, timestamp);
  }
  if (const Entry *entry = find_unwritten(version)) move(entry->time(), entry->backward, timestamp);
}

uint64_t TouchLog::pin() {
  std::lock_guard lock(mutex_);
  uint64_t batch = written_batches_.load();
  ++pins_[batch];
  return batch;
}

// There is always some pin where several threads scan: what was written before the first of those left is of no use.
void TouchLog::unpin(uint64_t pin) noexcept {
  decltype(written_) moot;
  std::lock_guard lock(mutex_);
  auto at = pins_.find(pin);
  if (--at->second > 0) return;
  bool first = at == pins_.begin();
  pins_.erase(at);
  if (pins_.empty()) {
    moot.swap(written_);
  } else if (first) {
    std::erase_if(written_, [&](const auto &entry) { return entry.second.batch <= pins_.begin()->first; });
  }
}

size_t TouchLog::size() const {
  std::lock_guard lock(mutex_);
  return pending_.size();
}

size_t TouchLog::unwritten() const {
  std::lock_guard lock(mutex_);
  return pending_.size() + writing_.size();
}

bool TouchLog::any_backward() const {
  std::lock_guard lock(mutex_);
  return backward_ > 0;
}

std::vector<TouchLog::Touch> TouchLog::take(size_t most) {
  std::vector<Touch> batch;
  auto add_to_batch = [&](uint64_t version, const Entry &entry) {
    batch.push_back({entry.id, version, 0, entry.backward});
  };
  bool whole;
  {
    std::lock_guard lock(mutex_);
    // What may fail comes first: afterwards no touch can get lost.
    size_t count = std::min(most, pending_.size());
    batch.reserve(count);
    whole = count == pending_.size() && writing_.empty();
    if (whole) {
      pending_.swap(writing_);
      order_.clear();
      backward_ = 0;
    } else {
      writing_.reserve(writing_.size() + count);
      while (batch.size() < count) {
        auto node = pending_.extract(order_.front());
        order_.pop_front();
        add_to_batch(node.key(), node.mapped());
        if (node.mapped().backward) --backward_;
        // What was taken earlier in the same transaction is older. (If it was a way back, add() has marked this one.)
        writing_.erase(node.key());
        writing_.insert(std::move(node));
      }
    }
  }
  if (whole) {
    for (const auto &[version, entry] : writing_) add_to_batch(version, entry);
  }
  for (Touch &touch : batch) {
    const Entry &entry = writing_.find(touch.version)->second;
    if (entry.item) entry.item->touched.store(false);
    touch.timestamp = entry.time();
  }
  // Of one row the latest first: it makes those before it moot.
  std::sort(batch.begin(), batch.end(),
            [](const Touch &a, const Touch &b) { return a.id != b.id ? a.id < b.id : a.version > b.version; });
  return batch;
}

void TouchLog::done(bool written) noexcept {
  std::vector<ItemRef> items;  // these, too, are let go of after the mutex
  Map moot, emptied;
  std::lock_guard lock(mutex_);
  if (writing_.empty()) return;
  try {
    if (written && !pins_.empty()) {
      written_.reserve(written_.size() + writing_.size());
      items.reserve(writing_.size());
      uint64_t batch = written_batches_.load() + 1;
      for (auto &[version, entry] : writing_) {
        Written &latest = written_[version];
        // For a snapshot of before both, a way back stays one.
        latest = {entry.time(), entry.backward || latest.backward, batch};
        items.push_back(std::move(entry.item));
      }
    }
    if (!written) {
      // An entry that came meanwhile is the later one; add() has marked it if this one is a way back.
      std::vector<uint64_t> again;
      again.reserve(writing_.size());
      for (const auto &[version, entry] : writing_) {
        if (pending_.count(version) == 0) again.push_back(version);
      }
      pending_.reserve(pending_.size() + again.size());
      order_.insert(order_.begin(), again.begin(), again.end());
      // From here on nothing can fail.
      for (uint64_t version : again) {
        Entry &entry = writing_.find(version)->second;
        if (entry.item && !entry.item->resident.load()) {
          entry.timestamp = entry.item->timestamp.load();
          entry.item = {};
        }
        if (entry.item) entry.item->touched.store(true);
        if (entry.backward) ++backward_;
      }
      pending_.merge(writing_);
    }
  } catch (const std::bad_alloc &) {
  }
  if (written) written_batches_.fetch_add(1);
  moot.swap(writing_);
  if (pending_.empty()) emptied.swap(pending_);  // its table may be large
}

void TouchLog::clear() noexcept {
  std::lock_guard lock(mutex_);
  for (auto &[id, entry] : pending_) {
    if (entry.item) entry.item->touched.store(false);
  }
  Map().swap(pending_);
  order_.clear();
  Map().swap(writing_);
  backward_ = 0;
}

}  // namespace dbc
