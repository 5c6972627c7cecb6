// The numbers that dbc_stats gives.
#include "support.h"

TEST(stat_names) {
  const char *names[] = {"memory_hits",  "disk_hits",  "misses",         "memory_evictions",     "disk_evictions",
                         "total_puts",   "total_gets", "total_deletes",  "current_memory_items", "current_disk_items",
                         "memory_bytes", "disk_bytes", "memory_expired", "disk_expired",         "discarded"};
  CHECK(sizeof names / sizeof *names == DBC_STAT_COUNT);
  for (size_t i = 0; i < DBC_STAT_COUNT; ++i) CHECK_TEXT(dbc_stat_name(i), names[i]);
  CHECK(dbc_stat_name(DBC_STAT_COUNT) == NULL && dbc_stat_name(SIZE_MAX) == NULL);
}

TEST(stats_fill_what_there_is_room_for) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  uint64_t values[DBC_STAT_COUNT + 5];
  size_t count = 0;
  for (size_t capacity = 0; capacity <= DBC_STAT_COUNT + 5; ++capacity) {
    memset(values, 0xEE, sizeof values);
    CHECK(dbc_stats(cache, values, capacity, &count) == DBC_OK && count == DBC_STAT_COUNT);
    for (size_t i = 0; i < DBC_STAT_COUNT + 5; ++i) {
      CHECK((values[i] == UINT64_C(0xEEEEEEEEEEEEEEEE)) == (i >= capacity || i >= DBC_STAT_COUNT));
    }
  }
  dbc_free(cache);
}

TEST(step_17_misses) {
  dbc_cache *cache = open_default(PATH);
  CHECK(stat_of(cache, DBC_STAT_MISSES) == 0);
  CHECK(gets(cache, "absent", NULL) && gets(cache, "absent", NULL));
  CHECK(stat_of(cache, DBC_STAT_MISSES) == 2 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 2);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  CHECK(stat_of(cache, DBC_STAT_MISSES) == 2);
  dbc_free(cache);
}

TEST(step_18_hits) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v") && gets(cache, "k", "v"));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 2 && stat_of(cache, DBC_STAT_DISK_HITS) == 0);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(gets(cache, "k", "v"));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 2 && stat_of(cache, DBC_STAT_DISK_HITS) == 1);
  CHECK(stat_of(cache, DBC_STAT_MISSES) == 0 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 3);
  dbc_free(cache);
}

TEST(step_19_evictions) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 2}, {DBC_MAX_DISK_ITEMS, 4}));
  const char *keys[] = {"a", "b", "c", "d", "e", "f"};
  for (int i = 0; i < 6; ++i) put_at(cache, keys[i], "v", AT(i));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 4 && stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 2);
  CHECK(dbc_clear(cache) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 4 && stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 2);
  dbc_free(cache);
}

TEST(step_20_operations) {
  dbc_cache *cache = open_default(PATH);
  const size_t sizes[] = {1, 1};
  dbc_result *result = NULL;
  put(cache, "a", "1");
  CHECK(dbc_put_many(cache, 2, "bc", sizes, "xy", sizes, 0, NULL, NULL) == DBC_OK);
  CHECK(gets(cache, "a", "1") && gets(cache, "absent", NULL));
  CHECK(dbc_get_many(cache, 2, "bz", sizes, NULL, NULL, &result) == DBC_OK);
  dbc_result_free(result);
  CHECK(dbc_delete(cache, KEY("a")) == DBC_OK && dbc_delete(cache, KEY("absent")) == DBC_NOT_FOUND);
  CHECK(dbc_delete_many(cache, 2, "bz", sizes, NULL) == DBC_OK);
  CHECK(dbc_exists(cache, KEY("c"), NULL) == DBC_OK && tier_of(cache, "c") == DBC_TIER_MEMORY);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_PUTS) == 3 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 4);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_DELETES) == 4);
  CHECK(dbc_clear(cache) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_PUTS) == 3 && stat_of(cache, DBC_STAT_TOTAL_DELETES) == 4);
  dbc_free(cache);
}

TEST(step_21_current_state) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 2}));
  put(cache, "a", "1");
  put(cache, "b", "22");
  put(cache, "c", "333");
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 2 && stat_of(cache, DBC_STAT_CURRENT_DISK_ITEMS) == 3);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 5 && stat_of(cache, DBC_STAT_DISK_BYTES) == 6);
  dbc_free(cache);
  cache = open_default(PATH);  // the tiers are there, the counters begin anew
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0 && stat_of(cache, DBC_STAT_CURRENT_DISK_ITEMS) == 3);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_PUTS) == 0 && stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);
  CHECK(dbc_delete(cache, KEY("a")) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_DISK_ITEMS) == 2);
  dbc_free(cache);
}

TEST(counters_belong_to_the_handle_and_totals_to_the_file) {
  dbc_cache *first = open_default(PATH), *second = open_default(PATH);
  put(first, "k", "v");
  CHECK(gets(first, "k", "v"));
  CHECK(stat_of(second, DBC_STAT_TOTAL_PUTS) == 0 && stat_of(second, DBC_STAT_TOTAL_GETS) == 0);
  CHECK(stat_of(second, DBC_STAT_CURRENT_DISK_ITEMS) == 1 && count_of(second) == 1 && size_of(second) == 1);
  dbc_free(first);
  dbc_free(second);
}
