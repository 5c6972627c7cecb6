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
  auto [at, fresh] = pending_.try_emplace(item.id());
  Entry &entry = at->second;
  if (!fresh && entry.version > item.version()) return 0;
  // left_memory() comes after it has left, and takes this mutex.
  Item *in_memory = item.resident.load() ? &item : nullptr;
  if (entry.item.get() != in_memory) {
    if (entry.item) entry.item->touched.store(false);
    displaced = std::exchange(entry.item, ItemRef::share(in_memory));
  }
  entry.version = item.version();
  if (in_memory) {
    item.touched.store(true);
  } else {
    entry.timestamp = item.timestamp.load();
  }
  if (!backward && !writing_.empty()) {
    // A way back that is being written is not in the file yet, where a later time must not win over this one.
    auto writing = writing_.find(item.id());
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
  auto at = pending_.find(item.id());
  if (at == pending_.end() || at->second.item.get() != &item) return;
  item.touched.store(false);
  at->second.timestamp = item.timestamp.load();
  left = std::move(at->second.item);
}

const TouchLog::Entry *TouchLog::find_unwritten(int64_t id, uint64_t version) const {
  for (const Map *map : {&pending_, &writing_}) {
    if (map->empty()) continue;
    auto at = map->find(id);
    if (at != map->end() && at->second.version == version) return &at->second;
  }
  return nullptr;
}

bool TouchLog::apply(int64_t id, uint64_t version, double *timestamp) const {
  std::lock_guard lock(mutex_);
  const Entry *entry = find_unwritten(id, version);
  if (entry) move(entry->time(), entry->backward, timestamp);
  return entry;
}

void TouchLog::apply_in_snapshot(int64_t id, uint64_t version, double *timestamp) const {
  std::lock_guard lock(mutex_);
  const Entry *entry = find_unwritten(id, version);
  if (!entry) {
    auto at = written_.find(id);
    if (at == written_.end() || at->second.version != version) return;
    entry = &at->second;
  }
  move(entry->time(), entry->backward, timestamp);
}

void TouchLog::pin() {
  std::lock_guard lock(mutex_);
  ++pins_;
}

void TouchLog::unpin() {
  Map moot;
  std::lock_guard lock(mutex_);
  if (--pins_ == 0) moot.swap(written_);
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
  auto add_to_batch = [&](int64_t id, const Entry &entry) { batch.push_back({id, entry.version, 0, entry.backward}); };
  bool whole;
  {
    std::lock_guard lock(mutex_);
    // What may fail comes first: afterwards no touch can get lost.
    size_t count = std::min(most, pending_.size());
    batch.reserve(count);
    whole = count == pending_.size() && writing_.empty();
    if (whole) {
      pending_.swap(writing_);
      backward_ = 0;
    } else {
      writing_.reserve(writing_.size() + count);
      while (batch.size() < count) {
        auto node = pending_.extract(pending_.begin());
        add_to_batch(node.key(), node.mapped());
        if (node.mapped().backward) --backward_;
        // What was taken earlier in the same transaction is older. (If it was a way back, add() has marked this one.)
        writing_.erase(node.key());
        writing_.insert(std::move(node));
      }
    }
  }
  if (whole) {
    for (const auto &[id, entry] : writing_) add_to_batch(id, entry);
  }
  for (Touch &touch : batch) {
    const Entry &entry = writing_.find(touch.id)->second;
    if (entry.item) entry.item->touched.store(false);
    touch.timestamp = entry.time();
  }
  std::sort(batch.begin(), batch.end(), [](const Touch &a, const Touch &b) { return a.id < b.id; });
  return batch;
}

void TouchLog::done(bool written) noexcept {
  Map moot, emptied;  // let go of after the mutex
  std::lock_guard lock(mutex_);
  if (writing_.empty()) return;
  try {
    if (written && pins_ > 0) {
      written_.reserve(written_.size() + writing_.size());
      for (auto &[id, entry] : writing_) written_.erase(id);
      written_.merge(writing_);
    }
    if (!written) {
      pending_.reserve(pending_.size() + writing_.size());
      for (auto &[id, entry] : writing_) {
        auto later = pending_.find(id);
        if (later == pending_.end()) {
          if (entry.item && !entry.item->resident.load()) {
            entry.timestamp = entry.item->timestamp.load();
            entry.item = {};
          }
          if (entry.item) entry.item->touched.store(true);
          if (entry.backward) ++backward_;
        } else if (entry.backward && !later->second.backward) {
          // The entry that came meanwhile is the later one, but the way back has still to be written.
          later->second.backward = true;
          ++backward_;
        }
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
  Map().swap(writing_);
  backward_ = 0;
}

}  // namespace dbc
