// Versions, status names, and every option: its type, its range, its default.
#include "support.h"

TEST(versions_match_the_header) {
  CHECK_TEXT(dbc_version_text(), DBC_VERSION_TEXT);
  CHECK(dbc_abi_version() == DBC_ABI_VERSION);
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", DBC_VERSION_MAJOR, DBC_VERSION_MINOR, DBC_VERSION_PATCH);
  CHECK_TEXT(DBC_VERSION_TEXT, text);
}

TEST(status_names) {
  CHECK_TEXT(dbc_status_name(DBC_OK), "DBC_OK");
  CHECK_TEXT(dbc_status_name(DBC_NOT_FOUND), "DBC_NOT_FOUND");
  CHECK_TEXT(dbc_status_name(DBC_UNCHANGED), "DBC_UNCHANGED");
  CHECK_TEXT(dbc_status_name(DBC_INVALID_ARGUMENT), "DBC_INVALID_ARGUMENT");
  CHECK_TEXT(dbc_status_name(DBC_CLOSED), "DBC_CLOSED");
  CHECK_TEXT(dbc_status_name(DBC_BUSY), "DBC_BUSY");
  CHECK_TEXT(dbc_status_name(DBC_IO), "DBC_IO");
  CHECK_TEXT(dbc_status_name(DBC_FULL), "DBC_FULL");
  CHECK_TEXT(dbc_status_name(DBC_CORRUPT), "DBC_CORRUPT");
  CHECK_TEXT(dbc_status_name(DBC_VERSION), "DBC_VERSION");
  CHECK_TEXT(dbc_status_name(DBC_FOREIGN), "DBC_FOREIGN");
  CHECK_TEXT(dbc_status_name(DBC_NO_MEMORY), "DBC_NO_MEMORY");
  CHECK_TEXT(dbc_status_name(DBC_BUFFER_TOO_SMALL), "DBC_BUFFER_TOO_SMALL");
  CHECK_TEXT(dbc_status_name(DBC_INTERNAL), "DBC_INTERNAL");
  const int unknown[] = {-1, 3, 15, 27, 1000, 2147483647};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; ++i) CHECK_TEXT(dbc_status_name(unknown[i]), "DBC_UNKNOWN");
}

static const struct {
  dbc_option option;
  const char *name;
  int is_double;
  double good[4];  // ended by -1
  double bad[5];   // ended by 0 after the first; integers are given as doubles, all of them exact
} kOptions[] = {
    {DBC_MAX_MEMORY_ITEMS, "max_memory_items", 0, {0, 1, 4294967296.0, -1}, {-1}},
    {DBC_MAX_MEMORY_SIZE_BYTES, "max_memory_size_bytes", 0, {0, 1, 1099511627776.0, -1}, {-1}},
    {DBC_MAX_DISK_ITEMS, "max_disk_items", 0, {1, 2, 4294967296.0, -1}, {0, -1}},
    {DBC_MAX_DISK_SIZE_BYTES, "max_disk_size_bytes", 0, {1, 2, 1099511627776.0, -1}, {0, -1}},
    {DBC_MEMORY_TTL_SECONDS, "memory_ttl_seconds", 1, {1e-9, 1, INFINITY, -1}, {0, -0.5, -INFINITY, NAN, -1}},
    {DBC_DISK_TTL_SECONDS, "disk_ttl_seconds", 1, {1e-9, 1, INFINITY, -1}, {0, -0.5, -INFINITY, NAN, -1}},
    {DBC_MAX_ITEM_SIZE_BYTES, "max_item_size_bytes", 0, {0, 1, 4294967296.0, -1}, {-1}},
    {DBC_MEMORY_VALUES, "memory_values", 0, {0, 1, -1}, {2, 4294967296.0, -1}},
    {DBC_DURABILITY, "durability", 0, {0, 1, 2, -1}, {3, 4294967296.0, -1}},
    {DBC_BUSY_TIMEOUT_SECONDS, "busy_timeout_seconds", 1, {0, 0.5, 86400, -1}, {-0.5, 86400.5, INFINITY, NAN, -1}},
    {DBC_LOG_LEVEL, "log_level", 0, {5, 40, 100, -1}, {4294967296.0 + 20, -1}},
    {DBC_ON_CORRUPT, "on_corrupt", 0, {0, 1, -1}, {2, 4294967297.0, -1}},
    {DBC_TOUCH_DELAY_SECONDS, "touch_delay_seconds", 1, {1e-3, 1, 3600, -1}, {0, -0.5, 3600.5, NAN, -1}},
    {DBC_FILE_MODE, "file_mode", 0, {0600, 0640, 0666, -1}, {0200000, 4294967296.0 + 0600, -1}},
#ifdef DBC_WITH_ZSTD
    {DBC_COMPRESSION, "compression", 0, {0, 1, -1}, {2, 4294967297.0, -1}},
#else
    {DBC_COMPRESSION, "compression", 0, {0, -1}, {1, 2, 4294967297.0, -1}},
#endif
};
enum { kOptionCount = sizeof kOptions / sizeof *kOptions };

