#include "cache/dropped_list.h"

#include <new>
#include <utility>

namespace dbc {

void DroppedList::add(ItemRef item) noexcept {
  if (!enabled_) return;
  std::lock_guard lock(mutex_);
  try {
    if (items_.size() < kLimit) {
      items_.push_back(std::move(item));
      return;
    }
  } catch (const std::bad_alloc &) {
  }
  items_.clear();
  overflowed_ = true;
}

void DroppedList::overflow() noexcept {
  if (!enabled_) return;
  std::lock_guard lock(mutex_);
  items_.clear();
  overflowed_ = true;
}

}  // namespace dbc
