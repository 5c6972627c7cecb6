// What bindings that keep decoded objects build on: conditional gets, the list of what was dropped, discards.
#include "support.h"

// As dbc_get_changed; the value, if any, must be `text`.
static dbc_status changed(dbc_cache *cache, const char *key, uint64_t held, const double *time, const char *text) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get_changed(cache, KEY(key), held, time, &value);
  CHECK((status == DBC_OK) == (value != NULL));
  if (value) {
    CHECK(text && dbc_value_size(value) == strlen(text));
    CHECK(memcmp(dbc_value_data(value), text, strlen(text)) == 0);
    dbc_value_release(value);
  }
  return status;
}

TEST(get_changed) {
  dbc_cache *cache = open_default(PATH);
  CHECK(changed(cache, "k", 0, NULL, NULL) == DBC_NOT_FOUND);
  CHECK(changed(cache, "k", 1234, NULL, NULL) == DBC_NOT_FOUND);
  uint64_t first = put(cache, "k", "one");
  CHECK(changed(cache, "k", first, NULL, NULL) == DBC_UNCHANGED);
  CHECK(changed(cache, "k", 0, NULL, "one") == DBC_OK);
  CHECK(changed(cache, "k", first + 1, NULL, "one") == DBC_OK);
  uint64_t second = put(cache, "k", "two");
  CHECK(changed(cache, "k", first, NULL, "two") == DBC_OK);
  CHECK(changed(cache, "k", second, NULL, NULL) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 5 && stat_of(cache, DBC_STAT_MISSES) == 2);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(changed(cache, "k", second, NULL, NULL) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 1);
  CHECK(gets(cache, "k", "two"));  // promoted with its bytes
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 6);
  dbc_free(cache);
}

TEST(get_changed_touches_and_expires) {
  dbc_options *options = with_double(dbc_options_new(), DBC_MEMORY_TTL_SECONDS, 10);
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, 20));
  uint64_t version = put_at(cache, "k", "v", AT(100));
  CHECK(changed(cache, "k", version, AT(110), NULL) == DBC_UNCHANGED);
  CHECK(changed(cache, "k", version, AT(120), NULL) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 2);
  CHECK(changed(cache, "k", version, AT(135), NULL) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 1);
  CHECK(changed(cache, "k", version, AT(156), NULL) == DBC_NOT_FOUND);
  CHECK(stat_of(cache, DBC_STAT_DISK_EXPIRED) == 1 && count_of(cache) == 0);
  dbc_free(cache);
}

// As dbc_get_from_memory, with the same checks.
static dbc_status from_memory(dbc_cache *cache, const char *key, uint64_t held, const double *time, const char *text) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get_from_memory(cache, KEY(key), held, time, &value);
  CHECK((status == DBC_OK) == (value != NULL));
  if (value)
    CHECK(text && dbc_value_size(value) == strlen(text) && memcmp(dbc_value_data(value), text, strlen(text)) == 0);
  return dbc_value_release(value), status;
}

TEST(get_from_memory_is_a_memory_hit_or_nothing_at_all) {
  dbc_options *options = with_double(dbc_options_new(), DBC_MEMORY_TTL_SECONDS, 10);
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, 20));
  CHECK(from_memory(cache, "k", 0, AT(100), NULL) == DBC_NOT_FOUND);
  uint64_t version = put_at(cache, "k", "value", AT(100));
  CHECK(from_memory(cache, "k", version, AT(101), NULL) == DBC_UNCHANGED);
  CHECK(from_memory(cache, "k", 0, AT(102), "value") == DBC_OK);
  CHECK(from_memory(cache, "k", version - 1, AT(109), "value") == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 3 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 3);
  CHECK(from_memory(cache, "k", version, AT(118), NULL) == DBC_UNCHANGED);  // the one before has touched it
  // Too old for memory, and for the disk: both are for a get to find.
  CHECK(from_memory(cache, "k", version, AT(129), NULL) == DBC_NOT_FOUND);
  CHECK(from_memory(cache, "k", version, AT(139), NULL) == DBC_NOT_FOUND);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 4 && stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1);
  CHECK(changed(cache, "k", version, AT(130), NULL) == DBC_UNCHANGED && stat_of(cache, DBC_STAT_DISK_HITS) == 1);
  CHECK(from_memory(cache, "k", version, AT(131), NULL) == DBC_UNCHANGED);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(from_memory(cache, "k", version, AT(131), NULL) == DBC_NOT_FOUND);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 6 && stat_of(cache, DBC_STAT_MISSES) == 0);
  dbc_free(cache);
}

TEST(get_from_memory_leaves_what_others_have_changed_to_a_get) {
  dbc_cache *cache = open_default(PATH), *other = open_default(PATH);
  uint64_t first = put(cache, "k", "one"), second = put(other, "k", "two");
  CHECK(from_memory(cache, "k", first, NULL, NULL) == DBC_NOT_FOUND);
  CHECK(changed(cache, "k", first, NULL, "two") == DBC_OK);
  CHECK(from_memory(cache, "k", second, NULL, NULL) == DBC_UNCHANGED);
  CHECK(dbc_delete(other, KEY("k")) == DBC_OK);
  CHECK(from_memory(cache, "k", second, NULL, NULL) == DBC_NOT_FOUND);
  CHECK(changed(cache, "k", second, NULL, NULL) == DBC_NOT_FOUND);
  dbc_free(other);
  dbc_free(cache);
}

