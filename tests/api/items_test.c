// Single items: put, get, delete, exists, tiers, counts, and how the two tiers work together.
#include "support.h"

TEST(step_01_put_and_get) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "user:1", "Ada");
  put(cache, "user:2", "Grace");
  CHECK(gets(cache, "user:1", "Ada") && gets(cache, "user:2", "Grace"));
  CHECK(gets(cache, "user:3", NULL));
  put(cache, "user:1", "Ada Lovelace");
  CHECK(gets(cache, "user:1", "Ada Lovelace"));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 3);
  dbc_free(cache);
}

TEST(step_06_put_and_get_on_disk) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 0}));
  put(cache, "user:1", "Ada");
  CHECK(gets(cache, "user:1", "Ada") && gets(cache, "user:2", NULL));
  put(cache, "user:1", "Grace");
  CHECK(gets(cache, "user:1", "Grace"));
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 2 && stat_of(cache, DBC_STAT_MEMORY_HITS) == 0);
  dbc_free(cache);
}

TEST(step_07_delete_from_memory) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1);
  CHECK(dbc_delete(cache, KEY("k")) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0 && stat_of(cache, DBC_STAT_MEMORY_BYTES) == 0);
  CHECK(gets(cache, "k", NULL));
  CHECK(dbc_delete(cache, KEY("k")) == DBC_NOT_FOUND);
  dbc_free(cache);
}

TEST(step_08_delete_from_disk) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  put(cache, "stays", "v");
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(dbc_delete(cache, KEY("k")) == DBC_OK);
  CHECK(dbc_delete(cache, KEY("k")) == DBC_NOT_FOUND);
  CHECK(count_of(cache) == 1);
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(gets(cache, "k", NULL) && gets(cache, "stays", "v"));
  dbc_free(cache);
}

TEST(step_09_exists) {
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(dbc_options_new(), DBC_DISK_TTL_SECONDS, 10));
  put_at(cache, "k", "v", AT(100));
  CHECK(dbc_exists(cache, KEY("k"), AT(110)) == DBC_OK);
  CHECK(dbc_exists(cache, KEY("k"), AT(110.5)) == DBC_NOT_FOUND);
  CHECK(dbc_exists(cache, KEY("absent"), AT(100)) == DBC_NOT_FOUND);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(dbc_exists(cache, KEY("k"), AT(110)) == DBC_OK);
  CHECK(dbc_exists(cache, KEY("k"), AT(110.5)) == DBC_NOT_FOUND);
  // No statistics, no touch, no promotion, no removal.
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 0 && stat_of(cache, DBC_STAT_DISK_EXPIRED) == 0);
  CHECK(tier_at(cache, "k", AT(100)) == DBC_TIER_DISK);
  CHECK(count_of(cache) == 1);
  CHECK(dbc_delete(cache, KEY("k")) == DBC_OK);
  CHECK(dbc_exists(cache, KEY("k"), AT(100)) == DBC_NOT_FOUND);
  dbc_free(cache);
}

TEST(tier_tells_who_would_answer) {
  dbc_options *options = OPTIONS({DBC_MAX_MEMORY_ITEMS, 2});
  with_double(options, DBC_MEMORY_TTL_SECONDS, 10);
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, 20));
  put_at(cache, "k", "v", AT(100));
  CHECK(tier_at(cache, "k", AT(110)) == DBC_TIER_MEMORY);
  CHECK(tier_at(cache, "k", AT(111)) == DBC_TIER_DISK);
  CHECK(tier_at(cache, "k", AT(121)) == DBC_TIER_NONE);
  CHECK(tier_at(cache, "absent", AT(100)) == DBC_TIER_NONE);
  CHECK(tier_at(cache, "k", AT(110)) == DBC_TIER_MEMORY);  // asking has changed nothing
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 0 && stat_of(cache, DBC_STAT_MEMORY_EXPIRED) == 0);
  dbc_free(cache);
}

TEST(step_10_memory_count) {
  dbc_cache *cache = open_default(PATH);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0);
  put(cache, "a", "1");
  put(cache, "b", "1");
  put(cache, "a", "2");
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 2);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0);
  CHECK(gets(cache, "a", "2"));
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1);
  dbc_free(cache);
}

TEST(step_11_disk_count) {
  dbc_cache *cache = open_default(PATH);
  CHECK(count_of(cache) == 0);
  put(cache, "a", "1");
  put(cache, "b", "1");
  put(cache, "a", "2");
  CHECK(count_of(cache) == 2 && stat_of(cache, DBC_STAT_CURRENT_DISK_ITEMS) == 2);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(count_of(cache) == 2);
  CHECK(dbc_delete(cache, KEY("a")) == DBC_OK);
  CHECK(count_of(cache) == 1);
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(count_of(cache) == 1 && stat_of(cache, DBC_STAT_CURRENT_DISK_ITEMS) == 1);
  dbc_free(cache);
}

TEST(step_12_memory_size) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "a", "12345");
  put(cache, "b", "123");
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 8);
  put(cache, "a", "1");
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 4);
  CHECK(dbc_delete(cache, KEY("b")) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 1);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 0);
  dbc_free(cache);
}

TEST(step_13_disk_size) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "a", "12345");
  put(cache, "b", "123");
  CHECK(size_of(cache) == 8 && stat_of(cache, DBC_STAT_DISK_BYTES) == 8);
  put(cache, "a", "1");
  CHECK(size_of(cache) == 4);
  CHECK(dbc_clear_memory(cache) == DBC_OK && size_of(cache) == 4);
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(size_of(cache) == 4);
  CHECK(dbc_delete(cache, KEY("b")) == DBC_OK);
  CHECK(size_of(cache) == 1);
  CHECK(dbc_clear(cache) == DBC_OK && size_of(cache) == 0);
  dbc_free(cache);
}

