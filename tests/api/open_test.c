// Opening: arguments, paths, what is done with files that are not ours, and what survives between handles.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "support.h"

static dbc_status try_open(const char *path, const char *schema_version, const dbc_options *options) {
  dbc_cache *cache = (dbc_cache *)1;
  dbc_status status = dbc_open(path, schema_version, options, &cache);
  if (status == DBC_OK) {
    dbc_free(cache);
  } else {
    CHECK(cache == NULL);
  }
  return status;
}

TEST(open_checks_its_arguments) {
  char schema[66];
  memset(schema, 'v', sizeof schema);
  schema[65] = '\0';
  CHECK(refused(try_open(NULL, "1", NULL), DBC_INVALID_ARGUMENT, "path"));
  CHECK(refused(try_open("", "1", NULL), DBC_INVALID_ARGUMENT, "path"));
  CHECK(refused(try_open(PATH, NULL, NULL), DBC_INVALID_ARGUMENT, "schema"));
  CHECK(refused(try_open(PATH, "", NULL), DBC_INVALID_ARGUMENT, "schema"));
  CHECK(refused(try_open(PATH, schema, NULL), DBC_INVALID_ARGUMENT, "64"));
  CHECK(dbc_open(PATH, "1", NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(!exists(PATH));
  schema[64] = '\0';
  CHECK(try_open(PATH, schema, NULL) == DBC_OK);
}

TEST(step_05_open_creates_the_file_and_its_folders) {
  dbc_cache *cache = open_default("a/b/c/users.db");
  put(cache, "k", "v");
  CHECK(exists("a/b/c/users.db") && exists("a/b/c/users.db-dbc"));
  CHECK_TEXT(query("a/b/c/users.db", "PRAGMA journal_mode"), "wal");
  dbc_free(cache);
  CHECK_TEXT(query("a/b/c/users.db", "PRAGMA integrity_check"), "ok");
}

TEST(open_a_path_with_spaces_and_other_letters) {
  const char *path =
      "sp\xc3\xa4"
      "ce dir/it's % \xe6\xbc\xa2?x=1#y.db";
  dbc_cache *cache = open_default(path);
  put(cache, "k", "v");
  dbc_free(cache);
  CHECK(exists(path));
  cache = open_default(path);
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

TEST(open_does_not_take_a_path_for_a_uri) {
  dbc_cache *cache = open_default("file:odd.db?mode=memory");
  put(cache, "k", "v");
  dbc_free(cache);
  CHECK(exists("file:odd.db?mode=memory"));
}

TEST(open_memory_leaves_no_file) {
  dbc_cache *first = open_default(":memory:"), *second = open_default(":memory:");
  put(first, "k", "v");
  CHECK(dbc_clear_memory(first) == DBC_OK);
  CHECK(gets(first, "k", "v"));
  CHECK(stat_of(first, DBC_STAT_DISK_HITS) == 1);
  CHECK(gets(second, "k", NULL));
  dbc_free(first);
  dbc_free(second);
  CHECK_TEXT(shell("ls -A"), "");
}

TEST(open_refuses_a_directory) {
  CHECK(mkdir("folder", 0755) == 0);
  CHECK(refused(try_open("folder", "1", NULL), DBC_IO, "folder"));
  CHECK_TEXT(shell("find . | sort | tr '\\n' ' '"), ". ./folder ");
}

TEST(open_refuses_a_parent_that_is_a_file) {
  write_file("file", "text", 4);
  CHECK(refused(try_open("file/cache.db", "1", NULL), DBC_IO, "file"));
  CHECK(unchanged("file", "text", 4));
}

TEST(open_refuses_a_path_beyond_all_lengths) {
  char *path = malloc(10001);
  memset(path, 'x', 10000);
  path[10000] = '\0';
  dbc_status status = try_open(path, "1", NULL);
  CHECK(status == DBC_IO || status == DBC_INVALID_ARGUMENT);
  CHECK(strlen(dbc_last_error()) > 0 && strlen(dbc_last_error()) <= 1023);
  free(path);
}

// Root may write anywhere, so the checks of permissions are made by nobody in particular.
static void become_nobody(void) {
  if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
}

TEST(open_refuses_an_unwritable_folder) {
  CHECK(mkdir("folder", 0755) == 0 && chmod("folder", 0555) == 0);
  become_nobody();
  CHECK(refused(try_open("folder/cache.db", "1", NULL), DBC_IO, "folder/cache.db"));
}

TEST(open_refuses_an_unwritable_file) {
  dbc_cache *cache = open_default("folder/cache.db");
  put(cache, "k", "v");
  dbc_free(cache);
  CHECK(chmod("folder/cache.db", 0444) == 0 && chmod("folder", 0555) == 0);
  size_t size = 0;
  char *before = read_file("folder/cache.db", &size);
  become_nobody();
  CHECK(refused(try_open("folder/cache.db", "1", NULL), DBC_IO, "folder/cache.db"));
  CHECK(unchanged("folder/cache.db", before, size));
  free(before);
}

static const char kText[] = "Dear diary, this is no database at all, but it is mine and I would miss it.\n";

TEST(step_41_a_text_file_is_moved_aside) {
  write_file(PATH, kText, sizeof kText);
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
  CHECK(files_like("cache.db.corrupt-*") == 1);
  char aside[256];
  snprintf(aside, sizeof aside, "%s", shell("ls cache.db.corrupt-*"));
  CHECK(unchanged(aside, kText, sizeof kText));
  cache = open_default(PATH);
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

TEST(step_41_a_text_file_is_an_error_on_demand) {
  write_file(PATH, kText, sizeof kText);
  dbc_options *options = OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL});
  CHECK(refused(try_open(PATH, "1", options), DBC_CORRUPT, PATH));
  dbc_options_free(options);
  CHECK(unchanged(PATH, kText, sizeof kText));
  CHECK(files_like("*corrupt-*") == 0);
}

TEST(moving_aside_twice_keeps_both) {
  for (int i = 0; i < 2; ++i) {
    char text[32];
    int size = snprintf(text, sizeof text, "this is no database: %d", i);
    remove(PATH);
    remove(PATH "-wal");
    write_file(PATH, text, (size_t)size);
    dbc_free(open_default(PATH));
  }
  CHECK(atoi(shell("cat cache.db.corrupt-* | grep -o 'no database: [01]' | sort -u | wc -l")) == 2);
}

static void make_cache(const char *path, int items) {
  dbc_cache *cache = open_default(path);
  char key[16], value[400];
  memset(value, 'x', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  for (int i = 0; i < items; ++i) {
    snprintf(key, sizeof key, "key-%d", i);
    put(cache, key, value);
  }
  CHECK(dbc_close(cache) == DBC_OK);
  dbc_free(cache);
}

TEST(step_41_a_truncated_cache_is_moved_aside) {
  make_cache(PATH, 500);
  size_t size = 0;
  char *whole = read_file(PATH, &size);
  CHECK(truncate(PATH, (off_t)(size / 2 - size / 2 % 4096)) == 0);
  dbc_options *options = OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL});
  CHECK(refused(try_open(PATH, "1.0.0", options), DBC_CORRUPT, PATH));
  dbc_options_free(options);
  CHECK(unchanged(PATH, whole, size / 2 - size / 2 % 4096));
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  CHECK(files_like("cache.db.corrupt-*") >= 1);
  dbc_free(cache);
  free(whole);
}

TEST(a_cache_with_a_damaged_header_is_moved_aside) {
  make_cache(PATH, 20);
  FILE *file = fopen(PATH, "r+b");
  CHECK(file && fwrite("SQLite format 9", 1, 15, file) == 15 && fclose(file) == 0);
  dbc_cache *cache = open_default(PATH);
  CHECK(count_of(cache) == 0);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
  CHECK(files_like("cache.db.corrupt-*") >= 1);
}

TEST(an_empty_file_becomes_a_cache) {
  write_file(PATH, "", 0);
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
  CHECK(files_like("*corrupt-*") == 0);
}

TEST(a_newer_format_is_refused_and_left_untouched) {
  make_cache(PATH, 20);
  int version = atoi(query(PATH, "PRAGMA user_version"));
  CHECK(version > 0);
  char sql[64];
  snprintf(sql, sizeof sql, "PRAGMA user_version = %d", version + 1);
  query(PATH, sql);
  size_t size = 0;
  char *before = read_file(PATH, &size);
  CHECK(refused(try_open(PATH, "1.0.0", NULL), DBC_VERSION, PATH));
  CHECK(unchanged(PATH, before, size));
  CHECK(files_like("*corrupt-*") == 0);
  free(before);
}

// Who has migrated the file may have left the marks in the WAL, where a look at the file alone does not find them.
TEST(a_newer_format_in_the_wal_is_refused_and_left_untouched) {
  const char *marks[] = {"PRAGMA user_version = 99; ALTER TABLE item ADD COLUMN later", "PRAGMA application_id = 7"};
  for (int i = 0; i < 2; ++i) {
    make_cache(PATH, 20);
    // Killed before it could checkpoint.
    shell("printf '%s;\\n.shell kill -9 $PPID\\n' | sqlite3 %s || true", marks[i], PATH);
    CHECK(exists(PATH "-wal"));
    dbc_status status = try_open(PATH, "1.0.0", NULL);
    CHECK(i == 0 ? refused(status, DBC_VERSION, "format 99") : refused(status, DBC_FOREIGN, PATH));
    CHECK(exists(PATH) && exists(PATH "-wal") && files_like("*corrupt-*") == 0);
    shell("rm -f cache.db*");
  }
}

// By two names a database has two journals, each of which destroys what the other has.
TEST(a_file_with_two_names_is_refused) {
  make_cache(PATH, 3);
  CHECK(link(PATH, "other.db") == 0);
  CHECK(refused(try_open("other.db", "1.0.0", NULL), DBC_IO, "hard link"));
  CHECK(refused(try_open(PATH, "1.0.0", NULL), DBC_IO, "hard link"));
  CHECK(files_like("other.db-*") == 0 && files_like("*corrupt-*") == 0);
  CHECK(unlink("other.db") == 0);
  dbc_cache *cache = open_default(PATH);
  CHECK(count_of(cache) == 3);
  dbc_free(cache);
}

// As when a process that moves a damaged file aside is killed in the middle of it.
TEST(who_has_a_file_open_that_was_moved_away_goes_over_to_its_successor) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "old", "v");
  CHECK(rename(PATH, "moved.db") == 0);
  CHECK(gets(cache, "old", "v"));
  dbc_cache *other = open_default(PATH);
  put(other, "new", "v");
  CHECK(gets(cache, "new", "v") && gets(cache, "old", NULL));
  put(cache, "k", "v");
  CHECK(gets(other, "k", "v") && count_of(other) == 2 && count_of(cache) == 2);
  dbc_free(cache);
  dbc_free(other);
}

