// Time: both TTLs, sliding, explicit timestamps, purging.
#include <pthread.h>
#include <time.h>

#include "support.h"

static dbc_cache *open_ttls(double memory_ttl, double disk_ttl) {
  dbc_options *options = with_double(dbc_options_new(), DBC_MEMORY_TTL_SECONDS, memory_ttl);
  return open_with(PATH, "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, disk_ttl));
}

TEST(step_33_past_the_memory_ttl_the_disk_answers) {
  dbc_cache *cache = open_ttls(10, 1000);
  put_at(cache, "k", "v", AT(100));
  CHECK(gets_at(cache, "k", "v", AT(110)));  // exactly the TTL is not past it
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 1);
  CHECK(gets_at(cache, "k", "v", AT(120)));  // it slides
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 2);
  CHECK(gets_at(cache, "k", "v", AT(130.5)));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 2 && stat_of(cache, DBC_STAT_DISK_HITS) == 1);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EXPIRED) == 1 && stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);
  CHECK(gets_at(cache, "k", "v", AT(140)));  // promoted again, under the new time
  CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) == 3);
  dbc_free(cache);
}

TEST(step_34_past_the_disk_ttl_it_is_a_miss) {
  dbc_cache *cache = open_ttls(10, 50);
  put_at(cache, "k", "v", AT(100));
  CHECK(gets_at(cache, "k", "v", AT(150)));
  CHECK(gets_at(cache, "k", "v", AT(200)));
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 2);
  CHECK(gets_at(cache, "k", NULL, AT(250.5)));
  CHECK(stat_of(cache, DBC_STAT_MISSES) == 1 && stat_of(cache, DBC_STAT_DISK_EXPIRED) == 1);
  CHECK(count_of(cache) == 0 && size_of(cache) == 0 && stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0);
  CHECK(gets_at(cache, "k", NULL, AT(100)));  // removed, not merely hidden
  CHECK(stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 0 && stat_of(cache, DBC_STAT_TOTAL_DELETES) == 0);
  dbc_free(cache);
}

TEST(step_34_a_disk_ttl_shorter_than_the_memory_ttl_counts_for_both) {
  dbc_cache *cache = open_ttls(INFINITY, 5);
  put_at(cache, "k", "v", AT(100));
  CHECK(tier_at(cache, "k", AT(105)) == DBC_TIER_MEMORY && tier_at(cache, "k", AT(105.5)) == DBC_TIER_NONE);
  CHECK(dbc_exists(cache, KEY("k"), AT(105.5)) == DBC_NOT_FOUND);
  CHECK(gets_at(cache, "k", "v", AT(105)));
  CHECK(gets_at(cache, "k", NULL, AT(110.5)));
  CHECK(count_of(cache) == 0 && stat_of(cache, DBC_STAT_DISK_EXPIRED) == 1);
  dbc_free(cache);
}

TEST(step_34_the_disk_ttl_slides_with_memory_hits) {
  dbc_cache *cache = open_ttls(10, 20);
  put_at(cache, "k", "v", AT(100));
  for (int i = 1; i <= 10; ++i) CHECK(gets_at(cache, "k", "v", AT(100 + i * 9)));
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(gets_at(cache, "k", "v", AT(210)));  // 20 after the last memory hit
  dbc_free(cache);
}

TEST(ttls_may_be_infinite) {
  dbc_cache *cache = open_ttls(INFINITY, INFINITY);
  put_at(cache, "k", "v", AT(0));
  CHECK(tier_at(cache, "k", AT(1e300)) == DBC_TIER_MEMORY);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(gets_at(cache, "k", "v", AT(1e300)));
  uint64_t removed = 7;
  CHECK(dbc_purge_expired(cache, AT(1.5e308), &removed) == DBC_OK && removed == 0);
  dbc_free(cache);
}