static dbc_status set(dbc_options *options, size_t i, double value) {
  return kOptions[i].is_double ? dbc_options_set_double(options, kOptions[i].option, value)
                               : dbc_options_set_u64(options, kOptions[i].option, (uint64_t)value);
}

TEST(options_take_what_is_in_range) {
  for (size_t i = 0; i < kOptionCount; ++i) {
    for (const double *value = kOptions[i].good; *value != -1; ++value) {
      // One open each: a value that is taken must also work.
      dbc_options *options = dbc_options_new();
      if (set(options, i, *value) != DBC_OK) CHECK_TEXT(dbc_last_error(), kOptions[i].name);
      dbc_cache *cache = open_with(PATH, "1.0.0", options);
      put(cache, "k", "");
      dbc_free(cache);
    }
  }
}

TEST(options_refuse_what_is_out_of_range) {
  dbc_options *options = dbc_options_new();
  for (size_t i = 0; i < kOptionCount; ++i) {
    for (const double *value = kOptions[i].bad; *value != -1; ++value) {
      CHECK(refused(set(options, i, *value), DBC_INVALID_ARGUMENT, kOptions[i].name));
    }
  }
  dbc_options_free(options);
}

TEST(options_refuse_another_type) {
  dbc_options *options = dbc_options_new();
  for (size_t i = 0; i < kOptionCount; ++i) {
    dbc_status status = kOptions[i].is_double ? dbc_options_set_u64(options, kOptions[i].option, 1)
                                              : dbc_options_set_double(options, kOptions[i].option, 1.0);
    CHECK(refused(status, DBC_INVALID_ARGUMENT, kOptions[i].name));
  }
  dbc_options_free(options);
}

TEST(options_refuse_unknown_ones) {
  dbc_options *options = dbc_options_new();
  const int unknown[] = {0, 99, 999, -1};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; ++i) {
    char number[16];
    snprintf(number, sizeof number, "%d", unknown[i]);
    // As bits: an enum may be unsigned, and the message may say so.
    const char *part = unknown[i] < 0 ? "option" : number;
    CHECK(refused(dbc_options_set_u64(options, (dbc_option)unknown[i], 1), DBC_INVALID_ARGUMENT, part));
    CHECK(refused(dbc_options_set_double(options, (dbc_option)unknown[i], 1), DBC_INVALID_ARGUMENT, part));
  }
  dbc_options_free(options);
}

TEST(options_null_handle) {
  dbc_options_free(NULL);
  CHECK(dbc_options_set_u64(NULL, DBC_MAX_DISK_ITEMS, 1) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_options_set_double(NULL, DBC_DISK_TTL_SECONDS, 1) == DBC_INVALID_ARGUMENT);
}

TEST(options_keep_their_value_when_one_is_refused) {
  dbc_options *options = OPTIONS({DBC_MAX_DISK_ITEMS, 2});
  with_double(options, DBC_DISK_TTL_SECONDS, 50);
  CHECK(dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, 0) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_options_set_double(options, DBC_DISK_TTL_SECONDS, NAN) == DBC_INVALID_ARGUMENT);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  put_at(cache, "c", "1", AT(3));
  CHECK(count_of(cache) == 2);
  CHECK(gets_at(cache, "b", "1", AT(52)));
  CHECK(gets_at(cache, "c", NULL, AT(54)));
  dbc_free(cache);
}

TEST(options_are_copied_and_serve_many_caches) {
  dbc_options *options = OPTIONS({DBC_MAX_DISK_ITEMS, 2});
  dbc_cache *first = NULL, *second = NULL;
  CHECK(dbc_open("first.db", "1", options, &first) == DBC_OK);
  CHECK(dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, 1) == DBC_OK);
  CHECK(dbc_open("second.db", "1", options, &second) == DBC_OK);
  dbc_options_free(options);
  for (int i = 0; i < 3; ++i) {
    const char *keys[] = {"a", "b", "c"};
    put_at(first, keys[i], "1", AT(i));
    put_at(second, keys[i], "1", AT(i));
  }
  CHECK(count_of(first) == 2);
  CHECK(count_of(second) == 1);
  dbc_free(first);
  dbc_free(second);
}

TEST(options_accept_the_largest_limits) {
  dbc_cache *cache = open_with(PATH, "1.0.0",
                               OPTIONS({DBC_MAX_MEMORY_ITEMS, INT64_MAX}, {DBC_MAX_MEMORY_SIZE_BYTES, INT64_MAX},
                                       {DBC_MAX_DISK_ITEMS, INT64_MAX}, {DBC_MAX_DISK_SIZE_BYTES, INT64_MAX},
                                       {DBC_MAX_ITEM_SIZE_BYTES, INT64_MAX}));
  put(cache, "a", "1");
  put(cache, "b", "2");
  CHECK(gets(cache, "a", "1") && gets(cache, "b", "2"));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 2);
  dbc_free(cache);
}

