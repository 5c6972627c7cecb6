#include "disk/connection.h"

#include <cerrno>
#include <cstring>
#include <new>

#include "base/status.h"

namespace dbc {
namespace {

Status status_of(int result, int system_error) {
  if (result == SQLITE_IOERR_NOMEM) return Status::kNoMemory;
  if (result == SQLITE_IOERR_SHORT_READ) return Status::kCorrupt;  // the end of the file came too early
  switch (result & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Status::kBusy;
    case SQLITE_FULL:
      return Status::kFull;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    // What the library writes breaks no constraint and fits; only a file that somebody else has changed can say so.
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
      return Status::kCorrupt;
    case SQLITE_NOMEM:
      return Status::kNoMemory;
    case SQLITE_IOERR:
      return system_error == ENOSPC || system_error == EDQUOT ? Status::kFull : Status::kIo;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_PROTOCOL:
      return Status::kIo;
    default:
      return Status::kInternal;
  }
}

}  // namespace

Connection::Connection(const std::string &name, int flags) : name_(name) {
  int result = sqlite3_open_v2(name.c_str(), &handle_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (result == SQLITE_OK) result = sqlite3_extended_result_codes(handle_, 1);
  if (result == SQLITE_OK) return;
  try {
    fail(result, "open");
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Connection::~Connection() {
  // Every Statement is gone by now, so this cannot be refused.
  sqlite3_close(handle_);
}

void Connection::execute(const char *sql) {
  int result = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (result == SQLITE_ERROR) fail_for_tables();
  if (result != SQLITE_OK) fail(result, sql);
}

int64_t Connection::query_integer(const char *sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

bool Connection::is_out_of_room() const {
  return status_of(sqlite3_extended_errcode(handle_), sqlite3_system_errno(handle_)) == Status::kFull;
}

void Connection::sync() const {
  sqlite3_file *file = nullptr;
  int result = sqlite3_file_control(handle_, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (result == SQLITE_OK && file && file->pMethods) result = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
  if (result != SQLITE_OK) fail(result, "sync");
}

void Connection::fail(int result, std::string_view doing) const {
  if (result == SQLITE_NOMEM || !handle_) throw std::bad_alloc();
  int system_error = sqlite3_system_errno(handle_);
  std::string message = name_ + ": " + sqlite3_errmsg(handle_);
  if (system_error != 0 && ((result & 0xFF) == SQLITE_IOERR || (result & 0xFF) == SQLITE_CANTOPEN)) {
    message += std::string(" (") + std::strerror(system_error) + ")";
  }
  Status status = status_of(result, system_error);
  if (status == Status::kBusy) message += "; another program holds the file beyond the busy timeout, try again";
  if (status == Status::kFull) message += "; free some space or lower max_disk_size_bytes";
  if (status == Status::kInternal) message += "; SQLite code " + std::to_string(result) + " at: " + std::string(doing);
  throw Error(status, message);
}

// The SQL is right: it is the tables, or what the header says of them, that are not those of the format.
void Connection::fail_for_tables() const { throw Error(Status::kCorrupt, name_ + ": " + sqlite3_errmsg(handle_)); }

Statement::Statement(const Connection &connection, const char *sql) : connection_(connection) {
  int result = sqlite3_prepare_v3(connection.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &handle_, nullptr);
  if (result == SQLITE_ERROR) connection.fail_for_tables();
  if (result != SQLITE_OK) connection.fail(result, sql);
}

// A null pointer would bind NULL; what is empty is not NULL.

Statement &Statement::bind(int index, std::string_view text) {
  check(sqlite3_bind_text64(handle_, index, text.data() ? text.data() : "", text.size(), SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

Statement &Statement::bind_blob(int index, std::string_view bytes) {
  check(sqlite3_bind_blob64(handle_, index, bytes.data() ? bytes.data() : "", bytes.size(), SQLITE_STATIC));
  return *this;
}

Statement &Statement::bind(int index, int64_t number) {
  check(sqlite3_bind_int64(handle_, index, number));
  return *this;
}

Statement &Statement::bind(int index, double number) {
  check(sqlite3_bind_double(handle_, index, number));
  return *this;
}

bool Statement::step() {
  int result = sqlite3_step(handle_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) check(result);
  return false;
}

void Statement::run() {
  Use use(*this);
  step();
}

std::string_view Statement::bytes(int column) const {
  const void *data = sqlite3_column_blob(handle_, column);
  int size = sqlite3_column_bytes(handle_, column);
  return data ? std::string_view(static_cast<const char *>(data), static_cast<size_t>(size)) : std::string_view("", 0);
}

void Statement::check(int result) {
  if (result == SQLITE_OK) return;
  const char *sql = sqlite3_sql(handle_);
  try {
    connection_.fail(result, sql ? sql : "");
  } catch (...) {
    sqlite3_reset(handle_);
    // When the tables have changed, a step prepares the SQL anew; if they no longer are those of the format, this says
    // it.
    if (result == SQLITE_ERROR && sql) Statement again(connection_, sql);
    throw;
  }
}

Blob::Blob(const Connection &connection, int64_t row) : connection_(connection) {
  int result = sqlite3_blob_open(connection_.handle(), "main", "item", "data", row, 0, &handle_);
  if (result != SQLITE_OK) connection_.fail(result, "open a value");
}

void Blob::read(char *into) const {
  int result = sqlite3_blob_read(handle_, into, sqlite3_blob_bytes(handle_), 0);
  if (result != SQLITE_OK) connection_.fail(result, "read a value");
}

}  // namespace dbc
