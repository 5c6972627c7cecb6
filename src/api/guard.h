// guarded(): the one place where exceptions end. Every function of dbc.h that can fail runs its whole body in it.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "dbc.h"

namespace dbc {

// Stores the message for dbc_last_error() and returns the status.
dbc_status fail(Status status, std::string_view message) noexcept;
// The same for the exception that is being handled.
dbc_status fail_with_current_exception() noexcept;

// Runs the body, which returns a Status.
template <typename Body>
dbc_status guarded(Body &&body) noexcept {
  try {
    return static_cast<dbc_status>(body());
  } catch (...) {
    return fail_with_current_exception();
  }
}

[[noreturn]] inline void refuse(const std::string &message) { throw Error(Status::kInvalidArgument, message); }

// For out-parameters and handles.
inline void require(const void *pointer, const char *name) {
  if (!pointer) [[unlikely]]
    refuse(std::string(name) + " must not be NULL");
}

}  // namespace dbc
