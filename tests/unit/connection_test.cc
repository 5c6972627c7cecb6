// What the errors of SQLite are for the library.
#include "disk/connection.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/status.h"
#include "processes.h"

namespace dbc {
namespace {

Status status_of(Statement &statement) {
  try {
    statement.step();
  } catch (const Error &error) {
    return error.status();
  }
  return Status::kOk;
}

// As in a file whose schema, or the number of whose format, was damaged in use: SQLite says only "SQL logic error".
TEST(Statement, TablesThatAreNoLongerWhatTheyWereAreDamage) {
  testing::TemporaryDirectory directory;
  std::string path = directory / "file.db";
  Connection ours(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE), other(path, SQLITE_OPEN_READWRITE);
  ours.execute("CREATE TABLE item(key, data)");
  Statement find(ours, "SELECT data FROM item WHERE key = 1");
  EXPECT_EQ(status_of(find), Status::kOk);
  other.execute("ALTER TABLE item RENAME COLUMN data TO something");
  EXPECT_EQ(status_of(find), Status::kCorrupt);
  other.execute("DROP TABLE item");
  EXPECT_EQ(status_of(find), Status::kCorrupt);
}

// The number of the format of the schema, which SQLite reads before the first statement of any kind.
TEST(Connection, AHeaderOfAFormatThatThereIsNotIsDamage) {
  testing::TemporaryDirectory directory;
  std::string path = directory / "file.db";
  Connection(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE).execute("CREATE TABLE item(key, data)");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(47);
  file.put(99);
  file.close();
  Connection connection(path, SQLITE_OPEN_READWRITE);
  try {
    connection.execute("PRAGMA cache_size=-8192");
    FAIL() << "SQLite has changed: find another statement";
  } catch (const Error &error) {
    EXPECT_EQ(error.status(), Status::kCorrupt) << error.what();
  }
}

TEST(Statement, OtherErrorsOfLogicAreNot) {
  Connection connection(":memory:", SQLITE_OPEN_READWRITE);
  Statement commit(connection, "COMMIT");
  EXPECT_EQ(status_of(commit), Status::kInternal) << "there is no transaction";
}

}  // namespace
}  // namespace dbc