static dbc_cache *open_valueless(const char *path, uint64_t memory_items) {
  return open_with(path, "1.0.0", OPTIONS({DBC_MEMORY_VALUES, 0}, {DBC_MAX_MEMORY_ITEMS, memory_items}));
}

TEST(without_memory_values_only_a_held_version_hits_memory) {
  dbc_cache *cache = open_valueless(PATH, 10);
  uint64_t version = put(cache, "k", "value");
  CHECK(tier_of(cache, "k") == DBC_TIER_MEMORY);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1 && stat_of(cache, DBC_STAT_MEMORY_BYTES) == 5);
  CHECK(changed(cache, "k", version, NULL, NULL) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 1 && stat_of(cache, DBC_STAT_DISK_HITS) == 0);
  CHECK(from_memory(cache, "k", 0, NULL, NULL) == DBC_NOT_FOUND);
  CHECK(gets(cache, "k", "value"));
  CHECK(changed(cache, "k", 0, NULL, "value") == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 1 && stat_of(cache, DBC_STAT_DISK_HITS) == 2);
  CHECK(changed(cache, "k", version, NULL, NULL) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 2);
  CHECK(dbc_clear_memory(cache) == DBC_OK && tier_of(cache, "k") == DBC_TIER_DISK);
  CHECK(changed(cache, "k", version, NULL, NULL) == DBC_UNCHANGED);
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 3 && tier_of(cache, "k") == DBC_TIER_MEMORY);
  char buffer[8];
  size_t size = 0;
  CHECK(dbc_get_into(cache, KEY("k"), NULL, buffer, sizeof buffer, &size, NULL) == DBC_OK && size == 5);
  CHECK(memcmp(buffer, "value", 5) == 0);
  dbc_free(cache);
}

TEST(without_memory_values_another_handle_is_seen) {
  dbc_cache *cache = open_valueless(PATH, 10), *other = open_default(PATH);
  uint64_t version = put(cache, "k", "one");
  CHECK(changed(cache, "k", version, NULL, NULL) == DBC_UNCHANGED);
  put(other, "k", "two");
  CHECK(changed(cache, "k", version, NULL, "two") == DBC_OK);
  CHECK(dbc_delete(other, KEY("k")) == DBC_OK);
  CHECK(changed(cache, "k", version, NULL, NULL) == DBC_NOT_FOUND);
  dbc_free(cache);
  dbc_free(other);
}

// The dropped versions, all of them, as text "v1 v2 ..." relative to `base`.
static const char *dropped(dbc_cache *cache, uint64_t base) {
  static char text[4096];
  uint64_t versions[2];
  size_t count = 0, size = 0;
  int overflowed = 7;
  text[0] = '\0';
  do {
    CHECK(dbc_dropped(cache, versions, 2, &count, &overflowed) == DBC_OK && overflowed == 0 && count <= 2);
    for (size_t i = 0; i < count; ++i) {
      size +=
          (size_t)snprintf(text + size, sizeof text - size, "%s%lld", size ? " " : "", (long long)(versions[i] - base));
    }
  } while (count == 2);
  return text;
}

TEST(dropped_tells_what_left_memory) {
  dbc_cache *cache = open_valueless(PATH, 3);
  CHECK_TEXT(dropped(cache, 0), "");
  uint64_t a = put_at(cache, "a", "1", AT(1)), b = put_at(cache, "b", "1", AT(2)), c = put_at(cache, "c", "1", AT(3));
  CHECK_TEXT(dropped(cache, a), "");
  uint64_t d = put_at(cache, "d", "1", AT(4));  // a is evicted
  CHECK_TEXT(dropped(cache, a), "0");
  CHECK_TEXT(dropped(cache, a), "");
  uint64_t b2 = put_at(cache, "b", "2", AT(5));  // replaced
  CHECK_TEXT(dropped(cache, b), "0");
  CHECK(dbc_delete(cache, KEY("c")) == DBC_OK);
  CHECK_TEXT(dropped(cache, c), "0");
  CHECK(dbc_purge_expired(cache, AT(4 + 300.5), NULL) == DBC_OK);  // past the memory TTL
  CHECK_TEXT(dropped(cache, d), "0");
  CHECK(gets_at(cache, "d", "1", AT(305)));
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  char expected[64];
  const char *got = dropped(cache, b2);
  snprintf(expected, sizeof expected, "0 %lld", (long long)(d - b2));
  if (strcmp(got, expected) != 0) snprintf(expected, sizeof expected, "%lld 0", (long long)(d - b2));
  CHECK_TEXT(got, expected);  // both, in any order: they left at once
  dbc_free(cache);
}

