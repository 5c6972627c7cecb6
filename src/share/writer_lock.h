// WriterLock: one writer at a time among all threads and processes that use a file.
//
// Two stages: turns in order of arrival among the threads of this handle, then a lock of the open file description on
// the shared file, which the kernel gives up when its holder dies. An uncontended lock and unlock are one system call
// each.
//
// That lock alone says who writes. Since the kernel has no call that waits for it with a time limit, nor one that is
// fair, those who find it held queue in the shared file: each takes a ticket and sleeps (a futex) until the one before
// it is done; the next in turn is woken ahead of time. The queue is a courtesy that may be wrong in any way, as when a
// waiter dies: whoever has slept for some milliseconds tries the lock, whoever's turn it is.
//
// Fork: a child shares its parent's open file descriptions, so the parent's WriterLock excludes nothing between the
// two, and its mutex may be locked for ever. A child must neither use nor destroy it, but open the shared file again.
// The child's copy of the descriptor is closed at the fork (see base/fork.h): that does not unlock, but a copy that
// stays open would keep a lock alive that its parent held when it died.
//
// Lock order: WriterLock, then NoFork, then SQLite's own locks, then leaf mutexes.
// Thread safety: all functions from any thread; not recursive.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>

namespace dbc {

// The waiters of all processes, in the shared file. Zero at first; no value of it does harm.
struct WriterQueue {
  std::atomic<uint32_t> arrived;  // the next ticket
  std::atomic<uint32_t> served;   // the ticket whose turn is next; all before it are done
  std::atomic<uint32_t> event;    // moves when a waiter has reason to look again: what they sleep on
};

class WriterLock {
 public:
  // `descriptor`: of the shared file, with its `queue`; both owned by the caller and valid for the life of the lock.
  // -1: threads only.
  explicit WriterLock(int descriptor, WriterQueue *queue = nullptr) : descriptor_(descriptor), queue_(queue) {}
  WriterLock(const WriterLock &) = delete;
  WriterLock &operator=(const WriterLock &) = delete;

  // False when the time ran out. A time of 0 (or less, or not a number) tries once; infinity is allowed.
  // Throws Error(kIo) when the kernel refuses for another reason.
  bool try_lock_for(std::chrono::duration<double> timeout);
  void unlock();

 private:
  class Deadline;
  struct Waiter {
    std::condition_variable changed;
    bool turn = false;
  };

  bool take_turn(Deadline &deadline);
  void pass_turn();
  bool lock_file(Deadline &deadline);
  bool try_lock_file();
  bool queue_for_file(Deadline &deadline);
  void leave_queue(uint32_t ticket);
  void wake_next();

  const int descriptor_;
  WriterQueue *const queue_;

  std::mutex mutex_;             // guards everything below
  bool taken_ = false;           // it is some thread's turn
  std::list<Waiter *> waiters_;  // for their turn, in order of arrival
};

}  // namespace dbc
