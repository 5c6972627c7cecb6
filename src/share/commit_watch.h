// CommitWatch: tells that others have committed, where no memory can be shared to tell it through.
//
// Thread safety: all functions from any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace dbc {

class CommitWatch {
 public:
  CommitWatch() = default;
  virtual ~CommitWatch() = default;
  CommitWatch(const CommitWatch &) = delete;
  CommitWatch &operator=(const CommitWatch &) = delete;

  // Looks whether anyone else has committed since the last look; if so, seen() has grown when this returns, in whatever
  // thread the look was taken. May wait; throws when it cannot be told.
  virtual void look() = 0;
  // How often others were seen to have committed.
  uint64_t seen() const { return seen_.load(std::memory_order_seq_cst); }

 protected:
  void others_committed() { seen_.fetch_add(1, std::memory_order_seq_cst); }

 private:
  std::atomic<uint64_t> seen_{0};
};

}  // namespace dbc