TEST(dropped_lists_the_oldest_first) {
  dbc_cache *cache = open_valueless(PATH, 1);
  uint64_t base = put_at(cache, "0", "1", AT(0));
  char key[8];
  for (int i = 1; i <= 7; ++i) {
    snprintf(key, sizeof key, "%d", i);
    put_at(cache, key, "1", AT(i));
  }
  uint64_t versions[16], last = 0;
  size_t count = 0;
  CHECK(dbc_dropped(cache, versions, 16, &count, NULL) == DBC_OK && count == 7);
  CHECK(versions[0] == base);
  for (size_t i = 0; i < count; ++i) CHECK(versions[i] > last), last = versions[i];
  dbc_free(cache);
}

TEST(dropped_is_empty_with_memory_values) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 1}));
  put(cache, "a", "1");
  put(cache, "b", "1");
  CHECK(dbc_delete(cache, KEY("b")) == DBC_OK);
  CHECK_TEXT(dropped(cache, 0), "");
  dbc_free(cache);
}

TEST(dropped_overflows_once) {
  enum { kBatch = 16384, kRounds = 65 };  // each round but the first replaces kBatch items: 1 048 576 in all
  dbc_cache *cache = open_valueless(":memory:", kBatch);
  char *keys = malloc(kBatch * 5 + 1);
  size_t *sizes = malloc(kBatch * sizeof *sizes), *none = calloc(kBatch, sizeof *none);
  uint64_t versions[4];
  size_t count = 7;
  int overflowed = 7;
  for (int i = 0; i < kBatch; ++i) snprintf(keys + i * 5, 6, "%05d", i), sizes[i] = 5;
  for (int round = 0; round < kRounds; ++round) {
    CHECK(dbc_put_many(cache, kBatch, keys, sizes, NULL, none, 0, AT(round), NULL) == DBC_OK);
  }
  CHECK(dbc_dropped(cache, versions, 0, &count, &overflowed) == DBC_OK && overflowed == 0);  // full, not over
  CHECK(dbc_delete(cache, keys, 5) == DBC_OK);
  CHECK(dbc_dropped(cache, versions, 4, &count, &overflowed) == DBC_OK);
  CHECK(overflowed == 1);
  while (count == 4) CHECK(dbc_dropped(cache, versions, 4, &count, &overflowed) == DBC_OK && overflowed == 0);
  CHECK(dbc_dropped(cache, versions, 4, &count, &overflowed) == DBC_OK && overflowed == 0 && count == 0);
  CHECK(dbc_delete(cache, keys + 5, 5) == DBC_OK);
  CHECK(dbc_dropped(cache, versions, 4, &count, &overflowed) == DBC_OK && overflowed == 0 && count == 1);
  free(keys), free(sizes), free(none);
  dbc_free(cache);
}

TEST(discard_turns_a_hit_into_a_miss) {
  dbc_cache *cache = open_default(PATH);
  uint64_t version = put(cache, "memory", "v");
  CHECK(gets(cache, "memory", "v"));
  CHECK(dbc_discard(cache, KEY("memory"), version, 1) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 0 && stat_of(cache, DBC_STAT_MISSES) == 1);
  CHECK(stat_of(cache, DBC_STAT_DISCARDED) == 1 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 1);
  CHECK(gets(cache, "memory", NULL) && count_of(cache) == 0 && size_of(cache) == 0);
  version = put(cache, "disk", "v");
  CHECK(dbc_clear_memory(cache) == DBC_OK && gets(cache, "disk", "v"));
  CHECK(dbc_discard(cache, KEY("disk"), version, 0) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 0 && stat_of(cache, DBC_STAT_MISSES) == 3);
  CHECK(stat_of(cache, DBC_STAT_DISCARDED) == 2 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 3);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_DELETES) == 0 && count_of(cache) == 0);
  dbc_free(cache);
}

TEST(discard_leaves_a_newer_item) {
  dbc_cache *cache = open_default(PATH);
  uint64_t version = put(cache, "k", "bad");
  CHECK(gets(cache, "k", "bad"));
  put(cache, "k", "good");
  CHECK(dbc_discard(cache, KEY("k"), version, 1) == DBC_OK);
  CHECK(gets(cache, "k", "good"));
  CHECK(dbc_clear_memory(cache) == DBC_OK && gets(cache, "k", "good"));
  CHECK(dbc_discard(cache, KEY("absent"), version, 0) == DBC_OK);
  dbc_free(cache);
}

TEST(discard_never_drives_a_counter_below_zero) {
  dbc_cache *cache = open_default(PATH);
  uint64_t version = put(cache, "k", "v");
  CHECK(dbc_discard(cache, KEY("k"), version, 1) == DBC_OK);
  uint64_t stats[DBC_STAT_COUNT];
  CHECK(dbc_stats(cache, stats, DBC_STAT_COUNT, NULL) == DBC_OK);
  CHECK(stats[DBC_STAT_TOTAL_GETS] == stats[DBC_STAT_MEMORY_HITS] + stats[DBC_STAT_DISK_HITS] + stats[DBC_STAT_MISSES]);
  CHECK(stats[DBC_STAT_MEMORY_HITS] < 1000 && stats[DBC_STAT_MISSES] < 1000);
  dbc_free(cache);
}
