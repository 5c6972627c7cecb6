// Files that somebody has prepared: nothing in them runs, nothing outside is read or written, and nothing hangs.
#include <fcntl.h>

#include "support.h"

// A cache with an item, closed.
static void make_cache(void) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  dbc_free(cache);
}

static void works(dbc_cache *cache) {
  put(cache, "new", "value");
  CHECK(gets(cache, "new", "value"));
  CHECK(dbc_clear_memory(cache) == DBC_OK && gets(cache, "new", "value"));
  CHECK(dbc_delete(cache, KEY("new")) == DBC_OK);
}

// Opens the file as it is now: it must not be believed, but be moved aside, untouched.
static void is_moved_aside(void) {
  size_t size = 0;
  char *data = read_file(PATH, &size);
  dbc_cache *cache = NULL;
  dbc_options *options = OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL});
  CHECK(refused(dbc_open(PATH, "1.0.0", options, &cache), DBC_CORRUPT, PATH));
  dbc_options_free(options);
  CHECK(unchanged(PATH, data, size) && files_like("*.corrupt-*") == 0);
  cache = open_default(PATH);
  CHECK(files_like("*.corrupt-*Z") == 1 && count_of(cache) == 0);
  CHECK(unchanged(shell("echo *.corrupt-*Z"), data, size));
  works(cache);
  dbc_free(cache);
  free(data);
}

TEST(triggers_do_not_run) {
  make_cache();
  query(PATH,
        "CREATE TABLE spoils(what); "
        "CREATE TRIGGER a AFTER INSERT ON item BEGIN INSERT INTO spoils VALUES(new.data); END; "
        "CREATE TRIGGER b BEFORE UPDATE ON item BEGIN SELECT raise(ABORT, 'no'); END; "
        "CREATE TRIGGER c BEFORE DELETE ON item BEGIN SELECT raise(IGNORE); END; "
        "CREATE TRIGGER d AFTER INSERT ON eviction_order BEGIN DELETE FROM item; END; "
        "CREATE TRIGGER e BEFORE UPDATE ON schema_version BEGIN SELECT raise(IGNORE); END");
  dbc_cache *cache = open_default(PATH);
  CHECK(gets(cache, "k", "v"));
  works(cache);
  put(cache, "k", "another");
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(gets(cache, "k", "another") && count_of(cache) == 1);
  CHECK(files_like("*.corrupt-*") == 0);
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "SELECT count(*) FROM spoils"), "0");
}

TEST(views_do_not_run) {
  make_cache();
  query(PATH,
        "DROP VIEW cache; CREATE VIEW cache AS SELECT load_extension('./evil.so') AS key, writefile('out', 'x') AS "
        "value; "
        "CREATE VIEW other AS SELECT * FROM item, cache");
  dbc_cache *cache = open_default(PATH);
  CHECK(gets(cache, "k", "v"));
  works(cache);
  CHECK(!exists("out"));
  dbc_free(cache);
}

// In place of our tables: everything SQLite can make look like one.
static void replaced(const char *table, const char *by) {
  make_cache();
  shell("sqlite3 " PATH " \"DROP VIEW cache; DROP TABLE %s; %s\"", table, by);
  is_moved_aside();
  shell("rm -f cache.db*");
}

TEST(tables_must_be_those_of_the_format) {
  replaced("usage", "");
  replaced("eviction_order", "CREATE TABLE eviction_order(recorded, key, id)");
  replaced("usage", "CREATE VIEW usage AS SELECT 1 AS id, 2 AS version, 3 AS timestamp, 4 AS recorded");
  replaced("usage", "CREATE VIRTUAL TABLE usage USING fts5(id, version, timestamp, recorded)");
  replaced("usage",
           "CREATE TABLE usage(id INTEGER PRIMARY KEY, version INTEGER NOT NULL, timestamp REAL NOT NULL, "
           "recorded REAL AS (timestamp + 1) STORED)");
  replaced(
      "usage",
      "CREATE TABLE usage(id INTEGER PRIMARY KEY, version INTEGER NOT NULL CHECK(length(zeroblob(900000000)) > 1), "
      "timestamp REAL NOT NULL, recorded REAL NOT NULL)");
  replaced(
      "item",
      "CREATE TABLE item(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, timestamp REAL NOT NULL, recorded REAL NOT "
      "NULL, version INTEGER NOT NULL, schema_id INTEGER NOT NULL, size INTEGER NOT NULL, checksum INTEGER NOT NULL, "
      "data NOT NULL DEFAULT (hex(zeroblob(500000000))))");
  replaced("meta", "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL)");
}

TEST(tables_of_an_older_format_must_be_its_own) {
  shell("sqlite3 " PATH
        " \"PRAGMA journal_mode=wal; PRAGMA application_id=0x64626331; PRAGMA user_version=1; "
        "CREATE TABLE item(key)\"");
  is_moved_aside();
}

TEST(keys_in_utf_16_are_none) {
  shell("sqlite3 " PATH
        " \"PRAGMA encoding='UTF-16'; PRAGMA application_id=0x64626331; PRAGMA user_version=2; "
        "CREATE TABLE item(key)\"");
  is_moved_aside();
}

