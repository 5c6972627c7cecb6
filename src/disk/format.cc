#include "disk/format.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <random>

#include "base/status.h"

namespace dbc {
namespace {

// Overwriting an item writes one page: the row with its value. What a get moves, the time of the last access, stands
// apart in `usage`, where writing it moves tens of bytes, not the value; the row there counts while its version is the
// item's. And the order of eviction stands apart in `eviction_order`, under the time that is `recorded` there: in
// `usage` if the item has a row there, else in `item`. It is never later than the true time (see sqlite_transaction.h).
// A value is TEXT when its writer said that it is text, else BLOB; compressed it is always BLOB (see Encoding). Its
// size and checksum are those of the value as it was given. It comes last in its row: what stands before it is read
// without following the pages of a large one.
constexpr const char *kItemTables = R"sql(
CREATE TABLE item(
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  timestamp REAL NOT NULL,
  recorded REAL NOT NULL,
  version INTEGER NOT NULL,
  schema_id INTEGER NOT NULL,
  size INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  encoding INTEGER NOT NULL,
  data NOT NULL);
CREATE TABLE usage(
  id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  timestamp REAL NOT NULL,
  recorded REAL NOT NULL);
CREATE TABLE eviction_order(
  recorded REAL NOT NULL,
  key TEXT NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY(recorded, key)) WITHOUT ROWID;
)sql";

constexpr const char *kOtherTables = R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE schema_version(
  id INTEGER PRIMARY KEY,
  version TEXT NOT NULL UNIQUE,
  items INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  last_version INTEGER NOT NULL DEFAULT 0);
)sql";

constexpr const char *kView = R"sql(
CREATE VIEW cache(key, value, timestamp, schema_version, size) AS
  SELECT item.key, item.data,
    )sql" DBC_LAST_ACCESS R"sql(, schema_version.version, item.size
  FROM item LEFT JOIN usage ON usage.id = item.id JOIN schema_version ON schema_version.id = item.schema_id;
)sql";

// Format 2 had the same tables, but its order of eviction was always complete: see EvictionOrder.
// Format 1 kept values in a table of their own, access times in `item`, and the order in an index.
constexpr const char *kFromFormat1 = R"sql(
DROP VIEW cache;
DROP INDEX item_order;
ALTER TABLE item RENAME TO item_1;
)sql";
constexpr const char *kCopyFormat1 = R"sql(
INSERT INTO item(id, key, timestamp, recorded, version, schema_id, size, checksum, encoding, data)
  SELECT id, key, timestamp, recorded, version, schema_id, size, checksum, 0, data
  FROM item_1 JOIN value USING (id) ORDER BY id;
INSERT INTO eviction_order SELECT recorded, key, id FROM item ORDER BY recorded, key;
DROP TABLE value;
DROP TABLE item_1;
UPDATE schema_version SET
  items = (SELECT count(*) FROM item WHERE schema_id = schema_version.id),
  bytes = (SELECT coalesce(sum(size), 0) FROM item WHERE schema_id = schema_version.id);
)sql";

std::string uri(const std::string &path, const char *parameters) {
  std::string text = "file:";
  for (char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      char escape[4];
      std::snprintf(escape, sizeof escape, "%%%02X", static_cast<unsigned char>(c));
      text += escape;
    } else {
      text += c;
    }
  }
  return text + "?" + parameters;
}

// The tables first: while somebody creates a cache, the marks are there with the tables, or before this looks for them.
struct Marks {
  int64_t tables, application_id, format_version;
};

Marks read_marks(Connection &connection) {
  return {connection.query_integer("SELECT count(*) FROM sqlite_schema"),
          connection.query_integer("PRAGMA application_id"), connection.query_integer("PRAGMA user_version")};
}

// A checkpoint of the last one to close, or the recovery of a WAL, is waited for.
Marks read_marks(const std::string &name, int flags) {
  Connection connection(name, flags | SQLITE_OPEN_URI);
  sqlite3_busy_timeout(connection.handle(), 5000);
  return read_marks(connection);
}

bool is_there(const std::string &path) {
  struct stat status;
  if (stat(path.c_str(), &status) == 0) return status.st_size > 0;
  if (errno != ENOENT) throw Error(Status::kIo, "db_path " + path + ": " + std::strerror(errno));
  return false;
}

