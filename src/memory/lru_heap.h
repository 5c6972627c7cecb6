// LruHeap: items in the order (recorded timestamp, key), smallest on top.
//
// A 4-ary heap: half as deep as a binary one, and four children lie in one or two cache lines. Timestamps are held in
// the heap itself, so that comparing them touches no item; only equal ones make it look at keys. An item knows its
// place (Item::heap_index). Timestamps are numbers: 0.0 and -0.0 are equal.
//
// Invariant: no entry comes before its parent, entries_[(i - 1) / 4]; entries_[i].item->heap_index == i.
//
// Thread safety: for one thread at a time; the owner guards it together with the items' heap_index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/item.h"

namespace dbc {

class LruHeap {
 public:
  struct Entry {
    double recorded;
    Item *item;
  };

  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  // Requires that the heap is not empty.
  Item *top() const { return entries_.front().item; }
  double top_recorded() const { return entries_.front().recorded; }
  // Requires that the item is in the heap.
  double recorded(const Item &item) const { return entries_[item.heap_index].recorded; }
  // All entries, in no useful order.
  const std::vector<Entry> &entries() const { return entries_; }

  // Makes room so that the next push() needs no memory. Throws std::bad_alloc without change.
  void reserve();
  // Requires reserve(), or that as many entries were removed since.
  void push(Item *item, double recorded) noexcept;
  void remove(Item *item) noexcept;
  void update(Item *item, double recorded) noexcept;
  // Records every item at its own timestamp: cheaper than updating a large part of them one by one.
  void record_all() noexcept;
  void clear() noexcept;
  // Gives memory back if little of it is used.
  void trim() noexcept;

 private:
  static bool before(const Entry &left, const Entry &right) {
    if (left.recorded != right.recorded) return left.recorded < right.recorded;
    return left.item->key() < right.item->key();
  }

  // Both put `entry` where it belongs, at `at` or on the way up or down from there; what is at `at` is overwritten.
  void sift_up(size_t at, Entry entry) noexcept;
  void sift_down(size_t at, Entry entry) noexcept;
  void settle(size_t at, Entry entry) noexcept;
  void place(size_t at, Entry entry) noexcept {
    entries_[at] = entry;
    entry.item->heap_index = static_cast<uint32_t>(at);
  }

  std::vector<Entry> entries_;
};

}  // namespace dbc
