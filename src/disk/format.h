// The file format: what the tables are, and what a file at some path is. docs/design.md describes it for readers of
// files.
#pragma once

#include <cstdint>
#include <string>

#include "disk/connection.h"

namespace dbc {

inline constexpr int64_t kApplicationId = 0x64626331;  // "dbc1"
inline constexpr int64_t kFormatVersion = 3;
inline constexpr int64_t kTablesVersion = 2;  // since then the tables are what they are

// For statements over `item LEFT JOIN usage`: the time of an item's last access, and the time that the order knows it
// under.
#define DBC_LAST_ACCESS "CASE usage.version WHEN item.version THEN usage.timestamp ELSE item.timestamp END"
#define DBC_RECORDED "coalesce(usage.recorded, item.recorded)"

enum class FileKind {
  kFresh,    // nothing there, or an empty file or database
  kCache,    // ours, of a format that this library reads
  kDamaged,  // no database, or cut short
};

// Looks at the file without changing it or leaving anything beside it. Throws Error(kVersion) for a newer format,
// Error(kForeign) for somebody else's database, Error(kIo) for what is no regular file or cannot be read.
FileKind inspect_file(const std::string &path);

// inspect_file() may look past what is only in the WAL. The same errors for what a connection sees.
void require_known_format(Connection &connection);

// Does the header say that only a later SQLite may write?
bool header_forbids_to_write(const std::string &path);

// Creates the tables in a database without any. Several processes may do it at once.
void create_format(Connection &connection, bool in_memory);

// Brings a cache of an older format to the present one, all or nothing; nothing is lost. Under the writer lock.
void migrate_format(Connection &connection);

// Throws Error(kCorrupt) if the tables are not those of the format, Error(kForeign) if something was added to them that
// SQLite would use: an index that somebody else made. (Triggers and views are switched off.)
void verify_format(Connection &connection);

// Puts a database that is in another journal mode into WAL mode, once those who use it in that mode leave a moment,
// within the busy timeout, which the connection has afterwards. Those who use it in WAL mode, though its header does
// not say so, never leave one: Error(kCorrupt).
void enter_wal_mode(Connection &connection, int busy_timeout_milliseconds);

// What lies beside a database that is not there is of one that was removed, and others may have that open still. The next
// one must not share an index of the WAL with it, nor lose its WAL to whoever finds the old one there. Under the writer
// lock, before the next one is created.
void remove_leftovers(const std::string &path);

// Moves a damaged database, with its WAL, out of the way; returns the new name `<path>.corrupt-<time>`.
std::string move_aside(const std::string &path);

}  // namespace dbc