// One that computes, and is made to cost.
TEST(a_foreign_index_is_refused) {
  make_cache();
  query(PATH, "CREATE INDEX costly ON item(length(hex(zeroblob(size + 400000000))))");
  size_t size = 0;
  char *data = read_file(PATH, &size);
  dbc_cache *cache = NULL;
  CHECK(refused(dbc_open(PATH, "1.0.0", NULL, &cache), DBC_FOREIGN, "costly"));
  CHECK(unchanged(PATH, data, size) && files_like("*.corrupt-*") == 0);
  free(data);
  query(PATH, "DROP INDEX costly");
  cache = open_default(PATH);
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

TEST(what_others_add_beside_the_tables_is_left_alone) {
  make_cache();
  query(PATH, "CREATE TABLE notes(text); INSERT INTO notes VALUES('hello'); ANALYZE");
  dbc_cache *cache = open_default(PATH);
  CHECK(gets(cache, "k", "v"));
  works(cache);
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "SELECT text FROM notes"), "hello");
}

TEST(page_sizes_of_all_kinds) {
  for (int size = 512; size <= 65536; size *= 2) {
    make_cache();
    shell("sqlite3 " PATH " 'PRAGMA journal_mode=delete; PRAGMA page_size=%d; VACUUM; PRAGMA journal_mode=wal'", size);
    dbc_cache *cache = open_default(PATH);
    CHECK(gets(cache, "k", "v"));
    works(cache);
    uint64_t problems = 1;
    CHECK(dbc_check(cache, 0, NULL, 0, &problems) == DBC_OK && problems == 0);
    dbc_free(cache);
    CHECK(atoi(query(PATH, "PRAGMA page_size")) == size);
    shell("rm -f cache.db*");
  }
}

// SQLite would play it into the file if it believed it; the salts and checksums of its frames fit themselves.
TEST(the_wal_of_another_cache) {
  if (fork() == 0) {
    dbc_cache *cache = open_default("other.db");
    for (int i = 0; i < 50; ++i) put(cache, "stolen", "x");
    _exit(0);  // leaves its WAL
  }
  int status = 1;
  CHECK(wait(&status) > 0 && status == 0);
  make_cache();
  shell("cp other.db-wal cache.db-wal");
  dbc_cache *cache = open_default(PATH);
  uint64_t problems = 1;
  CHECK(dbc_check(cache, DBC_CHECK_REPAIR, NULL, 0, &problems) == DBC_OK);
  CHECK(gets(cache, "k", "v") || gets(cache, "k", NULL));
  works(cache);
  dbc_free(cache);
}

// ------------------------------------------------------------------------------------------- beside the file
// -----------

// Nothing is opened through a link, be it to something there or not.
static void link_is_refused(const char *suffix, const char *target) {
  make_cache();
  char path[64];
  snprintf(path, sizeof path, "%s%s", PATH, suffix);
  write_file("victim", "untouched", 9);
  shell("rm -f %s && ln -s %s %s", path, target, path);
  dbc_cache *cache = NULL;
  dbc_status status = dbc_open(PATH, "1.0.0", NULL, &cache);
  // Without the shared file a cache can be had in another way; without the WAL or its index, it cannot.
  CHECK(status == DBC_OK || status == DBC_IO);
  if (status == DBC_OK) dbc_free(cache);
  CHECK(unchanged("victim", "untouched", 9));
  CHECK(!exists("absent"));
  shell("rm -f cache.db* victim");
}

TEST(no_link_is_followed_beside_the_file) {
  const char *suffixes[] = {"-dbc", "-wal", "-shm"};
  for (int i = 0; i < 3; ++i) {
    link_is_refused(suffixes[i], "victim");
    link_is_refused(suffixes[i], "absent");
    link_is_refused(suffixes[i], "/dev/zero");
    char itself[64];
    snprintf(itself, sizeof itself, "%s%s", PATH, suffixes[i]);
    link_is_refused(suffixes[i], itself);
  }
}

// A link to a database is what it points to, and the files beside are beside that one: all who use it must agree on
// them.
TEST(a_link_to_a_cache_is_that_cache) {
  CHECK(mkdir("real", 0700) == 0 && symlink("real/users.db", PATH) == 0);
  dbc_cache *cache = open_default("real/users.db"), *linked = open_default(PATH);
  put(cache, "k", "v");
  CHECK(gets(linked, "k", "v") && !exists(PATH "-dbc"));
  dbc_free(cache);
  dbc_free(linked);
  CHECK(exists("real/users.db"));
}

TEST(a_link_to_nowhere_is_no_place_for_a_cache) {
  CHECK(symlink("absent", PATH) == 0);
  dbc_cache *cache = NULL;
  dbc_status status = dbc_open(PATH, "1.0.0", NULL, &cache);
  CHECK(refused(status, DBC_IO, "symbolic link"));
  CHECK(files_like(PATH "-*") == 0 && !exists("absent"));
}

