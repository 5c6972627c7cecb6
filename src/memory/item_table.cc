#include "memory/item_table.h"

#include <algorithm>
#include <cassert>
#include <new>

namespace dbc {

ItemTable::Slots *ItemTable::Slots::create(size_t capacity) {
  static_assert(sizeof(Slots) % alignof(Slot) == 0, "the slots follow the header");
  void *memory = ::operator new(sizeof(Slots) + capacity * sizeof(Slot));
  auto *slots = new (memory) Slots{capacity};
  for (size_t at = 0; at < capacity; ++at) new (&slots->slot(at)) Slot(kEmpty);
  return slots;
}

void ItemTable::Slots::destroy(void *slots) { ::operator delete(slots); }

ItemTable::ItemTable(Epoch &epoch) : epoch_(epoch), slots_(Slots::create(kMinimumCapacity)) {}

ItemTable::~ItemTable() { Slots::destroy(slots_.load(std::memory_order_relaxed)); }

void ItemTable::reserve() {
  if ((used_ + 1) * 4 > capacity() * 3) rebuild(capacity_for(size_ + 1));
}

Item *ItemTable::put(Item *item) noexcept {
  assert((reinterpret_cast<uintptr_t>(item) & kTagMask) == 0);
  Slots *slots = slots_.load(std::memory_order_relaxed);
  Slots::Slot *tombstone = nullptr;
  for (size_t at = slots->home(item->hash());; at = slots->after(at)) {
    Slots::Slot &slot = slots->slot(at);
    const uintptr_t present = slot.load(std::memory_order_relaxed);
    if (present == kEmpty) {
      if (!tombstone) ++used_;
      assert(used_ * 4 <= slots->capacity * 3);
      ++size_;
      (tombstone ? *tombstone : slot).store(slot_of(item), std::memory_order_seq_cst);
      return nullptr;
    }
    if (present == kTombstone) {
      if (!tombstone) tombstone = &slot;
      continue;
    }
    Item *other = item_of(present);
    if (other->hash() == item->hash() && other->key() == item->key()) {
      slot.store(slot_of(item), std::memory_order_seq_cst);
      return other;
    }
  }
}

void ItemTable::erase(Item *item) noexcept {
  Slots *slots = slots_.load(std::memory_order_relaxed);
  size_t at = slots->home(item->hash());
  while (slots->slot(at).load(std::memory_order_relaxed) != slot_of(item)) {
    assert(slots->slot(at).load(std::memory_order_relaxed) != kEmpty);
    at = slots->after(at);
  }
  --size_;
  if (slots->slot(slots->after(at)).load(std::memory_order_relaxed) != kEmpty) {
    slots->slot(at).store(kTombstone, std::memory_order_seq_cst);
    return;
  }
  // Nothing follows in this run, so neither this slot nor the tombstones before it are on anyone's way.
  do {
    slots->slot(at).store(kEmpty, std::memory_order_seq_cst);
    --used_;
    at = slots->before(at);
  } while (slots->slot(at).load(std::memory_order_relaxed) == kTombstone);
}

void ItemTable::clear() noexcept {
  Slots *slots = slots_.load(std::memory_order_relaxed);
  size_ = used_ = 0;
  if (slots->capacity > kMinimumCapacity) {
    try {
      epoch_.reserve(1);
      publish(Slots::create(kMinimumCapacity));
      return;
    } catch (const std::bad_alloc &) {
      // Without memory for a small array the large one is emptied and kept.
    }
  }
  for (size_t at = 0; at < slots->capacity; ++at) slots->slot(at).store(kEmpty, std::memory_order_seq_cst);
}

void ItemTable::trim() noexcept {
  if (capacity() <= kMinimumCapacity || size_ * 8 > capacity()) return;
  try {
    rebuild(capacity_for(size_));
  } catch (const std::bad_alloc &) {
    // Nothing is lost but the chance to be smaller.
  }
}

size_t ItemTable::capacity_for(size_t items) { return std::max(kMinimumCapacity, items * 5 / 3 + 1); }

void ItemTable::rebuild(size_t capacity) {
  epoch_.reserve(1);
  Slots *fresh = Slots::create(capacity);
  const Slots *slots = slots_.load(std::memory_order_relaxed);
  for (size_t from = 0; from < slots->capacity; ++from) {
    const uintptr_t slot = slots->slot(from).load(std::memory_order_relaxed);
    if (slot == kEmpty || slot == kTombstone) continue;
    size_t at = fresh->home(item_of(slot)->hash());
    while (fresh->slot(at).load(std::memory_order_relaxed) != kEmpty) at = fresh->after(at);
    fresh->slot(at).store(slot, std::memory_order_relaxed);
  }
  used_ = size_;
  publish(fresh);
}

void ItemTable::publish(Slots *slots) noexcept {
  Slots *old = slots_.load(std::memory_order_relaxed);
  slots_.store(slots, std::memory_order_seq_cst);
  epoch_.retire(old, Slots::destroy, sizeof(Slots) + old->capacity * sizeof(Slots::Slot));
}

}  // namespace dbc