TEST(step_29_put_writes_both_tiers) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "one");
  CHECK(tier_of(cache, "k") == DBC_TIER_MEMORY && count_of(cache) == 1);
  CHECK_TEXT(query(PATH, "SELECT value FROM cache WHERE key = 'k'"), "one");
  put(cache, "k", "two");
  CHECK_TEXT(query(PATH, "SELECT value FROM cache WHERE key = 'k'"), "two");
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(gets(cache, "k", "two"));
  dbc_free(cache);
}

TEST(step_29_put_replaces_what_is_only_on_disk) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "one");
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  put(cache, "k", "two");
  CHECK(gets(cache, "k", "two"));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 1 && count_of(cache) == 1);
  dbc_free(cache);
}

TEST(step_30_get_promotes) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(tier_of(cache, "k") == DBC_TIER_DISK);
  CHECK(gets(cache, "k", "v"));
  CHECK(tier_of(cache, "k") == DBC_TIER_MEMORY);
  CHECK(gets(cache, "k", "v"));
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 1 && stat_of(cache, DBC_STAT_MEMORY_HITS) == 1);
  dbc_free(cache);
}

TEST(step_30_promotion_evicts) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 1}));
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "2", AT(2));
  CHECK(tier_at(cache, "a", AT(3)) == DBC_TIER_DISK && tier_at(cache, "b", AT(3)) == DBC_TIER_MEMORY);
  CHECK(gets_at(cache, "a", "1", AT(3)));
  CHECK(tier_at(cache, "a", AT(3)) == DBC_TIER_MEMORY && tier_at(cache, "b", AT(3)) == DBC_TIER_DISK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 2 && stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 0);
  dbc_free(cache);
}

TEST(step_31_large_items_live_on_disk_only) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_ITEM_SIZE_BYTES, 10}));
  put(cache, "small", "1234567890");
  put(cache, "large", "12345678901");
  CHECK(tier_of(cache, "small") == DBC_TIER_MEMORY && tier_of(cache, "large") == DBC_TIER_DISK);
  CHECK(gets(cache, "large", "12345678901") && gets(cache, "large", "12345678901"));
  CHECK(tier_of(cache, "large") == DBC_TIER_DISK);
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 2);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 10 && stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1);
  dbc_free(cache);
}

TEST(step_31_overwriting_moves_between_tiers) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_ITEM_SIZE_BYTES, 4}));
  put(cache, "k", "1234");
  CHECK(tier_of(cache, "k") == DBC_TIER_MEMORY);
  put(cache, "k", "12345");
  CHECK(tier_of(cache, "k") == DBC_TIER_DISK && gets(cache, "k", "12345"));
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0 && stat_of(cache, DBC_STAT_MEMORY_BYTES) == 0);
  put(cache, "k", "12");
  CHECK(tier_of(cache, "k") == DBC_TIER_MEMORY && gets(cache, "k", "12"));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);
  dbc_free(cache);
}

TEST(step_31_an_item_larger_than_memory_evicts_nothing_there) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_SIZE_BYTES, 10}));
  put(cache, "a", "12345");
  put(cache, "large", "12345678901");
  CHECK(tier_of(cache, "a") == DBC_TIER_MEMORY && tier_of(cache, "large") == DBC_TIER_DISK);
  CHECK(gets(cache, "large", "12345678901"));
  CHECK(tier_of(cache, "a") == DBC_TIER_MEMORY);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);
  dbc_free(cache);
}

TEST(memory_can_be_switched_off) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 0}));
  put(cache, "k", "v");
  put(cache, "empty", "");
  CHECK(tier_of(cache, "k") == DBC_TIER_DISK && gets(cache, "k", "v") && tier_of(cache, "k") == DBC_TIER_DISK);
  CHECK(gets(cache, "empty", "") && tier_of(cache, "empty") == DBC_TIER_DISK);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0 && stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0);
  dbc_free(cache);
}

TEST(step_36_clear) {
  dbc_cache *cache = open_default(PATH);
  uint64_t last = 0;
  for (int i = 0; i < 100; ++i) {
    char key[8];
    snprintf(key, sizeof key, "k%d", i);
    last = put(cache, key, "value");
  }
  CHECK(gets(cache, "k1", "value"));
  CHECK(dbc_clear(cache) == DBC_OK);
  CHECK(count_of(cache) == 0 && size_of(cache) == 0);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0 && stat_of(cache, DBC_STAT_MEMORY_BYTES) == 0);
  CHECK(gets(cache, "k1", NULL));
  CHECK(stat_of(cache, DBC_STAT_TOTAL_PUTS) == 100 && stat_of(cache, DBC_STAT_MEMORY_HITS) == 1);
  CHECK(stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 0 && stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);
  CHECK(put(cache, "k1", "new") > last);
  CHECK(gets(cache, "k1", "new"));
  CHECK(dbc_clear(cache) == DBC_OK && dbc_clear(cache) == DBC_OK);
  dbc_free(cache);
}

TEST(clear_memory_keeps_the_disk) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "a", "1");
  put(cache, "b", "2");
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0 && count_of(cache) == 2);
  CHECK(gets(cache, "a", "1") && gets(cache, "b", "2"));
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 2);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0 && stat_of(cache, DBC_STAT_MEMORY_EXPIRED) == 0);
  dbc_free(cache);
}

TEST(clearing_memory_loses_no_touch) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 2}));
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  CHECK(gets_at(cache, "a", "1", AT(3)));
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  put_at(cache, "c", "1", AT(4));
  CHECK(gets_at(cache, "b", NULL, AT(5)) && gets_at(cache, "a", "1", AT(5)));
  dbc_free(cache);
}
