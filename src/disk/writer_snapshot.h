// WriterSnapshot: the snapshot that the writer's connection keeps from one transaction to the next.
//
// A transaction begins with a snapshot: SQLite moves a mark of how far into the WAL it reads, and locks it, four system
// calls with the end, and more work besides: a third of what a small transaction costs. While nobody else commits, the
// state that one transaction leaves is the one that the next begins with. So from the second one on the connection
// stays in its read transaction (by a statement that has a row left), which its own commits carry along.
//
// What is kept is in the way of checkpoints like the snapshots that readers keep (see ReaderPool), and so ends with
// them: it goes by the pool's rounds. And none is kept any more shortly before a checkpoint is due, whichever process
// makes it: of several that put in bursts each would have one of its own again, and the WAL never be free.
//
// Thread safety: for whoever has the writer's connection to himself, in a NoFork.
#pragma once

#include <cstdint>

#include "disk/connection.h"
#include "disk/reader_pool.h"
#include "disk/wal_index.h"

namespace dbc {

class WriterSnapshot {
 public:
  static constexpr uint32_t kMostPages = 3584;  // of the WAL, 14 MiB

  // All three outlive it.
  WriterSnapshot(const Connection &connection, const WalIndex &index, ReaderPool &pool)
      : stay_(connection, "PRAGMA user_version"), index_(index), pool_(pool) {}

  // Ends it if it is not of the latest commit.
  void before_begin();
  // In the transaction: what is kept is ended, or begun.
  void before_commit();
  void after_commit() { last_ = index_.header(); }
  // Says whether there was one.
  bool end() noexcept;

 private:
  Statement stay_;
  const WalIndex &index_;
  ReaderPool &pool_;
  WalIndex::Header last_{};  // after the last commit here
  bool latest_ = false;      // nobody else has committed since
  bool kept_ = false;
  uint64_t round_ = 0;  // of the pool, when it was begun
};

}  // namespace dbc