TEST(default_max_item_size_is_one_mebibyte) {
  dbc_cache *cache = open_default(PATH);
  char *data = calloc(1, MIB + 1);
  CHECK(dbc_put(cache, KEY("fits"), data, MIB, 0, NULL, NULL) == DBC_OK);
  CHECK(dbc_put(cache, KEY("large"), data, MIB + 1, 0, NULL, NULL) == DBC_OK);
  CHECK(tier_of(cache, "fits") == DBC_TIER_MEMORY);
  CHECK(tier_of(cache, "large") == DBC_TIER_DISK);
  free(data);
  dbc_free(cache);
}

TEST(default_ttls) {
  dbc_cache *cache = open_default(PATH);
  put_at(cache, "k", "v", AT(1000));
  CHECK(tier_at(cache, "k", AT(1300)) == DBC_TIER_MEMORY);
  CHECK(tier_at(cache, "k", AT(1300.5)) == DBC_TIER_DISK);
  CHECK(tier_at(cache, "k", AT(1000 + 604800)) == DBC_TIER_DISK);
  CHECK(tier_at(cache, "k", AT(1000 + 604800.5)) == DBC_TIER_NONE);
  dbc_free(cache);
}

TEST(default_memory_limits) {
  dbc_cache *cache = open_default(":memory:");
  enum { kCount = 10001 };
  char *keys = malloc(kCount * 5 + 1);
  size_t *key_sizes = malloc(kCount * sizeof(size_t)), *value_sizes = calloc(kCount, sizeof(size_t));
  for (int i = 0; i < kCount; ++i) {
    snprintf(keys + i * 5, 6, "%05d", i);
    key_sizes[i] = 5;
  }
  CHECK(dbc_put_many(cache, kCount, keys, key_sizes, NULL, value_sizes, 0, AT(1), NULL) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 10000);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_DISK_ITEMS) == kCount);
  CHECK(tier_at(cache, "00000", AT(1)) == DBC_TIER_DISK);
  CHECK(tier_at(cache, "00001", AT(1)) == DBC_TIER_MEMORY);
  CHECK(dbc_clear(cache) == DBC_OK);
  char *data = calloc(1, MIB);
  for (int i = 0; i < 65; ++i) CHECK(dbc_put(cache, keys + i * 5, 5, data, MIB, 0, AT(i), NULL) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 64 * (uint64_t)MIB);
  CHECK(tier_at(cache, "00000", AT(65)) == DBC_TIER_DISK);
  CHECK(tier_at(cache, "00001", AT(65)) == DBC_TIER_MEMORY);
  free(keys), free(key_sizes), free(value_sizes), free(data);
  dbc_free(cache);
}

TEST(default_max_disk_size_is_one_gibibyte) {
  dbc_cache *cache = open_default(PATH);
  // The size is refused before a byte is looked at.
  CHECK(dbc_put(cache, KEY("k"), "v", 1073741825u, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK_TEXT(dbc_last_error(), "Item size (1073741825 bytes) exceeds max_disk_size_bytes (1073741824 bytes)");
  dbc_free(cache);
}

// What SQLite refuses to store would look like damage.
TEST(the_largest_value_is_named) {
  dbc_options *options = dbc_options_new();
  CHECK(dbc_options_set_u64(options, DBC_MAX_DISK_SIZE_BYTES, UINT64_C(4000000000)) == DBC_OK);
  dbc_cache *cache = NULL;
  CHECK(dbc_open(PATH, "1.0.0", options, &cache) == DBC_OK);
  dbc_options_free(options);
  CHECK(dbc_put(cache, KEY("k"), "v", 999995905u, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK_TEXT(dbc_last_error(), "Item size (999995905 bytes) exceeds the largest value of SQLite (999995904 bytes)");
  dbc_free(cache);
}

static unsigned mode_of(const char *path) {
  struct stat info;
  CHECK(stat(path, &info) == 0);
  return info.st_mode & 07777;
}

TEST(file_mode) {
  umask(0);
  dbc_cache *cache = open_default("private.db");
  put(cache, "k", "v");
  CHECK(mode_of("private.db") == 0600);
  CHECK(mode_of("private.db-wal") == 0600);
  CHECK(mode_of("private.db-dbc") == 0600);
  dbc_free(cache);
  cache = open_with("group.db", "1.0.0", OPTIONS({DBC_FILE_MODE, 0640}));
  put(cache, "k", "v");
  CHECK(mode_of("group.db") == 0640);
  CHECK(mode_of("group.db-wal") == 0640);
  CHECK(mode_of("group.db-dbc") == 0640);
  dbc_free(cache);
}

TEST(durability_modes_all_keep_what_was_closed) {
  for (uint64_t mode = DBC_DURABILITY_NORMAL; mode <= DBC_DURABILITY_OFF; ++mode) {
    dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_DURABILITY, mode}));
    put(cache, "k", "v");
    dbc_free(cache);
    cache = open_with(PATH, "1.0.0", OPTIONS({DBC_DURABILITY, mode}));
    CHECK(gets(cache, "k", "v"));
    dbc_free(cache);
  }
}
