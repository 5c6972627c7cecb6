// Errors as callers see them: names and the thread's last message.
#include <algorithm>
#include <cstring>
#include <new>

#include "api/guard.h"

namespace dbc {
namespace {

// Plain storage: a thread-local object with a destructor would crash when the library is unloaded before the thread
// ends.
thread_local char last_error[1024];

#define SAME(internal, external) static_assert(static_cast<int>(Status::internal) == external)
SAME(kOk, DBC_OK);
SAME(kNotFound, DBC_NOT_FOUND);
SAME(kUnchanged, DBC_UNCHANGED);
SAME(kInvalidArgument, DBC_INVALID_ARGUMENT);
SAME(kClosed, DBC_CLOSED);
SAME(kBusy, DBC_BUSY);
SAME(kIo, DBC_IO);
SAME(kFull, DBC_FULL);
SAME(kCorrupt, DBC_CORRUPT);
SAME(kVersion, DBC_VERSION);
SAME(kForeign, DBC_FOREIGN);
SAME(kNoMemory, DBC_NO_MEMORY);
SAME(kBufferTooSmall, DBC_BUFFER_TOO_SMALL);
SAME(kInternal, DBC_INTERNAL);
#undef SAME

}  // namespace

dbc_status fail(Status status, std::string_view message) noexcept {
  size_t size = std::min(message.size(), sizeof last_error - 1);
  // Not in the middle of a character.
  while (size < message.size() && size > 0 && (static_cast<unsigned char>(message[size]) & 0xC0) == 0x80) --size;
  std::memcpy(last_error, message.data(), size);
  last_error[size] = '\0';
  return static_cast<dbc_status>(status);
}

dbc_status fail_with_current_exception() noexcept {
  try {
    throw;
  } catch (const Error &error) {
    return fail(error.status(), error.what());
  } catch (const std::bad_alloc &) {
    return fail(Status::kNoMemory, "out of memory");
  } catch (const std::length_error &) {
    return fail(Status::kNoMemory, "out of memory: a count or size is too large");
  } catch (const std::exception &error) {
    return fail(Status::kInternal, error.what());
  } catch (...) {
    return fail(Status::kInternal, "unknown exception");
  }
}

}  // namespace dbc

extern "C" {

const char *dbc_status_name(int status) {
  switch (status) {
#define NAME(name) \
  case name:       \
    return #name;
    NAME(DBC_OK)
    NAME(DBC_NOT_FOUND)
    NAME(DBC_UNCHANGED)
    NAME(DBC_INVALID_ARGUMENT)
    NAME(DBC_CLOSED)
    NAME(DBC_BUSY)
    NAME(DBC_IO)
    NAME(DBC_FULL)
    NAME(DBC_CORRUPT)
    NAME(DBC_VERSION)
    NAME(DBC_FOREIGN)
    NAME(DBC_NO_MEMORY)
    NAME(DBC_BUFFER_TOO_SMALL)
    NAME(DBC_INTERNAL)
#undef NAME
    default:
      return "DBC_UNKNOWN";
  }
}

const char *dbc_last_error(void) { return dbc::last_error; }

const char *dbc_version_text(void) { return DBC_VERSION_TEXT; }

int dbc_abi_version(void) { return DBC_ABI_VERSION; }

}  // extern "C"
