// Reader: a connection with the statements that look items up. Used by one thread at a time.
#pragma once

#include <string>

#include "disk/compression.h"
#include "disk/connection.h"
#include "disk/store.h"

namespace dbc {

class Reader {
 public:
  // On a connection of its own, or on one that is shared with a writer (in memory).
  explicit Reader(Connection &connection);

  // What the file says; pending touches are not applied. `generation` goes into the item. `recent_enough`: see Store.
  Lookup read(const Key &key, Want want, uint64_t held_version, double recent_enough, int64_t schema_id,
              uint64_t generation);
  Totals totals();
  // Has one of the next `candidates` for eviction moved on?
  bool any_misplaced(size_t candidates);

  // A read transaction: what is read until end() is of one moment.
  void begin() { begin_.run(); }
  void end() { end_.run(); }

 private:
  static Lookup state_of_row(const Statement &row, int64_t schema_id);
  Lookup read_whole(Statement &statement, const Key &key, int64_t schema_id, uint64_t generation);
  ItemRef read_large(const Key &key, Item::Fields *fields);
  ItemRef decode(std::string_view data, Encoding encoding, const Key &key, const Item::Fields &fields);

  const Connection &connection_;
  Statement head_;
  Statement whole_;
  Statement without_usage_;
  Statement type_;
  Statement totals_;
  Statement misplaced_;
  Statement begin_;
  Statement end_;
  Decompressor decompressor_;
};

// What is read in its life is of one moment: that of the first read.
class ReadTransaction {
 public:
  explicit ReadTransaction(Reader &reader) : reader_(&reader) { reader_->begin(); }
  ~ReadTransaction() {
    if (!reader_) return;
    try {
      reader_->end();
    } catch (const std::exception &) {
      // Nothing was changed: there is nothing to lose. SQLite ends the transaction with the next one or the connection.
    }
  }
  // It goes on without this object, and ends with the connection.
  void leave_open() { reader_ = nullptr; }
  ReadTransaction(const ReadTransaction &) = delete;
  ReadTransaction &operator=(const ReadTransaction &) = delete;

 private:
  Reader *reader_;
};

}  // namespace dbc
