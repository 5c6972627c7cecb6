#include "base/fork.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/stripe.h"

namespace dbc {
namespace {

struct alignas(kCacheLine) Stripe {
  std::atomic<int64_t> inside{0};
};

struct State {
  std::atomic<uint64_t> forks{0};
  std::array<Stripe, kStripes> stripes;
  std::atomic<bool> forking{false};
  std::mutex fork_mutex;                // held by the thread that forks, from before to after
  std::atomic<uint64_t> taken_down{0};  // the count of forks for which take_down_inherited() has run
  std::mutex inherited_mutex;           // guards inherited, and the taking down
  std::vector<std::pair<void *, TakeDown>> inherited;
  std::mutex descriptors_mutex;  // a leaf
  std::vector<int> descriptors;

  // Lock order: fork_mutex, a NoFork scope, then inherited_mutex or descriptors_mutex.
  void prepare() {
    fork_mutex.lock();
    // In one order with NoFork(): either it sees that we fork, or we see it inside.
    forking.store(true, std::memory_order_seq_cst);
    for (Stripe &stripe : stripes) {
      while (stripe.inside.load(std::memory_order_seq_cst) != 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    }
    inherited_mutex.lock();
    descriptors_mutex.lock();
  }

  void resume() {
    forking.store(false, std::memory_order_seq_cst);
    descriptors_mutex.unlock();
    inherited_mutex.unlock();
    fork_mutex.unlock();
  }

  void resume_in_child() {
    forks.fetch_add(1, std::memory_order_relaxed);
    // Threads of the parent that had just come, and were about to see that they must wait, are not here to leave.
    for (Stripe &stripe : stripes) stripe.inside.store(0, std::memory_order_relaxed);
    for (int descriptor : descriptors) ::close(descriptor);
    descriptors.clear();
    resume();
  }

  // Until the fork under way is done.
  void wait_for_fork() { std::lock_guard lock(fork_mutex); }
};

// Never destroyed: other threads may be in the library while the program ends.
State &state() {
  static State *const state = new State;
  return *state;
}

[[maybe_unused]] const int registered =
    pthread_atfork([] { state().prepare(); }, [] { state().resume(); }, [] { state().resume_in_child(); });

}  // namespace

uint64_t fork_count() { return state().forks.load(std::memory_order_relaxed); }

NoFork::NoFork() : inside_(&state().stripes[thread_stripe()].inside) {
  while (true) {
    inside_->fetch_add(1, std::memory_order_seq_cst);
    if (!state().forking.load(std::memory_order_seq_cst)) return;
    inside_->fetch_sub(1, std::memory_order_release);
    state().wait_for_fork();
  }
}

void close_in_child(int descriptor) {
  std::lock_guard lock(state().descriptors_mutex);
  state().descriptors.push_back(descriptor);
}

void forget_descriptor(int descriptor) {
  std::lock_guard lock(state().descriptors_mutex);
  std::erase(state().descriptors, descriptor);
}

void register_inherited(void *object, TakeDown take_down) {
  std::lock_guard lock(state().inherited_mutex);
  state().inherited.emplace_back(object, take_down);
}

void forget_inherited(void *object) {
  std::lock_guard lock(state().inherited_mutex);
  std::erase_if(state().inherited, [&](const auto &entry) { return entry.first == object; });
}

void take_down_inherited() {
  if (state().taken_down.load(std::memory_order_acquire) == fork_count()) return;
  NoFork no_fork;
  std::lock_guard lock(state().inherited_mutex);
  if (state().taken_down.load() == fork_count()) return;
  for (const auto &[object, take_down] : state().inherited) take_down(object);
  state().inherited.clear();
  state().taken_down.store(fork_count(), std::memory_order_release);
}

}  // namespace dbc
