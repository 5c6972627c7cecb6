// A trace of who holds which lock on a file: all processes write it, to memory they share, in one order.
//
// It is taken below the library: of the writer lock by this program's own fcntl(), of SQLite's locks and writes by a
// VFS. What is recorded of SQLite's is never too short: the beginning is recorded before the lock is asked for, the end
// after it was given back. What is recorded of the writer lock is never too long.
#pragma once

#include <sys/syscall.h>

#include <map>
#include <set>

#include "support.h"

namespace dbc::testing {

enum class LockEvent : uint32_t {
  kNone,  // taken by a process that died before it could say for what
  kWriterTaken,
  kWriterReleased,
  kWriteBegins,  // SQLite's lock for those who append to the WAL
  kWriteEnds,
  kCheckpointBegins,
  kCheckpointEnds,
  kWalWritten,
  kWalReset,  // its header was written: it begins anew
  kDatabaseWritten,
};

struct LockRecord {
  std::atomic<LockEvent> event;
  int process;
  int thread;
};

class LockTrace {
 public:
  static constexpr size_t kMost = 4'000'000;

  void add(LockEvent event) {
    size_t place = count_.fetch_add(1);
    if (place >= kMost) return;
    records_[place].process = getpid();
    records_[place].thread = static_cast<int>(syscall(SYS_gettid));
    records_[place].event.store(event, std::memory_order_release);
  }
  bool full() const { return count_ > kMost - 100'000; }
  size_t size() const { return std::min<size_t>(count_, kMost); }
  const LockRecord &operator[](size_t i) const { return records_[i]; }
  // For tests of the check.
  void add(LockEvent event, int process) {
    add(event);
    records_[size() - 1].process = records_[size() - 1].thread = process;
  }

 private:
  std::atomic<size_t> count_;
  LockRecord records_[kMost];
};

// From one event of a thread to another.
struct LockInterval {
  size_t begin, end;
  int process;
};

struct LockFindings {
  size_t commits = 0, checkpoints = 0, resets = 0, holds = 0;
  std::vector<std::string> problems;
};

// Who was killed did nothing after its last record: its locks were free from then on.
inline LockFindings examine(const LockTrace &trace, const std::set<int> &killed) {
  LockFindings found;
  std::vector<LockInterval> commits, checkpoints, holds;
  struct Open {
    std::optional<size_t> hold, write, checkpoint;
    bool written = false;
    size_t last = 0;
    int process = 0;
  };
  std::map<int, Open> threads;
  auto problem = [&](const char *what, size_t place) {
    if (found.problems.size() < 20) found.problems.push_back(std::string(what) + " at record " + std::to_string(place));
  };
  auto end_write = [&](Open &open, size_t place) {
    if (open.write && open.written) commits.push_back({*open.write, place, open.process});
    open.write.reset();
    open.written = false;
  };
  auto end_checkpoint = [&](Open &open, size_t place) {
    if (open.checkpoint) checkpoints.push_back({*open.checkpoint, place, open.process});
    open.checkpoint.reset();
  };
  auto end_hold = [&](Open &open, size_t place) {
    if (open.hold) holds.push_back({*open.hold, place, open.process});
    open.hold.reset();
  };
  for (size_t i = 0; i < trace.size(); ++i) {
    LockEvent event = trace[i].event.load(std::memory_order_acquire);
    if (event == LockEvent::kNone) continue;
    Open &open = threads[trace[i].thread];
    open.last = i;
    open.process = trace[i].process;
    switch (event) {
      case LockEvent::kNone:
        break;
      case LockEvent::kWriterTaken:
        open.hold = i;
        break;
      case LockEvent::kWriterReleased:
        end_hold(open, i);
        break;
      case LockEvent::kWriteBegins:
        open.write = i;
        break;
      case LockEvent::kWriteEnds:
        end_write(open, i);
        break;
      case LockEvent::kCheckpointBegins:
        open.checkpoint = i;
        break;
      case LockEvent::kCheckpointEnds:
        end_checkpoint(open, i);
        break;
      case LockEvent::kWalReset:
        ++found.resets;
        [[fallthrough]];
      case LockEvent::kWalWritten:
        open.written = true;
        if (!open.hold || !open.write) problem("the WAL was written without a lock", i);
        break;
      case LockEvent::kDatabaseWritten:
        if (!open.hold) problem("the database was written without the writer lock", i);
        break;
    }
  }
  for (auto &[thread, open] : threads) {
    if ((open.hold || open.write || open.checkpoint) && !killed.contains(open.process))
      problem("a lock was kept", open.last);
    end_write(open, open.last);
    end_checkpoint(open, open.last);
    end_hold(open, open.last);
  }
  found.commits = commits.size();
  found.checkpoints = checkpoints.size();
  found.holds = holds.size();

  // None of them overlaps another, whatever it is; and each is within a hold of the writer lock.
  auto by_begin = [](const LockInterval &a, const LockInterval &b) { return a.begin < b.begin; };
  std::sort(holds.begin(), holds.end(), by_begin);
  for (size_t i = 1; i < holds.size(); ++i) {
    if (holds[i].begin < holds[i - 1].end) problem("two held the writer lock", holds[i].begin);
  }
  auto expect_within_a_hold = [&](const std::vector<LockInterval> &intervals, const char *what) {
    for (const LockInterval &interval : intervals) {
      auto after = std::upper_bound(holds.begin(), holds.end(), interval, by_begin);
      if (after == holds.begin() || std::prev(after)->end < interval.end ||
          std::prev(after)->process != interval.process) {
        problem(what, interval.begin);
      }
    }
  };
  expect_within_a_hold(commits, "a commit outside the writer lock");
  expect_within_a_hold(checkpoints, "a checkpoint outside the writer lock");
  // Directly, too, without the writer lock: this is what SQLite before 3.51.3 must be kept from.
  size_t next = 0;
  std::sort(commits.begin(), commits.end(), by_begin);
  std::sort(checkpoints.begin(), checkpoints.end(), by_begin);
  for (const LockInterval &checkpoint : checkpoints) {
    while (next < commits.size() && commits[next].end < checkpoint.begin) ++next;
    for (size_t i = next; i < commits.size() && commits[i].begin < checkpoint.end; ++i) {
      bool own = commits[i].process == checkpoint.process && commits[i].end < checkpoint.begin;
      if (!own) problem("a checkpoint overlaps a commit", checkpoint.begin);
    }
  }
  return found;
}

}  // namespace dbc::testing
