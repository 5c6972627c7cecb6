// What is to be known of the file system that a file is on.
#pragma once

#include <string>

namespace dbc {

// The name of a file system whose files other machines may change too (or, as far as the kernel tells, might): memory
// maps and SQLite's WAL do not work between machines. Null for a local one, and when it cannot be told.
const char *network_file_system(const std::string &directory);

}  // namespace dbc
