// The option compression: what it saves in the file, and that nobody notices anything else.
#include "support.h"

static void repeat(char *text, size_t size) {
  const char *part = "{\"name\": \"Ada\", \"tags\": [\"first\", \"last\"]}, ";
  for (size_t i = 0; i < size; ++i) text[i] = part[i % strlen(part)];
  text[size] = '\0';
}

TEST(values_are_given_as_they_are_by_default) {
  char text[1001];
  repeat(text, 1000);
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", text);
  CHECK_TEXT(query(PATH, "SELECT length(value) FROM cache"), "1000");
  dbc_free(cache);
  cache = open_with(PATH, "1.0.0", OPTIONS({DBC_COMPRESSION, DBC_COMPRESSION_NONE}));
  put(cache, "k", text);
  CHECK_TEXT(query(PATH, "SELECT length(value) FROM cache"), "1000");
  dbc_free(cache);
}

#ifdef DBC_WITH_ZSTD

TEST(values_are_smaller_in_the_file_and_whole_for_every_reader) {
  char text[5001];
  repeat(text, 5000);
  const size_t key_sizes[] = {1, 1}, value_sizes[] = {5000, 3};
  char values[5004];
  memcpy(values, text, 5000);
  memcpy(values + 5000, "abc", 4);
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_COMPRESSION, DBC_COMPRESSION_ZSTD}));
  dbc_cache *other = open_default(PATH);
  CHECK(dbc_put(cache, KEY("text"), text, 5000, DBC_TEXT, NULL, NULL) == DBC_OK);
  CHECK(dbc_put_many(cache, 2, "ab", key_sizes, values, value_sizes, 0, NULL, NULL) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT key, size, length(value) < 500, typeof(value) FROM cache ORDER BY key"),
             "a|5000|1|blob\nb|3|1|blob\ntext|5000|1|blob");
  CHECK(size_of(cache) == 10003 && size_of(other) == 10003);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  dbc_cache *both[] = {cache, other};
  for (int i = 0; i < 2; ++i) {
    CHECK(gets(both[i], "text", text) && gets(both[i], "a", text) && gets(both[i], "b", "abc"));
    CHECK(gets(both[i], "text", text));  // from memory
    CHECK(stat_of(both[i], DBC_STAT_DISK_HITS) == 3 && stat_of(both[i], DBC_STAT_MEMORY_HITS) == 1);
    CHECK(stat_of(both[i], DBC_STAT_MEMORY_BYTES) == 10003 && stat_of(both[i], DBC_STAT_DISK_BYTES) == 10003);
    dbc_value *value = NULL;
    CHECK(dbc_get(both[i], KEY("text"), NULL, &value) == DBC_OK && dbc_value_is_text(value) == 1);
    dbc_value_release(value);
    CHECK(dbc_get(both[i], KEY("a"), NULL, &value) == DBC_OK && dbc_value_is_text(value) == 0);
    dbc_value_release(value);
    CHECK(dbc_clear_memory(both[i]) == DBC_OK);
    dbc_result *result = NULL;
    CHECK(dbc_get_many(both[i], 2, "ab", key_sizes, NULL, NULL, &result) == DBC_OK);
    CHECK(dbc_result_sizes(result)[0] == 5000 && memcmp(dbc_result_data(result)[0], text, 5000) == 0);
    dbc_result_free(result);
  }
  // Stored as given, by whom the option is off.
  CHECK(dbc_put(other, KEY("text"), text, 5000, DBC_TEXT, NULL, NULL) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT length(value), typeof(value) FROM cache WHERE key = 'text'"), "5000|text");
  CHECK(gets(cache, "text", text));
  dbc_free(cache);
  dbc_free(other);
}

TEST(limits_count_what_was_given) {
  char text[1001];
  repeat(text, 1000);
  dbc_cache *cache = open_with(PATH, "1.0.0",
                               OPTIONS({DBC_COMPRESSION, DBC_COMPRESSION_ZSTD}, {DBC_MAX_DISK_SIZE_BYTES, 2500},
                                       {DBC_MAX_MEMORY_SIZE_BYTES, 1500}, {DBC_MAX_ITEM_SIZE_BYTES, 1000}));
  put_at(cache, "a", text, AT(1));
  put_at(cache, "b", text, AT(2));
  CHECK(count_of(cache) == 2 && stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1);
  put_at(cache, "c", text, AT(3));
  CHECK(count_of(cache) == 2 && gets_at(cache, "a", NULL, AT(3)));
  char large[2502];
  repeat(large, 2501);
  CHECK(refused(dbc_put(cache, KEY("large"), large, 2501, 0, NULL, NULL), DBC_INVALID_ARGUMENT, "max_disk_size_bytes"));
  large[1001] = '\0';
  put_at(cache, "d", large, AT(4));
  CHECK(tier_at(cache, "d", AT(4)) == DBC_TIER_DISK);
  dbc_free(cache);
}