// A file that was removed takes up room for as long as somebody has it open.
TEST(who_goes_over_to_another_file_lets_go_of_the_old_one) {
  dbc_cache *cache = open_default(PATH);
  for (int round = 0; round < 3; ++round) {
    put(cache, "old", "v");
    CHECK(remove(PATH) == 0);
    dbc_cache *other = open_default(PATH);
    put(other, "new", "v");
    CHECK(gets(cache, "new", "v") && gets(cache, "old", NULL));
    CHECK(atoi(shell("ls -l /proc/%d/fd | grep -c 'cache.db.*deleted' || true", (int)getpid())) == 0);
    dbc_free(other);
  }
  dbc_free(cache);
}

// Two databases that share one index of the WAL destroy each other's view of it, and their openers wait for each other.
TEST(a_file_made_in_the_place_of_a_removed_one_shares_nothing_with_it) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "old", "v");
  struct stat before, after;
  CHECK(stat(PATH "-shm", &before) == 0);  // in use, so that its number is not given to another
  CHECK(remove(PATH) == 0);
  dbc_cache *other = open_default(PATH);
  put(other, "new", "v");
  CHECK(stat(PATH "-shm", &after) == 0 && after.st_ino != before.st_ino);
  CHECK(gets(cache, "new", "v"));
  dbc_free(other);
  dbc_free(cache);
}

