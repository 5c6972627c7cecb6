// WriterLock: one writer at a time among all threads and processes that use a file.
//
// Two stages: turns in order of arrival among the threads of this handle, then a lock of the open file description on
// the shared file, which the kernel gives up when its holder dies. An uncontended lock and unlock are one system call
// each. Waiting blocks, without polling, up to a time limit: the kernel has no lock call with a time limit, so a helper
// thread, made for that wait, blocks in the kernel and hands the lock over. If the waiter's time runs out first, the
// helper stays in the queue: the next waiter of the handle takes it over; if there is none, it gives the lock back when
// it gets it.
//
// Between processes, waiters queue on a byte of their own. The kernel alone would let a writer that locks again right
// after it unlocked win against everyone it just woke, for as long as it likes; `waiting` prevents that.
//
// Fork: a child shares its parent's open file descriptions, so the parent's WriterLock excludes nothing between the
// two, and its mutex may be locked for ever. A child must neither use nor destroy it, but open the shared file again.
// The child's copies of the descriptors are closed at the fork (see base/fork.h): that does not unlock, but a copy that
// stays open would keep a lock alive that its parent held when it died.
//
// Lock order: WriterLock, then NoFork, then SQLite's own locks, then leaf mutexes. (NoFork is taken here only for a
// moment.)
// Thread safety: all functions from any thread; not recursive.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

namespace dbc {

class WriterLock {
 public:
  // `descriptor`: of the shared file; -1: threads only. `waiting`: a word of the shared file, zero at first, that tells
  // since when the first in the queue waits (any value it may have is safe); null: then nothing keeps others from
  // overtaking the queue. Both owned by the caller and valid for the life of the lock.
  explicit WriterLock(int descriptor, std::atomic<uint64_t> *waiting = nullptr);

  // Not while a thread holds the lock or waits for it. A helper that still waits is left behind with a descriptor of
  // its own, and gives the lock back when it gets it.
  ~WriterLock();
  WriterLock(const WriterLock &) = delete;
  WriterLock &operator=(const WriterLock &) = delete;

  // False when the time ran out. A time of 0 (or less, or not a number) tries once; infinity is allowed.
  // Throws Error(kIo) when the kernel refuses for another reason.
  bool try_lock_for(std::chrono::duration<double> timeout);
  void unlock();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dbc
