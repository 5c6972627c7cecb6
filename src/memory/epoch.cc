#include "memory/epoch.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <chrono>
#include <thread>
#include <utility>

namespace dbc {

// Room for twice what is due, so that in ordinary times retiring never allocates.
Epoch::Epoch() {
  waiting_.reserve(2 * kDueObjects);
  open_.reserve(2 * kDueObjects);
}

Epoch::~Epoch() {
  free_all(&waiting_);
  free_all(&open_);
}

void Epoch::reserve(size_t count) {
  const size_t needed = open_.size() + count;
  if (needed > open_.capacity()) open_.reserve(std::max(needed, 2 * open_.capacity()));
}

void Epoch::retire(void *object, Free free, size_t bytes) noexcept {
  assert(open_.size() < open_.capacity());
  open_.push_back({object, free});
  open_bytes_ += bytes;
}

void Epoch::collect() noexcept {
  for (;;) {
    if (waiting_.empty()) {
      if (open_.empty()) return;
      waiting_.swap(open_);
      waiting_bytes_ = std::exchange(open_bytes_, 0);
      unseen_ = kAll;
    }
    tick_off();
    if (unseen_ != 0) return;
    free_all(&waiting_);
    waiting_bytes_ = 0;
  }
}

void Epoch::tick_off() noexcept {
  for (uint64_t left = unseen_; left != 0; left &= left - 1) {
    const int bit = std::countr_zero(left);
    const auto &readers = stripes_[bit / 2].readers[bit % 2];
    if ((readers.load(std::memory_order_seq_cst) & kLiving) == 0) unseen_ &= ~(uint64_t{1} << bit);
  }
  const uint32_t parity = parity_.load(std::memory_order_relaxed);
  const uint64_t idle = parity == 0 ? kOddParity : ~kOddParity;
  if (unseen_ != 0 && (unseen_ & idle) == 0) parity_.store(1 - parity, std::memory_order_seq_cst);
}

void Epoch::wait_until_left() const noexcept {
  for (const Stripe &stripe : stripes_) {
    for (const auto &readers : stripe.readers) {
      // A guard lives for less than a microsecond, unless its thread has lost the processor; and it may need this one.
      for (int look = 0; (readers.load(std::memory_order_seq_cst) & kLiving) != 0; ++look) {
        look < 100 ? std::this_thread::yield() : std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
  }
}

uint64_t Epoch::tallied() const noexcept {
  uint64_t sum = 0;
  for (const Stripe &stripe : stripes_) {
    for (const auto &readers : stripe.readers) sum += readers.load(std::memory_order_relaxed) / kTallied;
  }
  return sum;
}

void Epoch::free_all(std::vector<Retired> *batch) noexcept {
  for (const Retired &retired : *batch) retired.free(retired.object);
  batch->clear();
  // After a large batch the list itself is worth giving back; the room for the next one is asked for by reserve().
  if (batch->capacity() > 64 * kDueObjects) std::vector<Retired>().swap(*batch);
}

}  // namespace dbc
