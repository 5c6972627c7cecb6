// Injector: makes the k-th call of a chosen kind fail, once or from then on. The calls are asked in the test's VFS
// (fault_vfs.cc), in the wrappers of the core's own system calls (system_calls.cc) and of its allocations
// (allocations.cc).
//
// Thread safety: everything from any thread; the library's own threads are counted and failed like any other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dbc::faults {

enum class Call : size_t {
  // Of SQLite, through its VFS.
  kOpen,
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kLock,
  kMapShared,
  kLockShared,
  kDelete,
  kFileSize,
  kAccess,
  kFullPath,
  // Of the core.
  kSystemOpen,
  kSystemStat,
  kSystemReserve,
  kSystemMap,
  kSystemLock,
  kSystemRename,
  // Of both.
  kAllocate,
  kCount
};

// How much of a call is done before it fails.
enum class Extent { kNothing, kHalf };

struct Fault {
  const char *name = "";
  Call call = Call::kCount;
  int result = 0;  // what SQLite is told
  int error = 0;   // errno
  Extent extent = Extent::kNothing;
  bool damages = false;  // what is read looks like a damaged file: the library may well start a fresh one
};

// Everything but allocations.
const std::vector<Fault> &io_faults();

class Injector {
 public:
  // The k-th call from now on (the first is 1) fails; `lasting`: and all that follow.
  void arm(const Fault &fault, uint64_t k, bool lasting);
  void disarm() { armed_.store(false); }
  bool armed() const { return armed_.load(); }
  // Did a call fail since arm()?
  bool fired() const { return fired_.load(); }
  uint64_t calls(Call call) const { return counts_[static_cast<size_t>(call)].load(); }

  // Asked by each call; null: go on. Until then the fault that it dies of.
  const Fault *ask(Call call) noexcept;

 private:
  std::array<std::atomic<uint64_t>, static_cast<size_t>(Call::kCount)> counts_{};
  Fault fault_;  // not changed while armed
  std::atomic<uint64_t> first_{0};
  std::atomic<bool> lasting_{false};
  std::atomic<bool> armed_{false};
  std::atomic<bool> fired_{false};
};

Injector &injector();

// While one lives, this thread's calls are neither counted nor failed: for a test's own.
class Spared {
 public:
  Spared() { ++depth_; }
  ~Spared() { --depth_; }
  Spared(const Spared &) = delete;
  Spared &operator=(const Spared &) = delete;
  static bool here() { return depth_ > 0; }

 private:
  friend class Exposed;
  // constinit: else it is reached through a function that may initialize it, and GCC's sanitizer takes that for null.
  static constinit thread_local int depth_;
};

// Within a Spared: here they count again. For the one call of the library that a test is about.
class Exposed {
 public:
  Exposed() : before_(Spared::depth_) { Spared::depth_ = 0; }
  ~Exposed() { Spared::depth_ = before_; }
  Exposed(const Exposed &) = delete;
  Exposed &operator=(const Exposed &) = delete;

 private:
  const int before_;
};

// The VFS "faulty", over the default one; afterwards it is the default. Nothing is synced for real.
void install_fault_vfs();

}  // namespace dbc::faults
