// Maintenance: the library's own thread for one open file: it does the work that no caller should wait for (writing access
// times, checkpoints, ending snapshots that are kept), a bounded time after it was asked to.
//
// The thread starts with the first request. It never calls back into the user's program. In a forked child it does not exist;
// the whole store is abandoned there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace dbc {

class Maintenance {
 public:
  // `work` runs on the thread, `delay` after the first request since it last ran, or at once after an urgent one. It says
  // whether all was done; if not, it runs again after `delay`. It must not throw.
  struct Task {
    std::function<bool()> work;
    std::chrono::duration<double> delay;
  };

  // Tasks are asked for by their index. One that is late because of another's work runs directly after it.
  explicit Maintenance(std::vector<Task> tasks);
  ~Maintenance();

  // Says whether the work will be done without another request, flush() or close(): not if no thread can be had now.
  bool request(size_t task, bool urgent) noexcept;
  // Waits for work in progress and ends the thread. Requests that come later do nothing.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  struct State {
    Task task;
    bool requested = false;
    Clock::time_point due;
  };

  void run();
  void schedule(State *state, bool urgent) noexcept;

  std::mutex mutex_;  // guards everything below; a leaf, not held while work runs
  std::condition_variable changed_;
  std::vector<State> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dbc
