// GroupCommit: puts of several threads that come at the same time share one transaction. Whoever comes first leads: it
// commits its own and, when it is done, hands over to one of those who came meanwhile, who commits for all of them.
// Nobody waits for company: one thread alone pays a mutex.
//
// Thread safety: run() from any thread. No lock is held while a leader commits.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
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
    if (led_) {
      waiting_.push_back(&self);
      self.changed.wait(lock, [&] { return self.leads || self.done; });
      if (self.done) {
        if (self.error) std::rethrow_exception(self.error);
        return;
      }
    }
    led_ = true;
    std::vector<Waiter *> followers;
    followers.swap(waiting_);  // of a leader that was handed over to, all who came meanwhile; it is not among them
    lock.unlock();
    commit_all(self, followers);
    lock.lock();
    for (Waiter *follower : followers) {
      follower->done = true;
      follower->changed.notify_one();  // under the mutex: afterwards it may be gone
    }
    led_ = !waiting_.empty();
    if (led_) {
      Waiter *next = waiting_.front();
      waiting_.erase(waiting_.begin());
      next->leads = true;
      next->changed.notify_one();
    }
    lock.unlock();
    if (self.error) std::rethrow_exception(self.error);
  }

 private:
  struct Waiter {
    Request *request;
    std::condition_variable changed{};
    bool leads = false;
    bool done = false;
    std::exception_ptr error{};
  };

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
          // To each its own, since they let go of it on their threads.
          auto another = [&] { return std::make_exception_ptr(Error(error.status(), error.what())); };
          self.error = another();
          for (Waiter *follower : followers) follower->error = another();
          return;
        }
        // Else one of them may be what all failed for: each for itself, then.
      } catch (const std::exception &) {
        // So here.
      }
    }
    commit_one(self);
    for (Waiter *follower : followers) commit_one(*follower);
  }
  void commit_one(Waiter &waiter) noexcept {
    try {
      commit_(std::span<Request *const>(&waiter.request, 1));
    } catch (...) {
      waiter.error = std::current_exception();
    }
  }

  const Commit commit_;
  std::mutex mutex_;  // guards what follows
  bool led_ = false;
  std::vector<Waiter *> waiting_;
};

}  // namespace dbc
