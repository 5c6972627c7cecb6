// Maintenance: a thread of the library's own, for one open file and one kind of work that no caller should wait for
// (writing access times and checkpoints, ending snapshots that are kept), which it does a bounded time after it was
// asked to.
//
// The thread starts with the first request. It never calls back into the user's program. In a forked child it does not
// exist; the whole store is abandoned there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace dbc {

class Maintenance {
 public:
  // `work` runs on the thread, `delay` after the first request since it last ran, or at once after an urgent one. It
  // says whether all was done; if not, it runs again after `delay`. It must not throw.
  Maintenance(std::function<bool()> work, std::chrono::duration<double> delay);
  ~Maintenance();

  // Says whether the work will be done without another request: not if no thread can be had now.
  bool request(bool urgent) noexcept;
  // Waits for work in progress and ends the thread. Requests that come later do nothing.
  void stop();

 private:
  void run();

  const std::function<bool()> work_;
  const std::chrono::duration<double> delay_;
  std::mutex mutex_;  // guards everything below; a leaf, not held while work_ runs
  std::condition_variable changed_;
  bool requested_ = false;
  bool urgent_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dbc
