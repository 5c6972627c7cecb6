// Status and Error: how a failure travels inside the library. The numbers are those of dbc_status (src/api checks
// that).
#pragma once

#include <stdexcept>
#include <string>

namespace dbc {

enum class Status : int {
  kOk = 0,
  kNotFound = 1,
  kUnchanged = 2,
  kInvalidArgument = 16,
  kClosed = 17,
  kBusy = 18,
  kIo = 19,
  kFull = 20,
  kCorrupt = 21,
  kVersion = 22,
  kForeign = 23,
  kNoMemory = 24,
  kBufferTooSmall = 25,
  kInternal = 26,
};

// Thrown by every layer; src/api turns it into a dbc_status and the thread's last error.
class Error : public std::runtime_error {
 public:
  Error(Status status, const std::string &message) : std::runtime_error(message), status_(status) {}
  Status status() const { return status_; }

 private:
  Status status_;
};

}  // namespace dbc
