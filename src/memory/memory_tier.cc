#include "memory/memory_tier.h"

#include <algorithm>
#include <utility>

namespace dbc {
namespace {

void release_item(void *item) { static_cast<Item *>(item)->release(); }

}  // namespace

MemoryTier::MemoryTier(uint64_t max_items, uint64_t max_bytes)
    : max_items_(max_items), max_bytes_(max_bytes), table_(epoch_) {}

MemoryTier::~MemoryTier() {
  for (const LruHeap::Entry &entry : heap_.entries()) {
    entry.item->resident.store(false, std::memory_order_relaxed);
    entry.item->release();
  }
}

ItemRef MemoryTier::find(const Key &key) const {
  EpochGuard guard(epoch_);
  // The tier's own reference is not dropped while the guard lives, so there is a count to add to.
  return ItemRef::share(table_.find(key));
}

bool MemoryTier::insert(ItemRef item, std::vector<Eviction> *evictions, ItemRef *replaced,
                        const std::function<bool()> &allow) {
  std::lock_guard lock(mutex_);
  if (!fits(item->size()) || (allow && !allow())) return false;
  Item *const present = table_.find(item->as_key());
  if (present && present->version() >= item->version()) return false;

  // First everything that may throw. Only the heap changes meanwhile, which nobody sees without the mutex, and it keeps
  // room for every entry taken from it.
  table_.reserve();
  heap_.reserve();
  epoch_.reserve(1);
  const size_t first = evictions->size();
  uint64_t items = items_.load(std::memory_order_relaxed) + 1;
  uint64_t bytes = bytes_.load(std::memory_order_relaxed) + item->size();
  if (present) {
    heap_.remove(present);
    items -= 1;
    bytes -= present->size();
  }
  record(item.get());
  bool stays = true;
  try {
    while (items > max_items_ || bytes > max_bytes_) {
      Item *const leaving = victim();
      epoch_.reserve(evictions->size() - first + 2);  // all victims so far, this one, and the replaced item
      evictions->push_back({ItemRef::share(leaving), items > max_items_ ? Limit::kCount : Limit::kSize});
      heap_.remove(leaving);
      items -= 1;
      bytes -= leaving->size();
      if (leaving == item.get()) stays = false;
    }
  } catch (...) {
    for (size_t i = first; i < evictions->size(); ++i) record((*evictions)[i].item.get());
    evictions->erase(evictions->begin() + static_cast<std::ptrdiff_t>(first), evictions->end());
    heap_.remove(item.get());
    if (present) record(present);
    throw;
  }

  // From here on nothing can fail. Readers see the key's old item until they see the new one.
  Item *const inserted = item.get();
  if (stays) {
    inserted->resident.store(true, std::memory_order_relaxed);
    table_.put(item.detach());
  } else if (present) {
    table_.erase(present);
  }
  if (present) {
    if (replaced) *replaced = ItemRef::share(present);
    retire(present);
  }
  for (size_t i = first; i < evictions->size(); ++i) {
    Item *const evicted = (*evictions)[i].item.get();
    if (evicted == inserted) continue;
    table_.erase(evicted);
    retire(evicted);
  }
  items_.store(items, std::memory_order_relaxed);
  bytes_.store(bytes, std::memory_order_relaxed);
  epoch_.collect_if_due();
  return true;
}

void MemoryTier::insert_all(std::span<const ItemRef> fresh, std::vector<Eviction> *evictions,
                            std::vector<ItemRef> *replaced, const std::function<bool(const Item &)> &allow) {
  std::lock_guard lock(mutex_);
  for (const ItemRef &item : fresh) {
    Item *const present = table_.find(item->as_key());
    if (present && present->version() >= item->version()) continue;
    if (allow && !allow(*item)) {
      if (!present) continue;
      epoch_.reserve(1);
      replaced->push_back(ItemRef::share(present));
      take_out(present);
      continue;
    }
    table_.reserve();
    heap_.reserve();
    epoch_.reserve(1);
    if (present) {
      replaced->push_back(ItemRef::share(present));
      heap_.remove(present);
    }
    record(item.get());
    item->resident.store(true);
    table_.put(ItemRef(item).detach());
    items_.store(items_.load(std::memory_order_relaxed) + (present ? 0 : 1), std::memory_order_relaxed);
    bytes_.store(bytes_.load(std::memory_order_relaxed) + item->size() - (present ? present->size() : 0),
                 std::memory_order_relaxed);
    if (present) retire(present);
  }
  while (items() > max_items_ || bytes() > max_bytes_) {
    Item *const leaving = victim();
    epoch_.reserve(1);
    evictions->push_back({ItemRef::share(leaving), items() > max_items_ ? Limit::kCount : Limit::kSize});
    take_out(leaving);
  }
  epoch_.collect_if_due();
}

ItemRef MemoryTier::erase(const Key &key, uint64_t version) {
  std::lock_guard lock(mutex_);
  Item *const item = table_.find(key);
  if (!item || (version != 0 && item->version() != version)) return {};
  epoch_.reserve(1);
  ItemRef erased = ItemRef::share(item);
  take_out(item);
  epoch_.collect_if_due();
  return erased;
}

void MemoryTier::clear(std::vector<ItemRef> *removed) {
  std::lock_guard lock(mutex_);
  removed->reserve(removed->size() + heap_.size());
  epoch_.reserve(heap_.size() + 1);  // the items, and the table's array
  table_.clear();
  for (const LruHeap::Entry &entry : heap_.entries()) {
    removed->push_back(ItemRef::share(entry.item));
    retire(entry.item);
  }
  heap_.clear();
  items_.store(0, std::memory_order_relaxed);
  bytes_.store(0, std::memory_order_relaxed);
  epoch_.collect();
}

bool MemoryTier::touch(Item &item, double timestamp, bool explicit_time) {
  // Forward, without a lock: the exchange succeeds only from the value it was compared with, so the timestamp never
  // drops here, and what the heap has recorded stays at or below it.
  double current = item.timestamp.load(std::memory_order_relaxed);
  while (timestamp > current) {
    if (item.timestamp.compare_exchange_weak(current, timestamp)) return false;
  }
  if (!explicit_time || timestamp == current) return false;

  // Backward: first the heap, then the timestamp. All that lowers a timestamp or records one holds the mutex, so no
  // recorded timestamp can end up above. Forward touches that come in between are overwritten: they came before this
  // one.
  std::lock_guard lock(mutex_);
  if (item.resident.load(std::memory_order_relaxed) && heap_.recorded(item) > timestamp) heap_.update(&item, timestamp);
  return item.timestamp.exchange(timestamp) > timestamp;
}

void MemoryTier::erase_if(const std::function<bool(double timestamp)> &expired, std::vector<ItemRef> *removed) {
  std::lock_guard lock(mutex_);
  const size_t first = removed->size();
  try {
    for (const LruHeap::Entry &entry : heap_.entries()) {
      const double timestamp = entry.item->timestamp.load(std::memory_order_relaxed);
      if (expired(timestamp)) removed->push_back(ItemRef::share(entry.item));
    }
    epoch_.reserve(removed->size() - first);
  } catch (...) {
    removed->erase(removed->begin() + static_cast<std::ptrdiff_t>(first), removed->end());
    throw;
  }
  if (removed->size() == first) return;
  for (size_t i = first; i < removed->size(); ++i) take_out((*removed)[i].get());
  table_.trim();
  heap_.trim();
  epoch_.collect();
}

void MemoryTier::totals(uint64_t *items, uint64_t *bytes) const {
  std::lock_guard lock(mutex_);
  *items = items_.load(std::memory_order_relaxed);
  *bytes = bytes_.load(std::memory_order_relaxed);
}

std::vector<ItemRef> MemoryTier::in_order() const {
  // Timestamps move while we sort, so each is read once.
  std::vector<std::pair<double, ItemRef>> stamped;
  {
    std::lock_guard lock(mutex_);
    stamped.reserve(heap_.size());
    for (const LruHeap::Entry &entry : heap_.entries()) {
      stamped.emplace_back(entry.item->timestamp.load(std::memory_order_relaxed), ItemRef::share(entry.item));
    }
  }
  std::sort(stamped.begin(), stamped.end(), [](const auto &left, const auto &right) {
    if (left.first != right.first) return left.first < right.first;
    return left.second->key() < right.second->key();
  });
  std::vector<ItemRef> items;
  items.reserve(stamped.size());
  for (auto &[timestamp, item] : stamped) items.push_back(std::move(item));
  return items;
}

void MemoryTier::record(Item *item) noexcept { heap_.push(item, item->timestamp.load(std::memory_order_relaxed)); }

void MemoryTier::retire(Item *item) noexcept {
  item->resident.store(false);
  epoch_.retire(item, release_item, sizeof(Item) + item->value().size());
}

void MemoryTier::take_out(Item *item) noexcept {
  table_.erase(item);
  heap_.remove(item);
  items_.store(items_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  bytes_.store(bytes_.load(std::memory_order_relaxed) - item->size(), std::memory_order_relaxed);
  retire(item);
}

Item *MemoryTier::victim() noexcept {
  // Each repair is paid for by a touch. But one call must not pay for all touches since the last eviction one by one:
  // when many items have moved on, they are recorded anew together.
  for (size_t repairs_left = heap_.size() / 8 + 16;; --repairs_left) {
    Item *const item = heap_.top();
    const double timestamp = item->timestamp.load(std::memory_order_relaxed);
    if (!(timestamp > heap_.top_recorded())) return item;
    if (repairs_left == 0) {
      heap_.record_all();
      repairs_left = heap_.size() + 16;
    } else {
      heap_.update(item, timestamp);
    }
  }
}

}  // namespace dbc
