// Throughput of threads that run side by side for a while.
#pragma once

#include <atomic>
#include <barrier>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "results.h"

namespace bench {

// One call of a worker: the number counts its calls.
using Worker = std::function<void(uint64_t)>;

// Calls of each worker a second. All start together; the time is taken over calls in blocks, so that asking the clock
// and the flag costs nothing that counts.
inline std::vector<double> side_by_side(const std::vector<Worker> &workers, double duration, uint64_t block) {
  std::vector<double> rates(workers.size());
  std::atomic<bool> stop{false};
  std::exception_ptr failure;
  std::mutex mutex;
  std::barrier start(static_cast<ptrdiff_t>(workers.size()) + 1);
  std::vector<std::thread> threads;
  for (size_t which = 0; which < workers.size(); ++which) {
    threads.emplace_back([&, which] {
      start.arrive_and_wait();
      uint64_t calls = 0;
      double began = seconds();
      try {
        while (!stop.load(std::memory_order_relaxed)) {
          for (uint64_t i = 0; i < block; ++i) workers[which](calls++);
        }
      } catch (...) {
        std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
      rates[which] = static_cast<double>(calls) / (seconds() - began);
    });
  }
  start.arrive_and_wait();
  std::this_thread::sleep_for(std::chrono::duration<double>(duration));
  stop = true;
  for (std::thread &thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  return rates;
}

}  // namespace bench