// Reads the marks as SQLite does, which rolls back what a commit that was cut off has left, and waits for one under
// way.
Marks read_marks_with_journal(const std::string &path) {
  return read_marks(uri(path, "mode=rw"), SQLITE_OPEN_READWRITE);
}

using Header = std::array<unsigned char, 32>;

// Without a lock, and whatever it holds; zeros when the file has less. Through SQLite: closing another descriptor of
// the file would take the locks of this process away.
Header read_header(const std::string &path) {
  Connection connection(uri(path, "immutable=1"), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  sqlite3_file *file = nullptr;
  sqlite3_file_control(connection.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  Header header{};
  int result = SQLITE_IOERR_SHORT_READ;
  if (file && file->pMethods) result = file->pMethods->xRead(file, header.data(), static_cast<int>(header.size()), 0);
  if (result == SQLITE_IOERR_SHORT_READ) return {};
  if (result != SQLITE_OK) throw Error(Status::kIo, "db_path " + path + ": the first page could not be read");
  return header;
}

// SQLite will not open a database whose WAL has another version than the one that there is.
bool wal_is_of_no_known_version(const std::string &path) {
  int descriptor = ::open((path + "-wal").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return false;
  std::array<unsigned char, 8> start{};
  ssize_t size = pread(descriptor, start.data(), start.size(), 0);
  ::close(descriptor);
  auto word = [&](size_t at) {
    return uint32_t{start[at]} << 24 | uint32_t{start[at + 1]} << 16 | uint32_t{start[at + 2]} << 8 | start[at + 3];
  };
  return size == 8 && (word(0) & ~1u) == 0x377f0682 && word(4) != 3007000;
}

// Of a cache, or of nothing yet.
void require_known_marks(const std::string &path, const Marks &marks) {
  if (marks.tables == 0 && (marks.application_id == 0 || marks.application_id == kApplicationId)) return;
  if (marks.application_id != kApplicationId) {
    throw Error(Status::kForeign,
                "db_path " + path + " is a SQLite database, but no libdbc cache; it was left untouched");
  }
  if (marks.format_version > kFormatVersion) {
    throw Error(Status::kVersion, "db_path " + path + " has format " + std::to_string(marks.format_version) +
                                      ", this library reads up to " + std::to_string(kFormatVersion) +
                                      "; it was left untouched, upgrade libdbc");
  }
}

bool is_in_wal_mode(const std::string &path) { return read_header(path)[19] == 2; }

// Is the file shorter than its header says? That is only wrong when there is no WAL that holds the rest, and no journal
// that somebody writes it under. In this order: what was written after the header was read is in the size, or still
// under way.
bool cut_short(const std::string &path) {
  Header header = read_header(path);
  int64_t page_size = header[16] << 8 | header[17];
  if (page_size == 0) return true;
  if (page_size == 1) page_size = 65536;
  int64_t pages = int64_t{header[28]} << 24 | header[29] << 16 | header[30] << 8 | header[31];
  if (is_there(path + "-wal") || is_there(path + "-journal")) return false;
  struct stat status;
  return stat(path.c_str(), &status) == 0 && status.st_size < page_size * pages;
}

// False when nothing is there.
bool is_regular_file(const std::string &path, struct stat *status) {
  while (stat(path.c_str(), status) != 0) {
    struct stat link;
    if (errno != ENOENT) throw Error(Status::kIo, "db_path " + path + ": " + std::strerror(errno));
    if (lstat(path.c_str(), &link) != 0) return false;
    if (S_ISLNK(link.st_mode)) {
      throw Error(Status::kIo, "db_path " + path + " is a symbolic link to nothing; create its target or remove it");
    }
    // Somebody has created it in between.
  }
  if (S_ISDIR(status->st_mode))
    throw Error(Status::kIo, "db_path " + path + " is a directory; give the path of a file");
  if (!S_ISREG(status->st_mode)) throw Error(Status::kIo, "db_path " + path + " is not a regular file");
  if (status->st_nlink > 1) {
    throw Error(Status::kIo, "db_path " + path +
                                 " has another name, a hard link; who uses the file by that one would have another "
                                 "journal for it, which destroys it: remove the link, or copy the file");
  }
  return true;
}

FileKind inspect_present_file(const std::string &path) {
  struct stat status;
  if (!is_regular_file(path, &status) || status.st_size == 0) return FileKind::kFresh;

  Marks marks{};
  try {
    bool has_wal = is_there(path + "-wal");
    bool whole = true;
    try {
      // immutable: no locks, no -shm, nothing left behind.
      marks = read_marks(uri(path, "immutable=1"), SQLITE_OPEN_READONLY);
      whole = marks.application_id != kApplicationId || !cut_short(path);
    } catch (const Error &error) {
      if (error.status() != Status::kCorrupt) throw;
      whole = false;
    }
    has_wal = has_wal || is_there(path + "-wal");
    bool ours = !whole || marks.application_id == kApplicationId;
    if (has_wal && ours && wal_is_of_no_known_version(path)) return FileKind::kDamaged;
    bool has_journal = is_there(path + "-journal");
    if (has_wal && (!whole || marks.tables == 0)) {
      // Without its WAL a database whose tables are still there looks empty, and one whose checkpoint was cut off by a
      // crash looks damaged.
      marks = has_journal ? read_marks_with_journal(path) : read_marks(uri(path, "mode=ro"), SQLITE_OPEN_READONLY);
    } else if (!whole) {
      if (!has_journal && is_in_wal_mode(path)) return FileKind::kDamaged;
      // So looks a commit in rollback journal mode too, one that was cut off, or is under way, or was just now.
      marks = read_marks_with_journal(path);
      if (cut_short(path)) return FileKind::kDamaged;
    }
  } catch (const Error &error) {
    if (error.status() == Status::kCorrupt) return FileKind::kDamaged;
    throw;
  }
  require_known_marks(path, marks);
  return marks.tables == 0 ? FileKind::kFresh : FileKind::kCache;
}

// Zeros when nothing is there.
std::pair<dev_t, ino_t> identity_of(const std::string &path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

}  // namespace

FileKind inspect_file(const std::string &path) {
  for (int tries = 1;; ++tries) {
    std::pair<dev_t, ino_t> before = identity_of(path);
    try {
      return inspect_present_file(path);
    } catch (const Error &error) {
      // Somebody may have moved it aside in the middle of this.
      if (error.status() != Status::kIo || tries == 10 || identity_of(path) == before) throw;
    }
  }
}

void require_known_format(Connection &connection) { require_known_marks(connection.name(), read_marks(connection)); }

bool header_forbids_to_write(const std::string &path) { return read_header(path)[18] > 2; }

void create_format(Connection &connection, bool in_memory) {
  constexpr const char *kCountTables = "SELECT count(*) FROM sqlite_schema";
  if (connection.query_integer(kCountTables) > 0) return;
  connection.execute("BEGIN IMMEDIATE");
  try {
    if (connection.query_integer(kCountTables) > 0) {
      connection.execute("ROLLBACK");
      return;
    }
    connection.execute(("PRAGMA application_id=" + std::to_string(kApplicationId)).c_str());
    connection.execute(("PRAGMA user_version=" + std::to_string(kFormatVersion)).c_str());
    for (const char *tables : {kOtherTables, kItemTables, kView}) connection.execute(tables);
    // A number that tells this database from any other that ever was at this path.
    std::random_device random;
    uint64_t id = (uint64_t{random()} << 32 | random()) | 1;
    // Versions go on from the time of creation in nanoseconds, so that a cache made anew at the same path never repeats
    // one.
    auto first =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    Statement insert(connection, "INSERT INTO meta VALUES('database_id', ?1), ('first_version', ?2)");
    insert.bind(1, id).bind(2, static_cast<int64_t>(first)).run();
    connection.execute("COMMIT");
  } catch (...) {
    sqlite3_exec(connection.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
  // The marks must be in the file itself: inspect_file() looks there.
  if (!in_memory) connection.execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

void verify_format(Connection &connection) {
  Statement encoding(connection, "PRAGMA encoding");
  bool sound = encoding.step() && encoding.bytes(0) == "UTF-8";
  // Every table as it was created, word for word: SQLite keeps the statement.
  Statement find(connection,
                 "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = tbl_name AND sql = ?1");
  for (std::string_view tables : {kOtherTables, kItemTables}) {
    for (size_t end; (end = tables.find(';')) != tables.npos; tables.remove_prefix(end + 1)) {
      std::string_view statement = tables.substr(0, end);
      statement.remove_prefix(statement.find("CREATE"));
      Use use(find);
      find.bind(1, statement);
      sound = sound && find.step() && find.integer(0) == 1;
    }
  }
  if (!sound)
    throw Error(Status::kCorrupt, "db_path " + connection.name() + ": the tables are not those of the format");
  Statement added(connection,
                  "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN "
                  "('item', 'usage', 'eviction_order', 'schema_version', 'meta')");
  if (added.step()) {
    throw Error(Status::kForeign, "db_path " + connection.name() + " has an index that libdbc did not create, " +
                                      std::string(added.bytes(0)) + "; it was left untouched, drop the index");
  }
}

void migrate_format(Connection &connection) {
  connection.execute("BEGIN IMMEDIATE");
  try {
    if (connection.query_integer("PRAGMA user_version") < kTablesVersion) {
      for (const char *step : {kFromFormat1, kItemTables, kCopyFormat1, kView}) connection.execute(step);
    }
    connection.execute(("PRAGMA user_version=" + std::to_string(kFormatVersion)).c_str());
    connection.execute("COMMIT");
  } catch (const Error &error) {
    sqlite3_exec(connection.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    // The statements are right: it is the tables that are not those of the format.
    if (error.status() == Status::kInternal) throw Error(Status::kCorrupt, error.what());
    throw;
  }
  connection.execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

void enter_wal_mode(Connection &connection, int busy_timeout_milliseconds) {
  constexpr const char *kEnter = "PRAGMA journal_mode=WAL";
  sqlite3_busy_timeout(connection.handle(), 0);
  bool busy = false;
  try {
    connection.execute(kEnter);
  } catch (const Error &error) {
    if (error.status() != Status::kBusy) throw;
    busy = true;
  }
  sqlite3_busy_timeout(connection.handle(), busy_timeout_milliseconds);
  if (!busy) return;
  // The index of a WAL is there while the database is used in WAL mode, and is removed before the header says anything
  // else.
  if (is_there(connection.name() + "-shm")) {
    throw Error(Status::kCorrupt, "db_path " + connection.name() +
                                      " is damaged: others use it with a WAL, and its header does not say so");
  }
  connection.execute(kEnter);
}

void remove_leftovers(const std::string &path) {
  struct stat status;
  if (lstat(path.c_str(), &status) == 0 || errno != ENOENT) return;
  for (const char *suffix : {"-wal", "-shm"}) {
    const std::string leftover = path + suffix;
    if (unlink(leftover.c_str()) == 0 || errno == ENOENT) continue;
    throw Error(Status::kIo, "db_path " + path + ": " + leftover +
                                 ", which an earlier database has left, could not be removed: " + std::strerror(errno));
  }
}

std::string move_aside(const std::string &path) {
  std::time_t now = std::time(nullptr);
  std::tm parts;
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  std::string base = path + ".corrupt-" + text;
  std::string target = base;
  struct stat status;
  for (int count = 2; stat(target.c_str(), &status) == 0; ++count) target = base + "-" + std::to_string(count);
  auto check = [&](int failed) {
    if (failed == 0 || errno == ENOENT) return;
    throw Error(Status::kIo, "db_path " + path + " is damaged and could not be moved aside: " + std::strerror(errno));
  };
  const std::string index = path + "-shm";
  // Before a fresh database can come to its place: it must not meet an index that others still use for the damaged one.
  check(unlink(index.c_str()));
  check(std::rename(path.c_str(), target.c_str()));
  // The WAL and the journal belong to the damaged file: left in place they would be played into the fresh one. They may
  // not exist.
  for (const char *suffix : {"-wal", "-journal"}) check(std::rename((path + suffix).c_str(), (target + suffix).c_str()));
  check(unlink(index.c_str()));  // of who had opened the damaged one before, and read it now
  return target;
}

}  // namespace dbc
