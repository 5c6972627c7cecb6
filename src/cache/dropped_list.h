// DroppedList: for bindings that hold the objects, which versions left the memory tier and were not told of yet.
//
// Thread safety: all functions from any thread; one mutex, a leaf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "base/item.h"

namespace dbc {

class DroppedList {
 public:
  static constexpr size_t kLimit = 1 << 20;

  // Does nothing unless enabled. Never throws: when there is no memory for it, the list overflows.
  explicit DroppedList(bool enabled) : enabled_(enabled) {}

  bool enabled() const { return enabled_; }
  void add(ItemRef item) noexcept;
  // Everything held must go.
  void overflow() noexcept;

  // Up to `capacity` versions, oldest first, without those for which `resident` says that they are back in memory.
  // *overflowed: the list was dropped since the last call.
  template <typename Resident>
  size_t take(uint64_t *versions, size_t capacity, bool *overflowed, Resident &&resident) {
    std::lock_guard lock(mutex_);
    *overflowed = overflowed_;
    overflowed_ = false;
    size_t count = 0;
    while (count < capacity && !items_.empty()) {
      ItemRef item = std::move(items_.front());
      items_.pop_front();
      if (!resident(*item)) versions[count++] = item->version();
    }
    return count;
  }

 private:
  const bool enabled_;
  std::mutex mutex_;
  std::deque<ItemRef> items_;
  bool overflowed_ = false;
};

}  // namespace dbc
