// Ending: one thread closes, and others who want the same wait until it is done: what they do next may count on it.
//
// Thread safety: all functions from any thread. Whoever claims it calls run(); the others wait(), also before run(), and
// from inside of it (as a log callback may), when it returns at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#include "base/status.h"

namespace dbc {

class Ending {
 public:
  // True for one caller.
  bool claim() { return !claimed_.exchange(true); }

  // Throws what `close` throws, and so does wait() for those who wait meanwhile. Who comes later finds it closed.
  template <typename Close>
  void run(Close &&close) {
    closer_.store(std::this_thread::get_id());
    try {
      close();
    } catch (const Error &error) {
      end(error.status(), error.what());
      throw;
    } catch (const std::bad_alloc &error) {
      end(Status::kNoMemory, error.what());
      throw;
    } catch (const std::exception &error) {
      end(Status::kInternal, error.what());
      throw;
    }
    end(Status::kOk, "");
  }

  void wait() {
    if (closer_.load() == std::this_thread::get_id()) return;
    std::unique_lock lock(mutex_);
    if (done_) return;
    changed_.wait(lock, [&] { return done_; });
    if (status_ != Status::kOk) throw Error(status_, why_);
  }

 private:
  void end(Status status, const char *why) {
    std::lock_guard lock(mutex_);
    done_ = true;
    status_ = status;
    changed_.notify_all();
    why_ = why;  // last: memory may be short
  }

  std::atomic<bool> claimed_{false};
  std::atomic<std::thread::id> closer_{};
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool done_ = false;
  Status status_ = Status::kOk;
  std::string why_;
};

}  // namespace dbc
