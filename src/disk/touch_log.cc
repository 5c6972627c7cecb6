#include "disk/touch_log.h"

#include <algorithm>
#include <new>
#include <utility>

namespace dbc {
namespace {

// The bytes of a value, apart from the rest, are what a pending timestamp has no use for.
ItemRef without_value(Item &item) {
  Item::Fields fields;
  fields.version = item.version();
  fields.id = item.id();
  fields.size = item.size();
  fields.text = item.text();
  ItemRef copy = Item::create(item.as_key(), fields, 0);
  copy->timestamp.store(item.timestamp.load());
  return copy;
}

}  // namespace

size_t TouchLog::add(Item &item, bool backward) {
  // An item outside memory gets no later touches of its own: a copy is as good and lets its bytes go.
  ItemRef entry = item.resident.load() || item.value().empty() ? ItemRef::share(&item) : without_value(item);
  std::lock_guard lock(mutex_);
  auto [at, fresh] = pending_.try_emplace(entry->as_key());
  if (!fresh) {
    if (at->second.item->version() > item.version()) return 0;
    if (at->second.item.get() != entry.get()) {
      // The map's key must point into the entry that stays.
      bool was_backward = at->second.backward;
      auto node = pending_.extract(at);
      node.key() = entry->as_key();
      node.mapped().item->touched.store(false);
      node.mapped().item = entry;
      node.mapped().backward = was_backward;
      at = pending_.insert(std::move(node)).position;
    }
  } else {
    at->second.item = entry;
  }
  // A way back that is being written is not in the file yet, where a later time must not win over this one.
  auto writing = writing_.find(at->first);
  backward = backward || (writing != writing_.end() && writing->second.backward);
  if (backward && !at->second.backward) {
    at->second.backward = true;
    ++backward_;
  }
  entry->touched.store(true);
  return fresh ? pending_.size() : 0;
}

void TouchLog::forget_value(Item &item) {
  if (item.value().empty() || !item.touched.load()) return;
  ItemRef copy = without_value(item);
  std::lock_guard lock(mutex_);
  auto at = pending_.find(item.as_key());
  if (at == pending_.end() || at->second.item.get() != &item) return;
  // A hit that found the item just before it left memory may still have stored its time after the copy was made.
  copy->timestamp.store(item.timestamp.load());
  copy->touched.store(true);
  auto node = pending_.extract(at);
  node.key() = copy->as_key();
  node.mapped().item = std::move(copy);
  pending_.insert(std::move(node));
}

TouchLog::Pending TouchLog::find(const Key &key) const {
  std::lock_guard lock(mutex_);
  return find_unwritten(key);
}

TouchLog::Pending TouchLog::find_for_snapshot(const Key &key) const {
  std::lock_guard lock(mutex_);
  Pending pending = find_unwritten(key);
  if (pending.item) return pending;
  auto at = written_.find(key);
  return at == written_.end() ? Pending{} : at->second;
}

void TouchLog::pin() {
  std::lock_guard lock(mutex_);
  ++pins_;
}

void TouchLog::unpin() {
  std::lock_guard lock(mutex_);
  if (--pins_ == 0) written_.clear();
}

TouchLog::Pending TouchLog::find_unwritten(const Key &key) const {
  if (auto at = pending_.find(key); at != pending_.end()) return at->second;
  if (auto at = writing_.find(key); at != writing_.end()) return at->second;
  return {};
}

double TouchLog::apply(const Pending &pending, uint64_t version, double timestamp) {
  if (!pending.item || pending.item->version() != version) return timestamp;
  double moved = pending.item->timestamp.load();
  // Forward, the later of the two counts: another process may have touched the item too.
  return pending.backward ? moved : std::max(moved, timestamp);
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

std::vector<TouchLog::Pending> TouchLog::take(size_t most) {
  std::vector<Pending> batch;
  {
    std::lock_guard lock(mutex_);
    // What may fail comes first: afterwards no touch can get lost.
    size_t count = std::min(most, pending_.size());
    batch.reserve(count);
    writing_.reserve(writing_.size() + count);
    while (batch.size() < count) {
      auto node = pending_.extract(pending_.begin());
      if (node.mapped().backward) --backward_;
      batch.push_back(node.mapped());
      node.mapped().item->touched.store(false);
      // What was taken earlier in the same transaction is older. (If it was a way back, add() has marked this one.)
      writing_.erase(node.key());
      writing_.insert(std::move(node));
    }
  }
  std::sort(batch.begin(), batch.end(), [](const Pending &a, const Pending &b) { return a.item->id() < b.item->id(); });
  return batch;
}

void TouchLog::done(bool written) noexcept {
  std::lock_guard lock(mutex_);
  // Every transaction ends here, and to clear a table takes as long as it was ever large.
  if (writing_.empty()) return;
  try {
    if (written && pins_ > 0) {
      written_.reserve(written_.size() + writing_.size());
      for (auto &[key, pending] : writing_) written_.erase(key);
      written_.merge(writing_);
    }
    if (!written) {
      pending_.reserve(pending_.size() + writing_.size());
      for (auto &[key, pending] : writing_) {
        auto later = pending_.find(key);
        if (later == pending_.end()) {
          pending.item->touched.store(true);
          if (pending.backward) ++backward_;
        } else if (pending.backward && !later->second.backward) {
          // The entry that came meanwhile is the later one, but the way back has still to be written.
          later->second.backward = true;
          ++backward_;
        }
      }
      pending_.merge(writing_);
    }
  } catch (const std::bad_alloc &) {
  }
  // New tables in place of large ones: those would be kept, and clearing one takes as long as it was ever large.
  Map().swap(writing_);
  if (pending_.empty()) Map().swap(pending_);
}

void TouchLog::clear() noexcept {
  std::lock_guard lock(mutex_);
  for (auto &[key, pending] : pending_) pending.item->touched.store(false);
  pending_.clear();
  writing_.clear();
  backward_ = 0;
}

}  // namespace dbc
