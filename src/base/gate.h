// Gate: counts the calls that are inside something, so that closing it can wait for them. Entering costs two additions
// on a cache line that other threads rarely touch.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "base/stripe.h"

namespace dbc {

class Gate {
 public:
  // Inside while it lives, if it was let in.
  class Pass {
   public:
    explicit Pass(Gate &gate) : count_(gate.inside_[thread_stripe()].count) {
      // In one order with close(): either it sees this count, or we see it closed.
      count_.fetch_add(1, std::memory_order_seq_cst);
      admitted_ = !gate.closed_.load(std::memory_order_seq_cst);
    }
    // In one order with close() too: either it finds nobody inside, or who leaves finds it closed().
    ~Pass() { count_.fetch_sub(1, std::memory_order_seq_cst); }
    Pass(const Pass &) = delete;
    Pass &operator=(const Pass &) = delete;
    bool admitted() const { return admitted_; }

   private:
    std::atomic<int64_t> &count_;
    bool admitted_;
  };

  bool closed() const { return closed_.load(std::memory_order_seq_cst); }

  // Lets nobody in any more. True for the one caller who closed it.
  bool close() { return !closed_.exchange(true, std::memory_order_seq_cst); }

  // Has everybody left who was let in? For good, once it is closed.
  bool empty() const {
    for (const Stripe &stripe : inside_) {
      if (stripe.count.load(std::memory_order_seq_cst) != 0) return false;
    }
    return true;
  }

  // Until everybody who was let in has left. Calls take as long as they take, so this looks again and again, ever less
  // often.
  void wait_until_empty() const {
    auto pause = std::chrono::microseconds(1);
    for (const Stripe &stripe : inside_) {
      while (stripe.count.load(std::memory_order_seq_cst) != 0) {
        std::this_thread::sleep_for(pause);
        if (pause < std::chrono::milliseconds(1)) pause *= 2;
      }
    }
  }

 private:
  struct alignas(kCacheLine) Stripe {
    std::atomic<int64_t> count{0};
  };
  std::array<Stripe, kStripes> inside_;
  std::atomic<bool> closed_{false};
};

}  // namespace dbc
