#include "disk/maintenance.h"

#include <csignal>
#include <exception>
#include <utility>

namespace dbc {

Maintenance::Maintenance(std::function<bool()> work, std::chrono::duration<double> delay)
    : work_(std::move(work)), delay_(delay) {}

Maintenance::~Maintenance() { stop(); }

bool Maintenance::request(bool urgent) noexcept {
  std::lock_guard lock(mutex_);
  if (stopping_) return false;
  if (requested_ && (urgent_ || !urgent)) return true;
  requested_ = true;
  urgent_ = urgent_ || urgent;
  if (!thread_.joinable()) {
    // Signals are the program's: none shall be delivered to a thread it does not know.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::exception &) {
      // No memory, no thread to be had now: the work waits for the next request, for flush() or close().
      requested_ = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  changed_.notify_all();
  return requested_;
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
  while (true) {
    changed_.wait(lock, [this] { return requested_ || stopping_; });
    changed_.wait_for(lock, delay_, [this] { return urgent_ || stopping_; });
    if (stopping_) return;
    requested_ = urgent_ = false;
    lock.unlock();
    bool done = work_();
    lock.lock();
    if (!done) requested_ = true;
  }
}

}  // namespace dbc
