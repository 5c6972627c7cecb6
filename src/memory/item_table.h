// ItemTable: finds items by key; any number of readers without a lock beside one writer.
//
// Open addressing with linear probing. A slot is one atomic word: the item's address, with low bits of the key's hash
// in the address bits that alignment leaves free, so that a probe seldom looks into the wrong item. Replacing an item
// is one store. An erased slot in the middle of a run becomes a tombstone, which a later insertion takes; at the end of
// a run it becomes empty again.
//
// Sizes are not powers of two: at most 3/4 of the slots are used (tombstones included), and a new array is made for a
// load of 3/5, which keeps the table at 11 to 14 bytes an item.
//
// Invariants: a key is in at most one slot of the current array; no empty slot lies between a key's home and its slot;
// at least a quarter of the slots is empty, so every probe ends.
//
// Thread safety: find() is for any thread that holds an EpochGuard of the table's epoch. The rest is for one thread at
// a time, under the same mutex as the epoch. Everything that readers follow is loaded and stored sequentially
// consistent, as the epoch requires.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/item.h"
#include "base/stripe.h"
#include "memory/epoch.h"

namespace dbc {

class ItemTable {
 public:
  // The table does not own items. Arrays that it outgrew are retired through `epoch`.
  explicit ItemTable(Epoch &epoch);
  ~ItemTable();
  ItemTable(const ItemTable &) = delete;
  ItemTable &operator=(const ItemTable &) = delete;

  // The item of a key, or null. It stays readable while the caller's guard lives.
  Item *find(const Key &key) const {
    const Slots *slots = slots_.load(std::memory_order_seq_cst);
    for (size_t at = slots->home(key.hash);; at = slots->after(at)) {
      const uintptr_t slot = slots->slot(at).load(std::memory_order_seq_cst);
      if (slot == kEmpty) return nullptr;
      if ((slot & kTagMask) != (key.hash & kTagMask) || slot == kTombstone) continue;
      Item *item = item_of(slot);
      if (item->hash() == key.hash && item->key() == key.text) return item;
    }
  }

  // For find()s to come: each waits for the slot and then for the item, where many can be waited for at a time, or other
  // work be done meanwhile. First prefetch() of all, then prefetch_item() of all.
  void prefetch(const Key &key) const {
    const Slots *slots = slots_.load(std::memory_order_seq_cst);
    __builtin_prefetch(&slots->slot(slots->home(key.hash)));
  }
  void prefetch_item(const Key &key) const {
    const Slots *slots = slots_.load(std::memory_order_seq_cst);
    for (size_t at = slots->home(key.hash);; at = slots->after(at)) {
      const uintptr_t slot = slots->slot(at).load(std::memory_order_relaxed);
      if (slot == kEmpty) return;
      if ((slot & kTagMask) != (key.hash & kTagMask) || slot == kTombstone) continue;
      const char *item = reinterpret_cast<const char *>(item_of(slot));
      prefetch_to_write(item);  // a hit does: fetched to be read, its line would cross between processors twice
      __builtin_prefetch(item + kCacheLine);
      return;
    }
  }

  // Makes room so that the next put() needs no memory. Throws std::bad_alloc without change.
  void reserve();
  // Puts an item in, in place of the one with the same key, which is returned (null if there was none). Requires
  // reserve().
  Item *put(Item *item) noexcept;
  // Takes out an item that is in the table.
  void erase(Item *item) noexcept;
  // Takes out everything and gives the memory back.
  void clear() noexcept;
  // Gives memory back if the table is mostly empty.
  void trim() noexcept;

  size_t size() const { return size_; }
  size_t capacity() const { return slots_.load(std::memory_order_relaxed)->capacity; }

 private:
  // Header and slots in one allocation, so that a reader follows one pointer to the array.
  struct Slots {
    using Slot = std::atomic<uintptr_t>;

    static Slots *create(size_t capacity);
    static void destroy(void *slots);

    // The home slot grows with the hash's high half; the tag is of its low half.
    size_t home(uint64_t hash) const { return static_cast<size_t>(((hash >> 32) * capacity) >> 32); }
    size_t after(size_t at) const { return at + 1 == capacity ? 0 : at + 1; }
    size_t before(size_t at) const { return at == 0 ? capacity - 1 : at - 1; }
    Slot &slot(size_t at) { return reinterpret_cast<Slot *>(this + 1)[at]; }
    const Slot &slot(size_t at) const { return reinterpret_cast<const Slot *>(this + 1)[at]; }

    size_t capacity;
  };

  static constexpr size_t kMinimumCapacity = 16;
  static constexpr uintptr_t kTagMask = alignof(std::max_align_t) - 1;  // items come from malloc
  static constexpr uintptr_t kEmpty = 0;
  static constexpr uintptr_t kTombstone = 1;

  static void prefetch_to_write(const void *line) {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char *>(line)));  // the built-in one makes it a read
#else
    __builtin_prefetch(line, 1);
#endif
  }
  static Item *item_of(uintptr_t slot) { return reinterpret_cast<Item *>(slot & ~kTagMask); }
  static uintptr_t slot_of(Item *item) {
    return reinterpret_cast<uintptr_t>(item) | static_cast<uintptr_t>(item->hash() & kTagMask);
  }
  static size_t capacity_for(size_t items);

  void rebuild(size_t capacity);
  void publish(Slots *slots) noexcept;

  Epoch &epoch_;
  std::atomic<Slots *> slots_;
  size_t size_ = 0;
  size_t used_ = 0;  // slots that are not empty: items and tombstones
};

}  // namespace dbc