TEST(what_is_no_file_is_refused) {
  const char *suffixes[] = {"", "-dbc", "-wal", "-shm"};
  for (int i = 0; i < 4; ++i) {
    for (int kind = 0; kind < 2; ++kind) {
      char path[64];
      snprintf(path, sizeof path, "%s%s", PATH, suffixes[i]);
      if (i > 0) make_cache();
      unlink(path);
      CHECK(kind == 0 ? mkdir(path, 0700) == 0 : mkfifo(path, 0600) == 0);
      dbc_cache *cache = NULL;
      alarm(20);  // nobody will ever write to the pipe
      dbc_status status = dbc_open(PATH, "1.0.0", NULL, &cache);
      CHECK(status == DBC_IO || (i > 0 && status == DBC_OK));
      alarm(0);
      dbc_free(cache);
      shell("rm -rf cache.db*");
    }
  }
}

static unsigned mode_of(const char *path) {
  struct stat info;
  CHECK(stat(path, &info) == 0);
  return info.st_mode & 07777;
}

TEST(nobody_else_may_read_the_files_whatever_the_umask) {
  const mode_t umasks[] = {0, 0002, 0022, 0027, 0077, 0007, 0111, 0177};
  for (size_t i = 0; i < sizeof umasks / sizeof *umasks; ++i) {
    umask(umasks[i]);
    dbc_cache *cache = open_default(PATH);
    put(cache, "k", "v");
    CHECK(mode_of(PATH) == 0600 && mode_of(PATH "-wal") == 0600);
    CHECK(mode_of(PATH "-shm") == 0600 && mode_of(PATH "-dbc") == 0600);
    // A file that is moved aside stays as private.
    write_file(PATH, "garbage", 7);
    dbc_free(cache);
    cache = open_default(PATH);
    CHECK(mode_of(shell("ls -d *.corrupt-*Z")) == 0600 && mode_of(PATH) == 0600);
    dbc_free(cache);
    umask(0);
    shell("rm -f cache.db*");
  }
}

// ------------------------------------------------------------------------------------------- to make it hang
// -----------

// Orders in which the same candidate would come up for ever, and counts that can never be met.
static void evicts_with(const char *sql) {
  dbc_cache *cache = open_default(PATH);
  for (int i = 0; i < 20; ++i) {
    char key[8];
    snprintf(key, sizeof key, "k%d", i);
    put_at(cache, key, "v", AT(100 + i));
  }
  dbc_free(cache);
  query(PATH, sql);
  alarm(60);
  cache = open_with(PATH, "1.0.0", with_double(OPTIONS({DBC_MAX_DISK_ITEMS, 5}), DBC_TOUCH_DELAY_SECONDS, 0.001));
  for (int i = 0; i < 20; ++i) put(cache, "another", "v");
  if (!gets(cache, "another", "v")) CHECK_TEXT("a put that is not there", sql);
  CHECK(dbc_flush(cache) == DBC_OK);
  works(cache);
  CHECK(count_of(cache) >= 1);  // nothing is evicted that has just been put
  dbc_free(cache);
  alarm(0);
  shell("rm -f cache.db*");
}

// Version 0 stands for no item, and is not the version that a caller holds who holds none.
TEST(an_item_without_a_version_is_a_miss) {
  const char *versions[] = {"0", "-1", "-9223372036854775807"};
  for (int i = 0; i < 3; ++i) {
    dbc_cache *cache = open_default(PATH);
    put(cache, "k", "v");
    put(cache, "other", "v");
    dbc_free(cache);
    char sql[100];
    snprintf(sql, sizeof sql, "UPDATE item SET version = %s WHERE key = 'k'", versions[i]);
    query(PATH, sql);
    cache = open_default(PATH);
    CHECK(gets(cache, "k", NULL) && gets(cache, "other", "v"));
    CHECK(stat_of(cache, DBC_STAT_MISSES) == 1 && stat_of(cache, DBC_STAT_DISCARDED) == 1);
    CHECK(put(cache, "k", "again") < UINT64_MAX / 2 && gets(cache, "k", "again"));
    dbc_free(cache);
  }
}

TEST(damaged_orders_and_counts_end_no_eviction) {
  evicts_with("UPDATE eviction_order SET key = 'k' || id || 'x'");
  evicts_with("UPDATE eviction_order SET recorded = -1e308");
  evicts_with("UPDATE eviction_order SET id = 1");
  evicts_with("DELETE FROM eviction_order");
  evicts_with("UPDATE item SET recorded = 50");
  evicts_with("UPDATE schema_version SET items = 1000000000");
  evicts_with("UPDATE schema_version SET bytes = 9223372036854775807");
  evicts_with("UPDATE schema_version SET items = -1, bytes = -1");
  evicts_with("DELETE FROM item; DELETE FROM usage; DELETE FROM eviction_order");
  evicts_with("UPDATE item SET size = -5");
  evicts_with("UPDATE item SET schema_id = 99");
  evicts_with("UPDATE item SET version = 9223372036854775807");
  evicts_with("UPDATE schema_version SET last_version = 9223372036854775807");
  evicts_with("DELETE FROM schema_version");
  evicts_with("DELETE FROM meta");
}
