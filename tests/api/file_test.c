// The file, as other programs see it.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

TEST(the_view_has_its_columns) {
  dbc_free(open_default(PATH));
  CHECK_TEXT(query(PATH, "SELECT group_concat(name, ' ') FROM pragma_table_info('cache')"),
             "key value timestamp schema_version size");
  CHECK_TEXT(query(PATH, "SELECT count(*) FROM cache"), "0");
  CHECK_TEXT(query(PATH, "PRAGMA journal_mode"), "wal");
  CHECK(atoi(query(PATH, "PRAGMA user_version")) > 0);
  CHECK(atoll(query(PATH, "PRAGMA application_id")) != 0);
}

TEST(step_14_timestamps_are_stored) {
  dbc_cache *cache = open_default(PATH);
  put_at(cache, "a", "1", AT(1.5));
  put_at(cache, "b", "1", AT(2.25));
  CHECK_TEXT(query(PATH, "SELECT key, timestamp FROM cache ORDER BY key"), "a|1.5\nb|2.25");
  CHECK(gets_at(cache, "a", "1", AT(50)));
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT key, timestamp FROM cache ORDER BY key"), "a|50.0\nb|2.25");
  CHECK(gets_at(cache, "b", "1", AT(60)));
  CHECK(dbc_close(cache) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT key, timestamp FROM cache ORDER BY key"), "a|50.0\nb|60.0");
  dbc_free(cache);
}

TEST(step_15_schema_versions_are_stored) {
  dbc_cache *cache = open_with(PATH, "2.1.0-r\xc3\xa4u", NULL);
  put(cache, "a", "1");
  CHECK_TEXT(query(PATH, "SELECT schema_version, typeof(schema_version) FROM cache"), "2.1.0-r\xc3\xa4u|text");
  dbc_free(cache);
}

TEST(the_view_shows_text_as_text_and_bytes_as_bytes) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_ITEM_SIZE_BYTES, 1000}));
  CHECK(dbc_put(cache, KEY("json"), "{\"n\": 1}", 8, DBC_TEXT, AT(1), NULL) == DBC_OK);
  CHECK(dbc_put(cache, KEY("bytes"), "\x00\x01\xff", 3, 0, AT(1), NULL) == DBC_OK);
  CHECK(dbc_put(cache, KEY("empty"), "", 0, DBC_TEXT, AT(1), NULL) == DBC_OK);
  char *large = malloc(20001);
  memset(large, 'x', 20000);
  large[20000] = '\0';
  CHECK(dbc_put(cache, KEY("large"), large, 20000, DBC_TEXT, AT(1), NULL) == DBC_OK);
  free(large);
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK_TEXT(query(PATH,
                   "SELECT key, typeof(value), length(value), size, typeof(key), typeof(timestamp), typeof(size) "
                   "FROM cache ORDER BY key"),
             "bytes|blob|3|3|text|real|integer\nempty|text|0|0|text|real|integer\n"
             "json|text|8|8|text|real|integer\nlarge|text|20000|20000|text|real|integer");
  CHECK_TEXT(query(PATH, "SELECT value FROM cache WHERE key = 'json'"), "{\"n\": 1}");
  CHECK_TEXT(query(PATH, "SELECT hex(value) FROM cache WHERE key = 'bytes'"), "0001FF");
  dbc_free(cache);
}

