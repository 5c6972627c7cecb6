// The file, as other programs see it.
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