// Directories, which nobody removes by mistake, not even root.
TEST(what_an_earlier_file_has_left_and_cannot_be_removed_is_an_error) {
  for (int i = 0; i < 2; ++i) {
    const char *leftover = i == 0 ? PATH "-wal" : PATH "-shm";
    CHECK(mkdir(leftover, 0777) == 0);
    CHECK(refused(try_open(PATH, "1", NULL), DBC_IO, leftover) && files_like(PATH) == 0);
    CHECK(rmdir(leftover) == 0);
    dbc_free(open_default(PATH));
    CHECK(remove(PATH) == 0);
  }
}

TEST(a_damaged_file_that_cannot_be_moved_aside_whole_is_an_error) {
  write_file(PATH, kText, sizeof kText);
  CHECK(mkdir(PATH "-shm", 0777) == 0);
  CHECK(refused(try_open(PATH, "1", NULL), DBC_IO, "could not be moved aside"));
  CHECK(unchanged(PATH, kText, sizeof kText) && files_like("*corrupt-*") == 0);
  CHECK(rmdir(PATH "-shm") == 0);
  dbc_free(open_default(PATH));
  CHECK(files_like("*corrupt-*") == 1);
}

static atomic_int leave;
static void *get_all_the_time(void *cache) {
  while (!leave) {
    dbc_value *value = NULL;
    dbc_status status = dbc_get(cache, KEY("k"), NULL, &value);
    // DBC_IO: a connection that was opened when there was no file.
    if (status != DBC_NOT_FOUND && status != DBC_OK && status != DBC_IO) CHECK_TEXT(dbc_last_error(), "(no error)");
    dbc_value_release(value);
  }
  return NULL;
}