// The column `value` is a frame as the zstd command writes it: nobody needs this library to read what is in the file.
TEST(a_compressed_value_is_a_zstd_frame) {
  char text[1001];
  repeat(text, 1000);
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_COMPRESSION, DBC_COMPRESSION_ZSTD}));
  put(cache, "k", text);
  CHECK_TEXT(query(PATH, "SELECT hex(substr(value, 1, 4)) FROM cache"), "28B52FFD");
  dbc_free(cache);
}

static int warnings;
static void count_warnings(void *context, int level, const char *message, size_t message_size) {
  (void)context, (void)message_size;
  if (level == DBC_LOG_WARNING && strstr(message, "checksum mismatch")) ++warnings;
}

TEST(a_damaged_compressed_value_is_a_miss) {
  char text[1001];
  repeat(text, 1000);
  dbc_options *options = OPTIONS({DBC_COMPRESSION, DBC_COMPRESSION_ZSTD}, {DBC_MAX_MEMORY_ITEMS, 0});
  CHECK(dbc_options_set_log(options, count_warnings, NULL, NULL) == DBC_OK);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  put(cache, "a", text);
  put(cache, "b", text);
  put(cache, "c", text);
  query(PATH, "UPDATE item SET data = substr(data, 1, length(data) - 1) WHERE key = 'a'");
  query(PATH, "UPDATE item SET data = x'28B52FFDE000000000010000004300000000' WHERE key = 'b'");
  CHECK(gets(cache, "a", NULL) && gets(cache, "b", NULL) && gets(cache, "c", text));
  CHECK(warnings == 2 && stat_of(cache, DBC_STAT_DISCARDED) == 2);
  CHECK(count_of(cache) == 1 && size_of(cache) == 1000);
  put(cache, "a", text);
  CHECK(gets(cache, "a", text));
  dbc_free(cache);
}

TEST(a_check_looks_into_compressed_values) {
  char text[1001], report[2000];
  repeat(text, 1000);
  dbc_cache *cache =
      open_with(PATH, "1.0.0", OPTIONS({DBC_COMPRESSION, DBC_COMPRESSION_ZSTD}, {DBC_MAX_MEMORY_ITEMS, 0}));
  put(cache, "sound", text);
  put(cache, "cut", text);
  put(cache, "other", text);
  put(cache, "unknown", text);
  uint64_t problems = 7;
  CHECK(dbc_check(cache, 0, report, sizeof report, &problems) == DBC_OK);
  CHECK_TEXT(report, "");
  CHECK(problems == 0);
  query(PATH, "UPDATE item SET data = substr(data, 1, length(data) - 1) WHERE key = 'cut'");
  query(PATH, "UPDATE item SET checksum = checksum + 1 WHERE key = 'other'");
  query(PATH, "UPDATE item SET encoding = 9 WHERE key = 'unknown'");
  CHECK(dbc_check(cache, DBC_CHECK_REPAIR, report, sizeof report, &problems) == DBC_OK && problems == 3);
  CHECK(strstr(report, "(key='cut'): the value cannot be decompressed") != NULL);
  CHECK(strstr(report, "(key='other'): the checksum does not match") != NULL);
  CHECK(strstr(report, "(key='unknown'): the value is stored in an unknown way") != NULL);
  CHECK(count_of(cache) == 1 && gets(cache, "sound", text));
  dbc_free(cache);
}

#else

TEST(without_zstd_the_option_is_refused) {
  dbc_options *options = dbc_options_new();
  CHECK(refused(dbc_options_set_u64(options, DBC_COMPRESSION, DBC_COMPRESSION_ZSTD), DBC_INVALID_ARGUMENT,
                "compression needs zstd, which this build of libdbc lacks"));
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  put(cache, "k", "v");
  dbc_free(cache);
}

static int warnings;
static void count_warnings(void *context, int level, const char *message, size_t message_size) {
  (void)context, (void)message_size;
  if (level == DBC_LOG_WARNING && strstr(message, "no zstd")) ++warnings;
}

// Another build has put it.
TEST(without_zstd_a_compressed_value_is_a_miss) {
  dbc_options *options = dbc_options_new();
  CHECK(dbc_options_set_log(options, count_warnings, NULL, NULL) == DBC_OK);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  put(cache, "k", "v");
  put(cache, "other", "v");
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  query(PATH, "UPDATE item SET encoding = 1 WHERE key = 'k'");
  CHECK(gets(cache, "k", NULL) && gets(cache, "other", "v"));
  CHECK(warnings == 1 && stat_of(cache, DBC_STAT_DISCARDED) == 1 && count_of(cache) == 1);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

#endif
