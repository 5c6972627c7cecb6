// WalIndex: tells by one look at memory whether anybody has committed to a database in WAL mode.
//
// SQLite keeps the index of the WAL in memory that all processes share, as its documentation of the file format
// describes; the first 48 bytes change with every commit, whoever makes it, before the commit returns. While they are
// as they were before a snapshot was taken, the snapshot is of the latest commit.
#pragma once

#include <sqlite3.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace dbc {

class WalIndex {
 public:
  using Header = std::array<uint64_t, 6>;

  // Finds the index of a connection to a database in WAL mode; it stays until that is closed. False as long as the
  // connection has read nothing, and where there is no such memory (":memory:"). By the thread that uses the
  // connection.
  bool find(sqlite3 *connection);
  bool found() const { return header_ != nullptr; }
  // A header that is being changed may come back torn, and then as no header that ever was.
  Header header() const;
  // How many pages the WAL has, since it was begun anew.
  uint32_t pages() const;
  // How many pages of the WAL no checkpoint has copied into the database yet. Under the writer lock, after a read.
  uint32_t pages_to_copy() const;
  // More pages were copied than there are? SQLite believes that, and then reads outside of its memory. Damage can make
  // it so, or a writer that was killed in the moment in which it began the WAL anew. Without the writer lock it may be
  // so for a moment.
  bool plausible() const;
  // Makes SQLite read the WAL anew, as after a crash, before anybody reads or writes again; what was copied of it
  // counts as not copied then. Under the writer lock.
  void invalidate() const;

 private:
  const uint64_t *header_ = nullptr;
};

}  // namespace dbc
