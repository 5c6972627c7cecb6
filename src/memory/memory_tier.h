// MemoryTier: which items are in memory, in exact LRU order, within two limits.
//
// The order is (timestamp, key), smallest first. A hit stores the new timestamp in the item and moves nothing; the heap
// holds the timestamps as they were recorded. Invariant: a recorded timestamp is never later than the item's own. So
// when a victim is needed, the heap's minimum is taken; if its item has moved on, it is recorded anew and sifted down,
// and the next minimum is looked at; the first one that is up to date is the exact minimum of all.
//
// That holds because only touch() sets timestamps of resident items: it raises them without a lock, by an exchange that
// succeeds only from the smaller value it was compared with, and all that lowers or records one holds the mutex.
//
// Thread safety: all functions may be called from any thread. find() and a Reader take no lock (table and items that
// were taken out live on until no reader can see them, see memory/epoch.h); changes take one mutex, `mutex_`. One is
// enough: every change comes with a read or write of the disk tier, which costs at least ten times as much. What the
// caller passes in to be called (`allow`, `expired`) runs under the mutex and must not change the tier; it may take
// locks of its own that are leaves.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "base/item.h"
#include "memory/epoch.h"
#include "memory/item_table.h"
#include "memory/lru_heap.h"

namespace dbc {

enum class Limit { kCount, kSize };

class MemoryTier {
 public:
  struct Eviction {
    ItemRef item;
    Limit limit;
  };

  // max_items 0 switches the tier off: fits() is then never true.
  MemoryTier(uint64_t max_items, uint64_t max_bytes);
  ~MemoryTier();

  // Could an item of that size be here at all?
  bool fits(uint64_t size) const { return max_items_ > 0 && size <= max_bytes_; }

  // The resident item of a key, pinned; null if there is none.
  ItemRef find(const Key &key) const;

  // A look at what is in memory: no lock, no reference count. What it finds may be taken out meanwhile, but stays readable
  // while the reader lives. Keep it short: what is taken out meanwhile is freed only after it. Its thread may call any
  // function of the tier but wait_for_readers().
  class Reader {
   public:
    explicit Reader(const MemoryTier &tier) : tier_(tier), guard_(tier.epoch_) {}

    // False once the tier is closed.
    bool admitted() const { return guard_.admitted(); }

    // The resident item of a key, or null.
    Item *find(const Key &key) const { return tier_.table_.find(key); }

    // Has the processor fetch what find() of these keys will look at. A few dozen at a time, else the first are gone
    // again.
    void prefetch(std::span<const Key> keys) const {
      for (const Key &key : keys) tier_.table_.prefetch(key);
      for (const Key &key : keys) tier_.table_.prefetch_item(key);
    }
    // The same for one, which waits for the table but not for the item.
    void prefetch(const Key &key) const { tier_.table_.prefetch_item(key); }

    // Counts one hit, see hits().
    void count_hit() { guard_.tally(); }

   private:
    const MemoryTier &tier_;
    EpochGuard guard_;
  };
  // How many hits readers have counted, modulo 2^48.
  uint64_t hits() const { return epoch_.tallied(); }

  // Puts an item in, in place of the key's present one (returned in *replaced, if not null), then evicts until both
  // limits hold; appends what went, which may be the item itself. `allow` (if given) is asked under the mutex, when
  // nothing has changed yet: false means insert nothing. Nor is an item inserted that does not fit, or whose version is
  // not larger than the resident one's. Returns whether it was inserted, true also if it was evicted at once. Strong
  // guarantee: throws std::bad_alloc without change.
  bool insert(ItemRef item, std::vector<Eviction> *evictions, ItemRef *replaced,
              const std::function<bool()> &allow = nullptr);

  // Puts all items in as insert() does, and only then evicts, so that the order of the items does not matter. One that
  // `allow` refuses takes the key's earlier item out all the same. Appends those that were replaced. Requires fits() of
  // each. Throws std::bad_alloc with some items in and the limits perhaps exceeded, until the next insertion.
  void insert_all(std::span<const ItemRef> fresh, std::vector<Eviction> *evictions, std::vector<ItemRef> *replaced,
                  const std::function<bool(const Item &)> &allow = nullptr);

  // Takes out a key's item; null if there was none. With `version` not 0: only if it has that version. Needs no memory
  // unless a Reader has lived for long; then it may throw std::bad_alloc without change.
  ItemRef erase(const Key &key, uint64_t version = 0);

  // Takes out everything; appends the items. Strong guarantee.
  void clear(std::vector<ItemRef> *removed);

  // Sets the timestamp of an item, resident or not. `explicit_time`: the caller named the time, and it counts even when
  // it is older; else a concurrent later one stands. Lock-free unless the caller named an older time.
  // Says whether the item has become older.
  bool touch(Item &item, double timestamp, bool explicit_time);

  // Takes out and appends every item for which expired(timestamp) is true. Strong guarantee, also when `expired`
  // throws.
  void erase_if(const std::function<bool(double timestamp)> &expired, std::vector<ItemRef> *removed);

  // No reader is admitted from now on. All else goes on.
  void close() noexcept { epoch_.close(); }
  // Once closed: returns when all readers that were admitted have ended.
  void wait_for_readers() const noexcept { epoch_.wait_until_left(); }

  uint64_t items() const { return items_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // Both counts of one moment.
  void totals(uint64_t *items, uint64_t *bytes) const;

  // All resident items in LRU order, next victim first. A scan, for tests.
  std::vector<ItemRef> in_order() const;

 private:
  // All of these require mutex_.
  // The exact minimum; repairs the heap on the way. Requires that the heap is not empty.
  Item *victim() noexcept;
  // Puts an item into the heap at its own timestamp. Requires room there.
  void record(Item *item) noexcept;
  // From table, heap and counts, then retire().
  void take_out(Item *item) noexcept;
  // Drops the tier's reference as soon as no reader can see the item any more. Requires room in epoch_.
  void retire(Item *item) noexcept;

  const uint64_t max_items_;
  const uint64_t max_bytes_;
  mutable Epoch epoch_;

  mutable std::mutex mutex_;  // guards changes of everything below; nothing of the tier's own is locked under it
  ItemTable table_;
  LruHeap heap_;
  std::atomic<uint64_t> items_{0};
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace dbc