// Nor does anything else stay open, also if other threads were inside of calls just then, until the handle is freed.
TEST(who_goes_over_to_other_files_again_and_again_has_one_open) {
  dbc_cache *cache = open_default(PATH);
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) CHECK(pthread_create(&threads[i], NULL, get_all_the_time, cache) == 0);
  const char *count = "ls -l /proc/%d/fd | grep -c 'cache.db' || true";
  for (int round = 0; round < 25; ++round) {
    put(cache, "k", "v");
    CHECK(remove(PATH) == 0);
    dbc_cache *other = open_default(PATH);
    put(other, "k", "new");
    CHECK(gets(cache, "k", "new"));
    dbc_free(other);
  }
  leave = 1;
  for (int i = 0; i < 3; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  int open_files = atoi(shell(count, (int)getpid()));
  CHECK(open_files > 0 && open_files < 20);
  CHECK(dbc_close(cache) == DBC_OK);
  CHECK(atoi(shell(count, (int)getpid())) == 0);
  dbc_free(cache);
}

static void check_foreign(const char *sql) {
  remove(PATH);
  query(PATH, sql);
  size_t size = 0;
  char *before = read_file(PATH, &size);
  CHECK(size > 0);
  CHECK(refused(try_open(PATH, "1.0.0", NULL), DBC_FOREIGN, PATH));
  CHECK(unchanged(PATH, before, size));
  dbc_options *fail = OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL});
  CHECK(try_open(PATH, "1.0.0", fail) == DBC_FOREIGN);
  dbc_options_free(fail);
  CHECK(unchanged(PATH, before, size));
  CHECK(files_like("*corrupt-*") == 0);
  free(before);
}

TEST(somebody_elses_database_is_refused_and_left_untouched) {
  check_foreign("CREATE TABLE users(name TEXT); INSERT INTO users VALUES('Ada')");
  check_foreign("CREATE TABLE cache(key TEXT, value TEXT, timestamp REAL, schema_version TEXT, size INTEGER)");
  check_foreign("PRAGMA application_id = 1; PRAGMA user_version = 1; CREATE TABLE item(id INTEGER PRIMARY KEY)");
  check_foreign("PRAGMA user_version = 7; CREATE TABLE t(x)");
  check_foreign("PRAGMA application_id = 4711");
  check_foreign("PRAGMA journal_mode = wal; CREATE TABLE users(name TEXT)");
}

TEST(step_16_another_schema_version_removes_the_items_on_open) {
  dbc_cache *cache = open_with(PATH, "1.0.0", NULL);
  put(cache, "a", "old");
  put(cache, "b", "old");
  dbc_free(cache);
  cache = open_with(PATH, "2.0.0", NULL);
  CHECK(count_of(cache) == 0 && size_of(cache) == 0);
  CHECK(gets(cache, "a", NULL));
  put(cache, "a", "new");
  dbc_free(cache);
  cache = open_with(PATH, "2.0.0", NULL);
  CHECK(gets(cache, "a", "new") && gets(cache, "b", NULL));
  dbc_free(cache);
  cache = open_with(PATH, "1.0.0", NULL);
  CHECK(gets(cache, "a", NULL) && count_of(cache) == 0);
  dbc_free(cache);
}

TEST(step_16_another_schema_version_is_found_on_get) {
  dbc_cache *old = open_with(PATH, "1.0.0", NULL), *new = open_with(PATH, "2.0.0", NULL);
  put(new, "k", "new");
  CHECK(gets(old, "k", NULL));
  CHECK(stat_of(old, DBC_STAT_DISCARDED) == 1 && stat_of(old, DBC_STAT_MISSES) == 1);
  put(old, "k", "old");
  CHECK(gets(new, "k", NULL));
  CHECK(stat_of(new, DBC_STAT_DISCARDED) == 1);
  dbc_free(old);
  dbc_free(new);
}

