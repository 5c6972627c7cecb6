// ReaderPool: connections that read, each lent to one thread at a time, and the snapshots that they keep between reads.
//
// To begin and to end a read costs SQLite two system calls and more work than a lookup. So a connection that finds that
// nobody has committed between two of its reads keeps the snapshot of the second one open: as long as the WAL index
// shows the same last commit, that snapshot is what a new one would be, and a look at memory takes the place of the
// ending and beginning.
//
// A snapshot that is kept keeps the WAL from being begun anew. Whoever keeps one asks for release_snapshots(), which is
// to be called a short time later (kLongest) and makes all of them end, used or not.
//
// Thread safety: all functions from any thread, in a NoFork. A Loan belongs to one thread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "disk/connection.h"
#include "disk/reader.h"
#include "disk/wal_index.h"

namespace dbc {

class ReaderPool {
 private:
  struct Entry {
    std::unique_ptr<Connection> connection;
    std::unique_ptr<Reader> reader;  // after the connection: destroyed first
    WalIndex index;
    WalIndex::Header last{};  // before its last read
    bool keeps = false;
    uint64_t round = 0;  // of the pool, when the snapshot was taken

    Entry() = default;
    Entry(Entry &&) = default;
    Entry &operator=(Entry &&other) noexcept;
    void end_snapshot();
  };

 public:
  static constexpr std::chrono::milliseconds kLongest{20};

  // `request_release`: asks for release_snapshots() and says whether it will come. Null: no snapshots are kept.
  ReaderPool(std::function<std::unique_ptr<Connection>()> connect, std::function<bool()> request_release);

  // A connection for the length of a scope.
  class Loan {
   public:
    explicit Loan(ReaderPool &pool);
    ~Loan();
    Loan(const Loan &) = delete;
    Loan &operator=(const Loan &) = delete;

    // For one lookup in the latest state, perhaps in a snapshot that is kept from an earlier one or for the next.
    Reader *latest();
    // For anything else, of which no snapshot is left when it is over.
    Reader *reader();
    const Connection &connection() const { return *entry_.connection; }
    // Keeps the connection from being lent again, and the transaction that it is in, until end_parked(). For one at a
    // time.
    void park() noexcept;

   private:
    void give_back();

    ReaderPool &pool_;
    Entry entry_;
    const int exceptions_;  // if there are more at the end, who knows what the connection is in the middle of
  };

  // Ends all snapshots that are kept, those of connections that are lent when they come back.
  void release_snapshots();
  // The same, and while it lives none is kept.
  class NoSnapshots {
   public:
    explicit NoSnapshots(ReaderPool &pool);
    ~NoSnapshots() { pool_.pauses_.fetch_sub(1); }
    NoSnapshots(const NoSnapshots &) = delete;
    NoSnapshots &operator=(const NoSnapshots &) = delete;

   private:
    ReaderPool &pool_;
  };
  void end_parked() noexcept;
  // For another connection that is to keep a snapshot as these do: until it finds that the round is over, which
  // release_snapshots() ends. False: it may not, for now.
  bool may_keep(uint64_t *round);
  uint64_t round() const { return round_.load(); }
  // Closes all connections. None may be lent.
  void clear();

 private:
  const std::function<std::unique_ptr<Connection>()> connect_;
  const std::function<bool()> request_release_;
  std::atomic<bool> release_requested_{false};
  std::atomic<uint64_t> round_{0};  // counts release_snapshots()
  std::atomic<int> pauses_{0};      // how many NoSnapshots there are
  std::mutex mutex_;                // guards what follows; before SQLite's locks: snapshots are ended under it
  std::vector<Entry> free_;
  Entry parked_;
};

}  // namespace dbc
