// What the wrappers in system_calls.cc can do besides failing.
#pragma once

#include <atomic>
#include <cstdint>

namespace dbc::faults {

// Not 0: the machine seems to have been booted anew, once for each number.
extern std::atomic<uint64_t> simulated_boot;

// The shared file may not be opened by anybody.
extern std::atomic<bool> shared_file_denied;

}  // namespace dbc::faults
