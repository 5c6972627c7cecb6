#include "memory/lru_heap.h"

#include <algorithm>
#include <cassert>
#include <new>

namespace dbc {
namespace {

constexpr size_t kArity = 4;

size_t parent_of(size_t at) { return (at - 1) / kArity; }
size_t first_child_of(size_t at) { return at * kArity + 1; }

}  // namespace

void LruHeap::reserve() {
  // By an eighth: copying entries is cheap beside what comes with an insertion, and the room is paid for by every item.
  if (entries_.size() == entries_.capacity()) entries_.reserve(entries_.size() + entries_.size() / 8 + 16);
}

void LruHeap::push(Item *item, double recorded) noexcept {
  assert(entries_.size() < entries_.capacity());
  entries_.push_back({recorded, item});
  sift_up(entries_.size() - 1, {recorded, item});
}

void LruHeap::remove(Item *item) noexcept {
  const size_t at = item->heap_index;
  assert(at < entries_.size() && entries_[at].item == item);
  const Entry last = entries_.back();
  entries_.pop_back();
  if (last.item != item) settle(at, last);
}

void LruHeap::update(Item *item, double recorded) noexcept {
  assert(item->heap_index < entries_.size() && entries_[item->heap_index].item == item);
  settle(item->heap_index, {recorded, item});
}

void LruHeap::record_all() noexcept {
  for (Entry &entry : entries_) entry.recorded = entry.item->timestamp.load(std::memory_order_relaxed);
  if (entries_.size() < 2) return;
  for (size_t at = parent_of(entries_.size() - 1) + 1; at-- > 0;) sift_down(at, entries_[at]);
}

void LruHeap::clear() noexcept { std::vector<Entry>().swap(entries_); }

void LruHeap::trim() noexcept {
  if (entries_.capacity() <= 64 || entries_.size() * 4 > entries_.capacity()) return;
  try {
    std::vector<Entry>(entries_).swap(entries_);
  } catch (const std::bad_alloc &) {
    // Nothing is lost but the chance to be smaller.
  }
}

void LruHeap::sift_up(size_t at, Entry entry) noexcept {
  while (at > 0 && before(entry, entries_[parent_of(at)])) {
    place(at, entries_[parent_of(at)]);
    at = parent_of(at);
  }
  place(at, entry);
}

void LruHeap::sift_down(size_t at, Entry entry) noexcept {
  for (;;) {
    const size_t first = first_child_of(at);
    if (first >= entries_.size()) break;
    const size_t end = std::min(first + kArity, entries_.size());
    size_t least = first;
    for (size_t child = first + 1; child < end; ++child) {
      if (before(entries_[child], entries_[least])) least = child;
    }
    if (!before(entries_[least], entry)) break;
    place(at, entries_[least]);
    at = least;
  }
  place(at, entry);
}

void LruHeap::settle(size_t at, Entry entry) noexcept {
  if (at > 0 && before(entry, entries_[parent_of(at)])) {
    sift_up(at, entry);
  } else {
    sift_down(at, entry);
  }
}

}  // namespace dbc
