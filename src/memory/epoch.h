// Epoch: decides when memory that lock-free readers may still look at can be freed.
//
// Readers bracket every look with an EpochGuard, which adds one to a counter on the thread's own cache line and takes
// it off again at the end. A writer unlinks an object first, then retires it. The rule: once every counter has been
// seen at zero at some instant after the unlinking, nobody can hold the object any more. Whoever found it had counted
// himself before it was unlinked, and his counter stays above zero until he leaves; whoever counts himself after his
// counter was seen at zero no longer finds the object. The counters need not be zero all at once, so each is ticked off
// by itself.
//
// A counter that readers keep busy might never be seen at zero. So there are two per stripe, and `parity_` says which
// one newcomers take: it is flipped when all counters of the other parity are ticked off, and then those it pointed to
// run dry. That is for progress only; a reader that took the old parity late is waited for like any other.
//
// The rule needs one total order of four operations: counting oneself, then loading a link; unlinking, then loading the
// counters. All four must be sequentially consistent (they are operations, not fences, which ThreadSanitizer cannot
// follow).
//
// An atomic addition costs as much as the look that it protects. So a guard also serves as a pass for short calls, which
// wait_until_left() waits for, and its end can count what it was for, in the upper bits of the counter that it leaves.
//
// Thread safety: guards come and go on any thread, without registration and without waiting. The rest is for one thread
// at a time: the owner calls it under the mutex that guards his changes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/stripe.h"

namespace dbc {

class Epoch {
 public:
  using Free = void (*)(void *object);

  Epoch();
  // Frees everything retired. No guard may be left.
  ~Epoch();
  Epoch(const Epoch &) = delete;
  Epoch &operator=(const Epoch &) = delete;

  // Makes room so that the next `count` calls of retire() need no memory, unless collect() runs in between. Throws
  // std::bad_alloc without change.
  void reserve(size_t count);

  // Takes over an object that no new reader can find; `free` runs on it, in a later collect() or in the destructor.
  // `bytes` is what the object holds on to. Requires room, see reserve().
  void retire(void *object, Free free, size_t bytes) noexcept;

  // Frees what no reader can see any more. Never waits: what readers may still see stays for a later call.
  void collect() noexcept;

  // collect() when enough has been retired to be worth a look at all counters.
  void collect_if_due() noexcept {
    if (open_.size() + waiting_.size() >= kDueObjects || open_bytes_ + waiting_bytes_ >= kDueBytes) collect();
  }

  // How many retired objects are not freed yet.
  size_t retired() const { return open_.size() + waiting_.size(); }

  // No guard is admitted any more. Any thread.
  void close() noexcept { closed_.store(true, std::memory_order_seq_cst); }
  // Once closed: returns when all guards that were admitted have ended. Any thread.
  void wait_until_left() const noexcept;

  // How many guards have been tallied, modulo 2^48. Any thread.
  uint64_t tallied() const noexcept;

 private:
  friend class EpochGuard;

  static constexpr size_t kDueObjects = 64;
  static constexpr size_t kDueBytes = size_t{1} << 16;
  static constexpr uint64_t kAll = ~uint64_t{0};
  static constexpr uint64_t kOddParity = kAll / 3 * 2;  // the bits of all counters of parity 1

  struct Retired {
    void *object;
    Free free;
  };
  // A counter: in the lower 16 bits the guards that live, above them those that were tallied.
  static constexpr uint64_t kLiving = 0xffff;
  static constexpr uint64_t kTallied = kLiving + 1;
  struct alignas(kCacheLine) Stripe {
    std::atomic<uint64_t> readers[2] = {0, 0};  // by parity
  };
  static_assert(2 * kStripes == 64, "one bit of a 64-bit word for each counter");

  void tick_off() noexcept;
  static void free_all(std::vector<Retired> *batch) noexcept;

  Stripe stripes_[kStripes];
  std::atomic<uint32_t> parity_{0};
  std::atomic<bool> closed_{false};

  // The waiting batch is closed: unseen_ has a bit (2 * stripe + parity) for each counter not seen at zero since.
  // Objects retired meanwhile go to the open batch.
  std::vector<Retired> waiting_;
  std::vector<Retired> open_;
  size_t waiting_bytes_ = 0;
  size_t open_bytes_ = 0;
  uint64_t unseen_ = 0;
};

// While it lives, nothing that its thread finds through links of the epoch's owner is freed. May nest. Keep it short:
// what is retired meanwhile piles up.
class EpochGuard {
 public:
  explicit EpochGuard(Epoch &epoch)
      : epoch_(epoch),
        readers_(epoch.stripes_[thread_stripe()].readers[epoch.parity_.load(std::memory_order_relaxed)]) {
    readers_.fetch_add(1, std::memory_order_seq_cst);
  }
  // Release: what was read under the guard was read before the counter can be seen at zero.
  ~EpochGuard() { readers_.fetch_add(leaving_, std::memory_order_release); }
  EpochGuard(const EpochGuard &) = delete;
  EpochGuard &operator=(const EpochGuard &) = delete;

  // False once the epoch is closed. What the guard finds it protects all the same. In one order with close() and
  // wait_until_left(): either that sees this guard, or the guard sees the epoch closed.
  bool admitted() const { return !epoch_.closed_.load(std::memory_order_seq_cst); }

  // Has its end add one to Epoch::tallied().
  void tally() { leaving_ = Epoch::kTallied - 1; }

 private:
  const Epoch &epoch_;
  std::atomic<uint64_t> &readers_;
  uint64_t leaving_ = ~uint64_t{0};  // minus one
};

}  // namespace dbc
