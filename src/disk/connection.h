// Connection, Statement and Blob: RAII over SQLite's handles, with failures as Error. Used by one thread at a time.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace dbc {

class Connection {
 public:
  // `flags` are SQLITE_OPEN_ flags; SQLITE_OPEN_NOMUTEX is added. `name` is a path or, with SQLITE_OPEN_URI, a URI.
  Connection(const std::string &name, int flags);
  ~Connection();
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;

  sqlite3 *handle() const { return handle_; }
  const std::string &name() const { return name_; }
  // Runs SQL that returns nothing of interest.
  void execute(const char *sql);
  // The first column of the first row of a query.
  int64_t query_integer(const char *sql);
  // Waits until the device has what was written into the database file (not the WAL).
  void sync() const;
  // Did the last call find no room on the disk?
  bool is_out_of_room() const;
  // Throws the Error that belongs to SQLite's code `result`; `doing` says what failed.
  [[noreturn]] void fail(int result, std::string_view doing) const;
  [[noreturn]] void fail_for_tables() const;

 private:
  sqlite3 *handle_ = nullptr;
  std::string name_;
};

// A prepared statement. Bind from 1, step, read columns from 0, reset; Use does the resetting.
class Statement {
 public:
  Statement(const Connection &connection, const char *sql);
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement &) = delete;
  Statement &operator=(const Statement &) = delete;

  // The borrowed bytes must live until the statement is reset.
  Statement &bind(int index, std::string_view text);
  Statement &bind_blob(int index, std::string_view bytes);
  Statement &bind(int index, int64_t number);
  Statement &bind(int index, uint64_t number) { return bind(index, static_cast<int64_t>(number)); }
  Statement &bind(int index, double number);

  // True when there is a row.
  bool step();
  // For statements without rows: step and reset.
  void run();
  void reset() { sqlite3_reset(handle_); }

  int64_t integer(int column) const { return sqlite3_column_int64(handle_, column); }
  uint64_t unsigned_integer(int column) const { return static_cast<uint64_t>(integer(column)); }
  double real(int column) const { return sqlite3_column_double(handle_, column); }
  // A sum, by total(). In a damaged file it may be anything.
  uint64_t sum(int column) const {
    double value = real(column);
    return value >= 0 && value < 0x1p63 ? static_cast<uint64_t>(value) : 0;
  }
  int type(int column) const { return sqlite3_column_type(handle_, column); }
  // Text or blob, borrowed until the next step or reset.
  std::string_view bytes(int column) const;

 private:
  void check(int result);
  const Connection &connection_;
  sqlite3_stmt *handle_ = nullptr;
};

// A value in a row of `item`, read straight to where it is wanted: a statement would first make a copy of it. The
// column must hold text or a blob.
class Blob {
 public:
  Blob(const Connection &connection, int64_t row);
  ~Blob() { sqlite3_blob_close(handle_); }
  Blob(const Blob &) = delete;
  Blob &operator=(const Blob &) = delete;

  uint64_t size() const { return static_cast<uint64_t>(sqlite3_blob_bytes(handle_)); }
  // All of it.
  void read(char *into) const;

 private:
  const Connection &connection_;
  sqlite3_blob *handle_ = nullptr;
};

// Resets a statement at the end of a scope, which also ends the read transaction that a SELECT holds open.
class Use {
 public:
  explicit Use(Statement &statement) : statement_(statement) {}
  ~Use() { statement_.reset(); }
  Use(const Use &) = delete;
  Use &operator=(const Use &) = delete;
  Statement *operator->() const { return &statement_; }

 private:
  Statement &statement_;
};

}  // namespace dbc
