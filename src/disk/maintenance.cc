#include "disk/maintenance.h"

#include <algorithm>
#include <csignal>
#include <exception>
#include <utility>

namespace dbc {

Maintenance::Maintenance(std::vector<Task> tasks) {
  for (Task &task : tasks) tasks_.push_back({std::move(task), false, {}});
}

Maintenance::~Maintenance() { stop(); }

bool Maintenance::request(size_t task, bool urgent) noexcept {
  std::lock_guard lock(mutex_);
  if (stopping_) return false;
  State &state = tasks_[task];
  if (state.requested && (!urgent || state.due <= Clock::now())) return true;
  schedule(&state, urgent);
  if (!thread_.joinable()) {
    // Signals are the program's: none shall be delivered to a thread it does not know.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::exception &) {
      // No memory, no thread to be had now.
      state.requested = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  changed_.notify_all();
  return state.requested;
}

void Maintenance::schedule(State *state, bool urgent) noexcept {
  state->requested = true;
  state->due = Clock::now();
  if (!urgent) state->due += std::chrono::duration_cast<Clock::duration>(state->task.delay);
}

void Maintenance::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Maintenance::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    State *next = nullptr;
    for (State &state : tasks_) {
      if (state.requested && (!next || state.due < next->due)) next = &state;
    }
    if (!next) {
      changed_.wait(lock);
    } else if (next->due > Clock::now()) {
      changed_.wait_until(lock, next->due);
    } else {
      next->requested = false;
      lock.unlock();
      bool done = next->task.work();
      lock.lock();
      if (!done && !next->requested) schedule(next, false);
    }
  }
}

}  // namespace dbc
