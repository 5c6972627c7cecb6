// What a fork() means for the library: the child gets a copy of everything, but only of the thread that forked.
//
// SQLite keeps locks and a table of open files in process-wide memory. A child may only use it again if no thread was
// inside SQLite at the moment of the fork, and if the connections of the parent are closed in the child first:
// otherwise the child's SQLite would count the parent's file locks as its own and take none. So while any thread is in
// a NoFork scope, a fork() waits: that is for single reads and transactions, never for other processes, and never while
// calling back.
//
// A descriptor that carries a lock is registered: it is closed in the child at once, since the kernel keeps such a lock
// until its last copy is closed, and the lock shall die with the parent.
//
// Thread safety: everything from any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace dbc {

// How many forks lie between the process that loaded the library and this one. Who remembers the count of its birth
// sees by one load that it lives in a child now.
uint64_t fork_count();

// While one lives, fork() waits. Do not nest, and do not wait for another process inside.
class NoFork {
 public:
  NoFork();
  ~NoFork() { inside_->fetch_sub(1, std::memory_order_release); }
  NoFork(const NoFork &) = delete;
  NoFork &operator=(const NoFork &) = delete;

 private:
  std::atomic<int64_t> *inside_;
};

// From now until forget_descriptor(), `descriptor` is closed in forked children.
void close_in_child(int descriptor);
void forget_descriptor(int descriptor);

// Everything that keeps files open through SQLite is registered, inside a NoFork. In a child, before SQLite is used
// there for anything, take_down_inherited() calls `take_down` on each object, once, and forgets it. (Not in the handler
// at the fork: a child that only wants to exec shall not depend on the state of SQLite at all.)
using TakeDown = void (*)(void *object);
void register_inherited(void *object, TakeDown take_down);
void forget_inherited(void *object);
void take_down_inherited();

}  // namespace dbc