TEST(step_35_a_timestamp_counts_as_given) {
  dbc_cache *cache = open_ttls(10, 100);
  put_at(cache, "k", "v", AT(1000));
  CHECK(gets_at(cache, "k", "v", AT(900)));  // earlier than the put: a hit, and the new time
  CHECK(tier_at(cache, "k", AT(910)) == DBC_TIER_MEMORY && tier_at(cache, "k", AT(911)) == DBC_TIER_DISK);
  CHECK(tier_at(cache, "k", AT(1001)) == DBC_TIER_NONE);
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT timestamp FROM cache"), "900.0");
  put_at(cache, "k", "w", AT(500));
  CHECK(gets_at(cache, "k", NULL, AT(601)));
  dbc_free(cache);
}

TEST(step_35_without_a_timestamp_the_clock_counts) {
  dbc_cache *cache = open_default(PATH);
  double before = (double)time(NULL) - 1;
  put(cache, "k", "v");
  dbc_value *value = NULL;
  CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_OK);
  double first = dbc_value_timestamp(value);
  CHECK(first >= before && first <= (double)time(NULL) + 1);
  dbc_value_release(value);
  for (int i = 0; i < 1000; ++i) {
    CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_OK);
    CHECK(dbc_value_timestamp(value) >= first);
    first = dbc_value_timestamp(value);
    dbc_value_release(value);
  }
  dbc_free(cache);
}

TEST(purge_expired) {
  dbc_cache *cache = open_ttls(10, 100);
  put_at(cache, "a", "1", AT(100));
  put_at(cache, "b", "1", AT(150));
  put_at(cache, "c", "1", AT(201));
  put_at(cache, "touched", "1", AT(100));
  CHECK(gets_at(cache, "touched", "1", AT(110)));
  uint64_t removed = 0;
  CHECK(dbc_purge_expired(cache, AT(200), &removed) == DBC_OK && removed == 0);
  CHECK(count_of(cache) == 4);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1);  // the rest is past the memory TTL
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EXPIRED) == 3 && stat_of(cache, DBC_STAT_DISK_EXPIRED) == 0);
  CHECK(dbc_purge_expired(cache, AT(205), &removed) == DBC_OK && removed == 1);
  CHECK(gets_at(cache, "touched", "1", AT(110)) && gets_at(cache, "b", "1", AT(150)));
  CHECK(dbc_purge_expired(cache, AT(1000), &removed) == DBC_OK && removed == 3);
  CHECK(count_of(cache) == 0 && size_of(cache) == 0 && stat_of(cache, DBC_STAT_DISK_EXPIRED) == 4);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 0);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 3 && stat_of(cache, DBC_STAT_TOTAL_DELETES) == 0);
  dbc_free(cache);
}

static void *purge(void *cache) {
  uint64_t removed = 0;
  CHECK(dbc_purge_expired(cache, AT(1000), &removed) == DBC_OK && removed == 20000);
  return NULL;
}

// However much there is to remove.
TEST(other_writers_have_their_turns_while_expired_items_are_removed) {
  dbc_cache *cache = open_ttls(10, 100), *other = open_ttls(10, 100);
  enum { kItems = 20000 };
  static char keys[kItems * 5], values[kItems];
  static size_t key_sizes[kItems], value_sizes[kItems];
  for (int i = 0; i < kItems; ++i) {
    char key[6];
    snprintf(key, sizeof key, "%05d", i);
    memcpy(keys + 5 * i, key, 5);
    key_sizes[i] = 5, value_sizes[i] = 1;
  }
  CHECK(dbc_put_many(cache, kItems, keys, key_sizes, values, value_sizes, 0, AT(100), NULL) == DBC_OK);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, purge, cache) == 0);
  int in_between = 0;
  uint64_t left = kItems + 1, before = left;
  for (; left > 1; before = left) {
    put_at(other, "k", "v", AT(1000));
    left = count_of(other);
    if (left != before && left > 1) ++in_between;
  }
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(in_between >= 2);  // it would be none, were it one transaction
  dbc_free(other);
  dbc_free(cache);
}

TEST(nothing_expires_by_itself) {
  dbc_cache *cache = open_ttls(1e-6, 1e-6);
  put_at(cache, "k", "v", AT(100));
  CHECK(count_of(cache) == 1);
  CHECK(tier_at(cache, "k", AT(100)) == DBC_TIER_MEMORY);
  CHECK(tier_at(cache, "k", AT(101)) == DBC_TIER_NONE);
  CHECK(count_of(cache) == 1);
  dbc_free(cache);
}