TEST(the_view_follows_every_change) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
  const size_t sizes[] = {1, 1};
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  put_at(cache, "c", "1", AT(3));
  put_at(cache, "d", "1", AT(4));
  CHECK_TEXT(query(PATH, "SELECT group_concat(key, '') FROM (SELECT key FROM cache ORDER BY key)"), "bcd");
  CHECK(dbc_delete(cache, KEY("c")) == DBC_OK);
  CHECK(dbc_put_many(cache, 2, "xy", sizes, "12", sizes, 0, AT(5), NULL) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT group_concat(key, '') FROM (SELECT key FROM cache ORDER BY key)"), "dxy");
  CHECK(dbc_clear(cache) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT count(*) FROM cache"), "0");
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

TEST(touches_reach_the_file_in_bounded_time) {
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(dbc_options_new(), DBC_TOUCH_DELAY_SECONDS, 0.01));
  put_at(cache, "k", "v", AT(1));
  // Whether it is a thread or a later call that writes: within this many calls it must have happened.
  int late = 1;
  for (int i = 2; i < 400 && late; ++i) {
    CHECK(gets_at(cache, "k", "v", AT(i)));
    usleep(20000);
    late = strcmp(query(PATH, "SELECT timestamp > 1 FROM cache"), "1") != 0;
  }
  CHECK(!late);
  dbc_free(cache);
}

TEST(a_write_waits_for_other_programs_and_then_says_busy) {
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(dbc_options_new(), DBC_BUSY_TIMEOUT_SECONDS, 0.1));
  const size_t one = 1;
  uint64_t removed = 7, version = 7;
  put(cache, "k", "v");
  FILE *program = popen("sqlite3 " PATH, "w");
  CHECK(program != NULL && fputs("BEGIN IMMEDIATE;\n.shell touch locked\n", program) >= 0 && fflush(program) == 0);
  while (!exists("locked")) usleep(1000);
  CHECK(refused(dbc_put(cache, KEY("k"), "w", 1, 0, NULL, &version), DBC_BUSY, PATH) && version == 0);
  CHECK(dbc_put_many(cache, 1, "x", &one, "y", &one, 0, NULL, NULL) == DBC_BUSY);
  CHECK(dbc_delete(cache, KEY("k")) == DBC_BUSY);
  CHECK(dbc_delete_many(cache, 1, "k", &one, &removed) == DBC_BUSY && removed == 0);
  CHECK(dbc_clear(cache) == DBC_BUSY);
  CHECK(dbc_purge_expired(cache, AT(1e12), &removed) == DBC_BUSY && removed == 0);
  CHECK(gets(cache, "k", "v"));  // readers wait for nobody
  CHECK(dbc_clear_memory(cache) == DBC_OK && gets(cache, "k", "v"));
  CHECK(count_of(cache) == 1 && stat_of(cache, DBC_STAT_TOTAL_PUTS) == 1);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_DELETES) == 0 && stat_of(cache, DBC_STAT_DISK_EXPIRED) == 0);
  CHECK(fputs("COMMIT;\n", program) >= 0 && pclose(program) == 0);
  CHECK(dbc_put(cache, KEY("k"), "w", 1, 0, NULL, NULL) == DBC_OK && gets(cache, "k", "w"));
  CHECK(dbc_flush(cache) == DBC_OK);
  dbc_free(cache);
}

TEST(space_is_used_again) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_SIZE_BYTES, 2 * MIB}));
  char *value = malloc(20000), key[16];
  memset(value, 'x', 20000);
  for (int i = 0; i < 3000; ++i) {
    snprintf(key, sizeof key, "k%d", i);
    CHECK(dbc_put(cache, KEY(key), value, (size_t)(5000 + i * 37 % 15000), 0, NULL, NULL) == DBC_OK);
  }
  dbc_free(cache);
  free(value);
  struct stat info;
  CHECK(stat(PATH, &info) == 0);
  CHECK(info.st_size < 3 * 2 * (off_t)MIB);  // 30 MiB went through
}

// Leaves a file of 500 items, key0 to key499, which is pages enough to damage some.
static void make_file(void) {
  dbc_cache *cache = open_default(PATH);
  char key[16], value[512];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = 0;
  for (int i = 0; i < 500; ++i) {
    snprintf(key, sizeof key, "key%d", i);
    put(cache, key, value);
  }
  dbc_free(cache);
}

// The same, damaged behind the first pages: that shows only in use.
static void make_damaged_file(void) {
  make_file();
  size_t size;
  char *bytes = read_file(PATH, &size);
  CHECK(size > 20 * 4096);
  memset(bytes + 4 * 4096, 0x5A, size - 4 * 4096);
  write_file(PATH, bytes, size);
  free(bytes);
}

// Whoever meets damage in use goes on with a fresh file, and so does everybody else.
TEST(damage_found_in_use_starts_a_fresh_cache) {
  make_damaged_file();
  dbc_cache *cache = open_default(PATH);
  dbc_cache *other = open_default(PATH);
  for (int i = 0; i < 500; ++i) {
    char key[16];
    snprintf(key, sizeof key, "key%d", i);
    dbc_value *found = NULL;
    dbc_status status = dbc_get(cache, KEY(key), NULL, &found);
    CHECK(status == DBC_NOT_FOUND || status == DBC_OK);
    dbc_value_release(found);
  }
  put(cache, "new", "value");
  CHECK(gets(cache, "new", "value") && gets(other, "new", "value"));
  put(other, "newer", "value");
  CHECK(gets(cache, "newer", "value") && count_of(cache) == 2 && count_of(other) == 2);
  dbc_free(cache);
  dbc_free(other);
  CHECK_TEXT(shell("ls | grep -c 'corrupt-[0-9TZ]*$'"), "1");
  cache = open_default(PATH);
  CHECK(gets(cache, "new", "value") && count_of(cache) == 2);
  dbc_free(cache);
}

