// GroupCommit: puts of several threads that come at the same time share one transaction. Whoever comes first leads: it
// commits its own and, when it is done, hands over to one of those who came meanwhile, who commits for all of them.
// One thread alone pays a mutex.
//
// To wake a sleeper takes as long as a whole transaction. So who waits looks for a while before it sleeps, and lets
// others run meanwhile. And a leader whose last group had company waits a moment for as many to come again: threads
// that put one item after the other would otherwise fall apart into groups of one. Who waited for them in vain does not
// wait again before others have come of themselves.
//
// Thread safety: run() from any thread. No lock is held while a leader commits.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"

namespace dbc {

template <typename Request>
class GroupCommit {
 public:
  using Commit = std::function<void(std::span<Request *const>)>;

  // `commit` makes all requests it is given happen, or throws and none has.
  explicit GroupCommit(Commit commit) : commit_(std::move(commit)) {}

  // Returns when the request has happened; throws what kept it from happening.
  void run(Request &request) {
    Waiter self{&request};
    std::unique_lock lock(mutex_);
    if (!led_) {
      led_ = true;
      self.state.store(State::kLeads, std::memory_order_relaxed);
      lock.unlock();
    } else {
      waiting_.push_back(&self);
      came_.store(waiting_.size());
      lock.unlock();
      await(self);
    }
    if (self.state.load(std::memory_order_relaxed) == State::kLeads) lead(self);
    if (self.error) std::rethrow_exception(self.error);
  }

 private:
  enum class State { kWaits, kLeads, kDone };
  struct Waiter {
    Request *request;
    std::atomic<State> state{State::kWaits};
    std::condition_variable changed{};
    bool asleep = false;  // under the mutex
    std::exception_ptr error{};
  };
  using Clock = std::chrono::steady_clock;
  // How long a waiter looks before it sleeps: a group of a few takes 100 us, a checkpoint milliseconds.
  static constexpr std::chrono::microseconds kAlertness{200};
  // How long a leader waits for company: what the threads it has just let go need to come back, and less than a put.
  static constexpr std::chrono::microseconds kPatience{20};

  // Lets other threads run until it holds, or the time is over.
  template <typename Condition>
  static bool yield_until(Clock::duration longest, Condition holds) {
    for (Clock::time_point end = Clock::now() + longest; !holds();) {
      if (Clock::now() >= end) return false;
      sched_yield();
    }
    return true;
  }

  void await(Waiter &self) {
    auto told = [&] { return self.state.load(std::memory_order_acquire) != State::kWaits; };
    if (yield_until(kAlertness, told)) return;
    std::unique_lock lock(mutex_);
    self.asleep = true;
    self.changed.wait(lock, told);
  }

  // Under the mutex. Afterwards the waiter may be gone.
  static void tell(Waiter &waiter, State state) {
    bool asleep = waiter.asleep;
    waiter.state.store(state, std::memory_order_release);
    if (asleep) waiter.changed.notify_one();  // it cannot leave before the mutex is free
  }

  void lead(Waiter &self) {
    // Only a leader touches company_, and there is one at a time.
    bool in_vain = company_ > 0 && !yield_until(kPatience, [&] { return came_.load() >= company_; });
    std::vector<Waiter *> followers;
    std::unique_lock lock(mutex_);
    followers.swap(waiting_);  // of a leader that was handed over to, all who came meanwhile; it is not among them
    came_.store(0);
    lock.unlock();
    commit_all(self, followers);
    lock.lock();
    company_ = in_vain ? 0 : followers.size();
    for (Waiter *follower : followers) tell(*follower, State::kDone);
    led_ = !waiting_.empty();
    if (led_) {
      Waiter *next = waiting_.front();
      waiting_.erase(waiting_.begin());
      came_.store(waiting_.size());
      tell(*next, State::kLeads);
    }
  }

  void commit_all(Waiter &self, const std::vector<Waiter *> &followers) noexcept {
    if (!followers.empty()) {
      try {
        std::vector<Request *> requests{self.request};
        for (Waiter *follower : followers) requests.push_back(follower->request);
        commit_(requests);
        return;
      } catch (const Error &error) {
        // None of them has had its turn, and all have waited for it: one by one they would wait in a row.
        if (error.status() == Status::kBusy) {
          self.error = another(error);
          for (Waiter *follower : followers) follower->error = another(error);
          return;
        }
        // Else one of them may be what all failed for: each for itself, then.
      } catch (const std::exception &) {
        // So here.
      }
    }
    std::optional<Error> busy = commit_one(self);
    for (Waiter *follower : followers) {
      if (busy) {
        follower->error = another(*busy);
      } else {
        busy = commit_one(*follower);
      }
    }
  }
  // To each its own, since they let go of it on their threads.
  static std::exception_ptr another(const Error &error) noexcept {
    try {
      return std::make_exception_ptr(Error(error.status(), error.what()));
    } catch (...) {
      return std::current_exception();  // memory is short
    }
  }
  // Returns the error if somebody else has kept it from happening, as he would all others.
  std::optional<Error> commit_one(Waiter &waiter) noexcept {
    try {
      commit_(std::span<Request *const>(&waiter.request, 1));
    } catch (const Error &error) {
      waiter.error = std::current_exception();
      if (error.status() == Status::kBusy) return error;
    } catch (...) {
      waiter.error = std::current_exception();
    }
    return std::nullopt;
  }

  const Commit commit_;
  std::mutex mutex_;  // guards what follows
  bool led_ = false;
  std::vector<Waiter *> waiting_;
  std::atomic<size_t> came_{0};  // how many wait, for a leader that looks without the mutex
  size_t company_ = 0;           // how many a leader hopes for, beside itself
};

}  // namespace dbc
