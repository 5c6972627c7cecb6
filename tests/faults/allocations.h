// Allocations of the core and of SQLite, with the Injector asked first, and counted.
#pragma once

#include <cstdint>

namespace dbc::faults {

// Before SQLite is used for the first time.
void install_fault_allocator();

// Blocks that the program and the core hold at this moment, and bytes that SQLite does.
int64_t live_blocks();
int64_t live_sqlite_bytes();

}  // namespace dbc::faults
