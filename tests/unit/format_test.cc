// The format of the file, as every other release reads and writes it.
#include "disk/format.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "../corrupt/damage.h"
#include "base/hash.h"
#include "base/status.h"
#include "disk/compression.h"
#include "disk/connection.h"
#include "processes.h"

namespace dbc {
namespace {

constexpr const char *kWhatToDo =
    "the format of the file has changed, and verify_format() refuses tables that are not these, word for word: raise "
    "kFormatVersion in src/disk/format.h, migrate files of the format before (migrate_format), then write it here anew";

// In the order of their names.
constexpr const char *kFormat3 = R"sql(
CREATE VIEW cache(key, value, timestamp, schema_version, size) AS
  SELECT item.key, item.data,
    CASE usage.version WHEN item.version THEN usage.timestamp ELSE item.timestamp END, schema_version.version, item.size
  FROM item LEFT JOIN usage ON usage.id = item.id JOIN schema_version ON schema_version.id = item.schema_id;
CREATE TABLE eviction_order(
  recorded REAL NOT NULL,
  key TEXT NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY(recorded, key)) WITHOUT ROWID;
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
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE schema_version(
  id INTEGER PRIMARY KEY,
  version TEXT NOT NULL UNIQUE,
  items INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  last_version INTEGER NOT NULL DEFAULT 0);
CREATE TABLE usage(
  id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  timestamp REAL NOT NULL,
  recorded REAL NOT NULL);
)sql";

TEST(Format, OfVersion3) {
  Connection connection(":memory:", SQLITE_OPEN_READWRITE);
  create_format(connection, true);
  std::string text = "\n";
  Statement tables(connection, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
  while (tables.step()) text += std::string(tables.bytes(0)) + ";\n";
  EXPECT_EQ(text, kFormat3) << kWhatToDo;
  EXPECT_EQ(connection.query_integer("PRAGMA application_id"), 0x64626331);
  EXPECT_EQ(connection.query_integer("PRAGMA user_version"), 3) << kWhatToDo;
  Statement meta(connection, "SELECT group_concat(name) FROM meta");
  EXPECT_TRUE(meta.step() && meta.bytes(0) == "database_id,first_version") << kWhatToDo;
}

// The hash that seeds checksums and makes them, and how values are stored.
TEST(Format, OfTheValuesOfVersion3) {
  EXPECT_EQ(hash_bytes("value", hash_bytes("key")), 0xb19fcf792e11118eu) << kWhatToDo;
  EXPECT_EQ(static_cast<int>(Encoding::kAsGiven), 0) << kWhatToDo;
  EXPECT_EQ(static_cast<int>(Encoding::kZstdText), 1) << kWhatToDo;
  EXPECT_EQ(static_cast<int>(Encoding::kZstdBytes), 2) << kWhatToDo;
}

// Another process may be about to create the file, at any moment.
TEST(InspectFile, AFileThatAppearsMeanwhileIsFresh) {
  testing::TemporaryDirectory directory;
  const std::string path = directory / "cache.db";
  std::atomic<bool> done{false};
  std::thread creator([&] {
    while (!done.load()) {
      close(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
      unlink(path.c_str());
    }
  });
  for (int i = 0; i < 20'000 && !HasFailure(); ++i) EXPECT_NO_THROW(EXPECT_EQ(inspect_file(path), FileKind::kFresh));
  done.store(true);
  creator.join();
}

// As the last one to close does for its checkpoint, and the first to open after a crash for the recovery of the WAL.
TEST(InspectFile, WaitsForWhoHasTheFileForAMoment) {
  testing::TemporaryDirectory directory;
  const std::string path = directory / "cache.db";
  close(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  testing::SharedObject<std::atomic<bool>> held;
  testing::Child child([&] {
    Connection connection(path, SQLITE_OPEN_READWRITE);
    connection.execute("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0");
    create_format(connection, true);
    connection.execute("PRAGMA locking_mode=EXCLUSIVE; INSERT INTO meta VALUES('x', 1)");
    held->store(true);
    usleep(300'000);
    _exit(0);  // without a checkpoint: the tables are in the WAL alone
    return 1;
  });
  ASSERT_TRUE(testing::wait_for([&] { return held->load(); }));
  EXPECT_EQ(inspect_file(path), FileKind::kCache);
  EXPECT_EQ(child.wait(), 0);
}

// SQLite says "unable to open database file" of it, for ever.
TEST(InspectFile, AWalOfNoKnownVersionIsDamage) {
  testing::TemporaryDirectory directory;
  auto with_wal = [&](const std::string &name, bool cache, bool damaged) {
    const std::string path = directory.path() + "/" + name, copy = path + "-copy";
    close(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    Connection connection(path, SQLITE_OPEN_READWRITE);
    if (cache) create_format(connection, true);
    connection.execute("PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS other(x)");
    std::filesystem::copy_file(path, copy);
    std::ostringstream wal;
    wal << std::ifstream(path + "-wal", std::ios::binary).rdbuf();
    std::string bytes = wal.str();
    if (damaged) bytes[4] = '\x7F';
    corrupt::mend_wal_checksums(&bytes);
    std::ofstream(copy + "-wal", std::ios::binary) << bytes;
    return copy;
  };
  EXPECT_EQ(inspect_file(with_wal("sound.db", true, false)), FileKind::kCache);
  EXPECT_EQ(inspect_file(with_wal("damaged.db", true, true)), FileKind::kDamaged);
  EXPECT_THROW(inspect_file(with_wal("foreign.db", false, true)), Error);
}

// Where nothing is shared, nobody waits for a writer lock before looking: a commit under way is no damage.
TEST(InspectFile, AFileThatIsWrittenMeanwhileIsNotDamaged) {
  testing::TemporaryDirectory directory;
  constexpr int kFiles = 300;
  auto path_of = [&](int number) { return directory.path() + "/cache" + std::to_string(number) + ".db"; };
  testing::Child child([&] {
    for (int i = 0; i < kFiles; ++i) {
      close(open(path_of(i).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
      Connection connection(path_of(i), SQLITE_OPEN_READWRITE);
      sqlite3_busy_timeout(connection.handle(), 60'000);
      connection.execute("PRAGMA synchronous=OFF");
      create_format(connection, true);
    }
    return 0;
  });
  for (int i = 0; i < kFiles; ++i) {
    FileKind kind = FileKind::kFresh;
    while (kind == FileKind::kFresh) kind = inspect_file(path_of(i));
    ASSERT_EQ(kind, FileKind::kCache) << "file " << i;
  }
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace dbc