TEST(limits_are_enforced_on_open) {
  dbc_cache *cache = open_default(PATH);
  const char *keys[] = {"e", "d", "c", "b", "a"};
  for (int i = 0; i < 5; ++i) put_at(cache, keys[i], "1234567890", AT(i));
  dbc_free(cache);
  cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
  CHECK(count_of(cache) == 3);
  CHECK(gets_at(cache, "d", NULL, AT(5)) && gets_at(cache, "c", "1234567890", AT(2)));
  dbc_free(cache);
  cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_SIZE_BYTES, 25}));
  CHECK(count_of(cache) == 2 && size_of(cache) == 20);
  CHECK(gets_at(cache, "c", NULL, AT(5)) && gets_at(cache, "b", "1234567890", AT(5)));
  dbc_free(cache);
}

TEST(step_06_items_survive_reopening) {
  dbc_cache *cache = open_default(PATH);
  uint64_t first = put_at(cache, "k", "value", AT(100));
  CHECK(gets_at(cache, "k", "value", AT(150)));
  dbc_free(cache);
  cache = open_default(PATH);
  dbc_value *value = NULL;
  CHECK(dbc_get_changed(cache, KEY("k"), first, AT(160), &value) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 1);
  CHECK(gets_at(cache, "k", "value", AT(161)));
  uint64_t second = put_at(cache, "k", "again", AT(170));
  CHECK(second > first);
  CHECK(dbc_clear(cache) == DBC_OK);
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(put(cache, "k", "third") > second);
  dbc_free(cache);
}

TEST(a_touch_survives_reopening) {
  dbc_cache *cache = open_default(PATH);
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  CHECK(gets_at(cache, "a", "1", AT(3)));
  dbc_free(cache);
  cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 1}));
  CHECK(gets_at(cache, "a", "1", AT(4)) && gets_at(cache, "b", NULL, AT(4)));
  dbc_free(cache);
}

TEST(a_lost_shared_file_is_made_anew) {
  make_cache(PATH, 5);
  CHECK(remove(PATH "-dbc") == 0);
  dbc_cache *cache = open_default(PATH);
  CHECK(count_of(cache) == 5);
  dbc_free(cache);
  write_file(PATH "-dbc", "nonsense", 8);
  cache = open_default(PATH);
  CHECK(count_of(cache) == 5);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

TEST(a_database_that_was_replaced_between_handles_is_read_anew) {
  make_cache("other.db", 3);
  make_cache(PATH, 7);
  CHECK(rename("other.db", PATH) == 0);
  dbc_cache *cache = open_default(PATH);
  CHECK(count_of(cache) == 3);
  CHECK(gets(cache, "key-5", NULL));
  dbc_free(cache);
}

// Every byte that a cache cannot write leaves it as it was: here the largest file size is reached.
TEST(step_41_what_was_committed_stays_when_the_device_refuses) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "before", "v");
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit = {256 * 1024, RLIM_INFINITY};
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  char *large = calloc(1, MIB);
  uint64_t version = 7;
  dbc_status status = dbc_put(cache, KEY("large"), large, MIB, 0, NULL, &version);
  CHECK(status == DBC_IO || status == DBC_FULL);
  CHECK(version == 0 && strlen(dbc_last_error()) > 0);
  CHECK(dbc_put(cache, KEY("before"), large, MIB, 0, NULL, NULL) == status);
  CHECK(gets(cache, "before", "v") && gets(cache, "large", NULL));
  CHECK(count_of(cache) == 1 && size_of(cache) == 1);
  limit.rlim_cur = RLIM_INFINITY;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  CHECK(dbc_put(cache, KEY("large"), large, MIB, 0, NULL, NULL) == DBC_OK);
  CHECK(count_of(cache) == 2);
  dbc_free(cache);
  free(large);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

// Another release of the library may lay out the shared file in another way; the version of the layout is at byte 8.
TEST(a_process_with_another_release_is_refused_while_the_file_is_in_use) {
  dbc_cache *cache = open_default(PATH), *other = NULL;
  put(cache, "k", "v");
  uint64_t ours = 0, theirs = 1000;
  FILE *file = fopen(PATH "-dbc", "r+b");
  CHECK(file != NULL && fseek(file, 8, SEEK_SET) == 0 && fread(&ours, 8, 1, file) == 1 && ours != theirs);
  CHECK(fseek(file, 8, SEEK_SET) == 0 && fwrite(&theirs, 8, 1, file) == 1 && fclose(file) == 0);
  CHECK(refused(dbc_open(PATH, "1.0.0", NULL, &other), DBC_VERSION, "another version of libdbc"));
  CHECK(other == NULL && gets(cache, "k", "v"));
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}