// A file that was reported as damaged is known again by its identity, which is in the file and can be damaged as well.
TEST(damage_in_use_to_the_identity_of_the_file_too) {
  make_file();
  dbc_cache *cache = open_default(PATH);
  pid_t child = fork();  // in another process: here it would take SQLite's locks away
  if (child == 0) {
    size_t size, at = 0;
    char *bytes = read_file(PATH, &size);
    while (memcmp(bytes + at, "database_id", 11) != 0) ++at;
    bytes[at + 14] ^= 1;  // its number follows the name
    for (size_t page = 4096; page < size; page += 4096) {
      for (at = page; at < page + 4096 - 16 && memcmp(bytes + at, "vvvvvvvvvvvvvvvv", 16) != 0;) ++at;
      if (at < page + 4096 - 16) memset(bytes + page, 0x5A, 4096);
    }
    int file = open(PATH, O_RDWR);
    _exit(file >= 0 && pwrite(file, bytes, size, 0) == (ssize_t)size ? 0 : 1);
  }
  int status = 1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  CHECK(gets(cache, "key123", NULL));
  put(cache, "new", "value");
  CHECK(gets(cache, "new", "value") && count_of(cache) == 1);
  dbc_free(cache);
  CHECK_TEXT(shell("ls | grep -c 'corrupt-[0-9TZ]*$'"), "1");
}

// SQLite would open it, to be read only.
TEST(a_header_that_forbids_to_write_is_damage) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "key", "value");
  dbc_free(cache);
  size_t size;
  char *bytes = read_file(PATH, &size);
  bytes[18] = 3;
  write_file(PATH, bytes, size);
  free(bytes);
  dbc_options *options = OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL});
  CHECK(refused(dbc_open(PATH, "1.0.0", options, &cache), DBC_CORRUPT, PATH));
  dbc_options_free(options);
  cache = open_default(PATH);
  CHECK(gets(cache, "key", NULL));
  put(cache, "key", "value");
  dbc_free(cache);
  CHECK_TEXT(shell("ls | grep -c 'corrupt-[0-9TZ]*$'"), "1");
}

// That get is none of the fresh file's.
TEST(a_discard_that_meets_damage_counts_for_the_old_file_only) {
  make_file();
  dbc_cache *cache = open_default(PATH);
  dbc_value *value = NULL;
  CHECK(dbc_get(cache, KEY("key1"), NULL, &value) == DBC_OK);
  shell("dd if=/dev/zero of=" PATH " bs=4096 seek=4 count=40 conv=notrunc 2>&1");
  CHECK(dbc_discard(cache, KEY("key1"), dbc_value_version(value), 0) == DBC_OK);
  dbc_value_release(value);
  CHECK(files_like("*corrupt-*Z") == 1 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 0 && count_of(cache) == 0);
  put(cache, "k", "v");
  CHECK(dbc_clear_memory(cache) == DBC_OK && gets(cache, "k", "v"));
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 1 && stat_of(cache, DBC_STAT_MISSES) == 0);
  dbc_free(cache);
}

TEST(damage_found_in_use_is_an_error_if_wanted) {
  make_damaged_file();
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL}));
  CHECK(refused(dbc_put(cache, KEY("new"), "v", 1, 0, NULL, NULL), DBC_CORRUPT, PATH));
  CHECK(refused(dbc_put(cache, KEY("new"), "v", 1, 0, NULL, NULL), DBC_CORRUPT, PATH));
  dbc_free(cache);
  CHECK_TEXT(shell("ls | grep -c corrupt- || true"), "0");
}

// A reader does not wait for writers once for every item that it would like to remove.
TEST(many_expired_items_wait_once_for_a_busy_file) {
  dbc_options *options = OPTIONS({DBC_MAX_MEMORY_ITEMS, 0});
  options = with_double(with_double(options, DBC_DISK_TTL_SECONDS, 10), DBC_BUSY_TIMEOUT_SECONDS, 0.3);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  char keys[40];
  size_t sizes[20];
  for (int i = 0; i < 20; ++i) {
    keys[2 * i] = 'k', keys[2 * i + 1] = (char)('a' + i);
    sizes[i] = 2;
    CHECK(dbc_put(cache, keys + 2 * i, 2, "v", 1, 0, AT(0), NULL) == DBC_OK);
  }
  FILE *holder = popen("sqlite3 " PATH " >held", "w");
  CHECK(holder != NULL && fputs("BEGIN IMMEDIATE;\nSELECT 'held';\n", holder) >= 0 && fflush(holder) == 0);
  while (strcmp(shell("cat held 2>/dev/null || true"), "held") != 0) usleep(10000);
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  dbc_result *result = NULL;
  CHECK(dbc_get_many(cache, 20, keys, sizes, NULL, AT(100), &result) == DBC_OK);
  clock_gettime(CLOCK_MONOTONIC, &after);
  for (int i = 0; i < 20; ++i) CHECK(dbc_result_statuses(result)[i] == DBC_NOT_FOUND);
  dbc_result_free(result);
  CHECK(after.tv_sec - before.tv_sec < 4);  // one timeout, not twenty
  CHECK(pclose(holder) == 0);
  CHECK(count_of(cache) == 20);  // still to be removed
  CHECK(gets_at(cache, "ka", NULL, AT(100)) && count_of(cache) == 19);
  dbc_free(cache);
}
