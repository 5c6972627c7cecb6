// Batches: packed keys and values, atomicity, and the rows of a result.
#include "support.h"

// Up to eight keys and values of text, packed.
struct batch {
  size_t count;
  char keys[4096], values[4096];
  size_t key_sizes[8], value_sizes[8];
};

static void add_bytes(struct batch *batch, const char *key, size_t key_size, const char *value) {
  size_t keys = 0, values = 0;
  for (size_t i = 0; i < batch->count; ++i) keys += batch->key_sizes[i], values += batch->value_sizes[i];
  memcpy(batch->keys + keys, key, key_size);
  memcpy(batch->values + values, value, strlen(value));
  batch->key_sizes[batch->count] = key_size;
  batch->value_sizes[batch->count++] = strlen(value);
}
static void add(struct batch *batch, const char *key, const char *value) { add_bytes(batch, key, strlen(key), value); }
static struct batch batch_of(const char *const *keys, size_t count, const char *value) {
  struct batch batch = {0};
  for (size_t i = 0; i < count; ++i) add(&batch, keys[i], value);
  return batch;
}
#define BATCH(VALUE, ...) \
  batch_of((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), VALUE)

static dbc_status put_batch(dbc_cache *cache, const struct batch *batch, const double *time, uint64_t *versions) {
  return dbc_put_many(cache, batch->count, batch->keys, batch->key_sizes, batch->values, batch->value_sizes, 0, time,
                      versions);
}
static dbc_result *get_batch(dbc_cache *cache, const struct batch *batch, const uint64_t *held, const double *time) {
  dbc_result *result = NULL;
  dbc_status status = dbc_get_many(cache, batch->count, batch->keys, batch->key_sizes, held, time, &result);
  if (status != DBC_OK) CHECK_TEXT(dbc_last_error(), "(no error)");
  CHECK(result != NULL && dbc_result_count(result) == batch->count);
  return result;
}
static int row_is(const dbc_result *result, size_t row, const char *text) {
  if (!text) {
    return dbc_result_statuses(result)[row] == DBC_NOT_FOUND && dbc_result_data(result)[row] == NULL &&
           dbc_result_sizes(result)[row] == 0 && dbc_result_versions(result)[row] == 0 &&
           dbc_result_timestamps(result)[row] == 0 && dbc_result_tiers(result)[row] == DBC_TIER_NONE;
  }
  return dbc_result_statuses(result)[row] == DBC_OK && dbc_result_sizes(result)[row] == strlen(text) &&
         dbc_result_data(result)[row] && memcmp(dbc_result_data(result)[row], text, strlen(text)) == 0 &&
         dbc_result_versions(result)[row] != 0;
}

TEST(step_22_put_many) {
  dbc_cache *cache = open_default(PATH);
  struct batch batch = {0};
  add(&batch, "a", "one");
  add(&batch, "bb", "");
  add(&batch, "c\xc3\xa9", "three");
  uint64_t versions[3] = {0};
  CHECK(put_batch(cache, &batch, AT(5), versions) == DBC_OK);
  CHECK(count_of(cache) == 3 && size_of(cache) == 8);
  CHECK(versions[0] && versions[1] && versions[2]);
  CHECK(versions[0] != versions[1] && versions[1] != versions[2] && versions[0] != versions[2]);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_PUTS) == 3);
  for (int round = 0; round < 2; ++round) {
    CHECK(gets_at(cache, "a", "one", AT(5)) && gets_at(cache, "bb", "", AT(5)));
    dbc_value *value = NULL;
    CHECK(dbc_get(cache, KEY("c\xc3\xa9"), AT(5), &value) == DBC_OK);
    CHECK(dbc_value_version(value) == versions[2] && dbc_value_timestamp(value) == 5);
    dbc_value_release(value);
    CHECK(dbc_clear_memory(cache) == DBC_OK);
  }
  CHECK_TEXT(query(PATH, "SELECT DISTINCT timestamp FROM cache"), "5.0");
  dbc_free(cache);
}

TEST(step_22_put_many_is_atomic) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_SIZE_BYTES, 100}));
  put_at(cache, "b", "before", AT(1));
  char key[258], value[102];
  memset(key, 'k', 257), key[257] = '\0';
  memset(value, 'v', 101), value[101] = '\0';
  const struct {
    const char *key;
    size_t key_size;
    const char *value, *message;
  } bad[] = {{"", 0, "v", "Key cannot be empty"},
             {key, 257, "v", "Key length 257 exceeds maximum of 256 characters"},
             {"\xff", 1, "v", "UTF-8"},
             {"x\0y", 3, "v", ""},
             {"large", 5, value, "Item size (101 bytes) exceeds max_disk_size_bytes (100 bytes)"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
    for (int position = 0; position < 3; ++position) {
      struct batch batch = {0};
      for (int j = 0; j < 3; ++j) {
        if (j == position)
          add_bytes(&batch, bad[i].key, bad[i].key_size, bad[i].value);
        else
          add(&batch, j == 0 ? "a" : j == 1 ? "b" : "c", "after");
      }
      CHECK(refused(put_batch(cache, &batch, AT(2), NULL), DBC_INVALID_ARGUMENT, bad[i].message));
      char index[2] = {(char)('0' + position), '\0'};
      CHECK(strstr(dbc_last_error(), index) != NULL);
      CHECK(count_of(cache) == 1 && gets_at(cache, "b", "before", AT(1)));
    }
  }
  CHECK(stat_of(cache, DBC_STAT_TOTAL_PUTS) == 1);
  dbc_free(cache);
}

TEST(put_many_gives_no_versions_on_an_error) {
  dbc_cache *cache = open_default(PATH);
  struct batch batch = BATCH("v", "a", "\xff");
  uint64_t versions[2] = {7, 7};
  CHECK(put_batch(cache, &batch, NULL, versions) == DBC_INVALID_ARGUMENT);
  CHECK(versions[0] == 0 && versions[1] == 0);
  CHECK(dbc_close(cache) == DBC_OK);
  versions[0] = versions[1] = 7;
  batch = BATCH("v", "a", "b");
  CHECK(put_batch(cache, &batch, NULL, versions) == DBC_CLOSED);
  CHECK(versions[0] == 0 && versions[1] == 0);
  dbc_free(cache);
}

TEST(step_22_an_empty_batch_does_nothing) {
  dbc_cache *cache = open_default(PATH);
  const size_t none[1] = {0};
  uint64_t removed = 7;
  CHECK(dbc_put_many(cache, 0, NULL, NULL, NULL, NULL, 0, NULL, NULL) == DBC_OK);
  CHECK(dbc_put_many(cache, 0, "", none, "", none, 0, AT(1), NULL) == DBC_OK);
  CHECK(dbc_delete_many(cache, 0, NULL, NULL, &removed) == DBC_OK && removed == 0);
  dbc_result *result = NULL;
  CHECK(dbc_get_many(cache, 0, NULL, NULL, NULL, NULL, &result) == DBC_OK);
  CHECK(result != NULL && dbc_result_count(result) == 0);
  dbc_result_free(result);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 0 && stat_of(cache, DBC_STAT_TOTAL_PUTS) == 0);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_DELETES) == 0);
  dbc_free(cache);
}

TEST(step_22_a_key_that_comes_twice_keeps_the_later_value) {
  dbc_cache *cache = open_default(PATH);
  struct batch batch = {0};
  add(&batch, "k", "first");
  add(&batch, "other", "x");
  add(&batch, "k", "second");
  uint64_t versions[3] = {0};
  CHECK(put_batch(cache, &batch, NULL, versions) == DBC_OK);
  CHECK(count_of(cache) == 2 && size_of(cache) == 7);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 2 && stat_of(cache, DBC_STAT_MEMORY_BYTES) == 7);
  for (int round = 0; round < 2; ++round) {
    dbc_value *value = NULL;
    CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_OK);
    CHECK(dbc_value_size(value) == 6 && dbc_value_version(value) == versions[2]);
    dbc_value_release(value);
    CHECK(gets(cache, "k", "second"));
    CHECK(dbc_clear_memory(cache) == DBC_OK);
  }
  dbc_free(cache);
}

TEST(step_22_put_many_evicts_once_at_the_end) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 3}, {DBC_MAX_MEMORY_ITEMS, 2}));
  put_at(cache, "z", "v", AT(1));
  struct batch batch = BATCH("v", "e", "b", "d", "a", "c");
  CHECK(put_batch(cache, &batch, AT(2), NULL) == DBC_OK);
  CHECK(count_of(cache) == 3);
  CHECK(tier_at(cache, "z", AT(2)) == DBC_TIER_NONE);
  CHECK(tier_at(cache, "a", AT(2)) == DBC_TIER_NONE && tier_at(cache, "b", AT(2)) == DBC_TIER_NONE);
  CHECK(tier_at(cache, "c", AT(2)) == DBC_TIER_DISK);
  CHECK(tier_at(cache, "d", AT(2)) == DBC_TIER_MEMORY && tier_at(cache, "e", AT(2)) == DBC_TIER_MEMORY);
  CHECK(stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 3);
  // An older time than all others: the batch itself is the victim.
  batch = BATCH("v", "x", "y");
  CHECK(put_batch(cache, &batch, AT(1), NULL) == DBC_OK);
  CHECK(tier_at(cache, "x", AT(2)) == DBC_TIER_NONE && tier_at(cache, "y", AT(2)) == DBC_TIER_NONE);
  CHECK(tier_at(cache, "c", AT(2)) != DBC_TIER_NONE);
  dbc_free(cache);
}

TEST(step_22_put_many_may_be_larger_than_both_tiers) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_SIZE_BYTES, 10}, {DBC_MAX_MEMORY_SIZE_BYTES, 5}));
  struct batch batch = BATCH("1234", "a", "b", "c", "d");
  CHECK(put_batch(cache, &batch, AT(1), NULL) == DBC_OK);
  CHECK(count_of(cache) == 2 && size_of(cache) == 8);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 4);
  CHECK(tier_at(cache, "c", AT(1)) == DBC_TIER_DISK && tier_at(cache, "d", AT(1)) == DBC_TIER_MEMORY);
  dbc_free(cache);
}

TEST(step_23_get_many) {
  dbc_cache *cache = open_default(PATH);
  put_at(cache, "disk", "on disk", AT(10));
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  uint64_t version = put_at(cache, "memory", "in memory", AT(20));
  put_at(cache, "empty", "", AT(30));
  struct batch batch = BATCH("", "absent", "memory", "disk", "empty", "memory", "absent");
  dbc_result *result = get_batch(cache, &batch, NULL, AT(40));
  CHECK(row_is(result, 0, NULL) && row_is(result, 1, "in memory") && row_is(result, 2, "on disk"));
  CHECK(row_is(result, 3, "") && row_is(result, 4, "in memory") && row_is(result, 5, NULL));
  CHECK(dbc_result_tiers(result)[1] == DBC_TIER_MEMORY && dbc_result_tiers(result)[2] == DBC_TIER_DISK);
  CHECK(dbc_result_timestamps(result)[1] == 20 && dbc_result_timestamps(result)[2] == 10);
  CHECK(dbc_result_versions(result)[1] == version);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 6 && stat_of(cache, DBC_STAT_MEMORY_HITS) == 3);
  CHECK(stat_of(cache, DBC_STAT_DISK_HITS) == 1 && stat_of(cache, DBC_STAT_MISSES) == 2);
  // Whatever happens now, the result keeps.
  CHECK(dbc_clear(cache) == DBC_OK);
  dbc_free(cache);
  CHECK(row_is(result, 1, "in memory") && row_is(result, 2, "on disk") && row_is(result, 0, NULL));
  dbc_result_free(result);
}

TEST(step_23_get_many_touches_and_promotes_nothing) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 2}, {DBC_MAX_DISK_ITEMS, 3}));
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  put_at(cache, "c", "1", AT(3));
  struct batch batch = BATCH("", "a", "b");
  dbc_result_free(get_batch(cache, &batch, NULL, AT(50)));
  CHECK(tier_at(cache, "a", AT(3)) == DBC_TIER_DISK);
  dbc_result *result = get_batch(cache, &batch, NULL, AT(60));
  CHECK(dbc_result_timestamps(result)[0] == 1 && dbc_result_timestamps(result)[1] == 2);
  dbc_result_free(result);
  put_at(cache, "d", "1", AT(4));
  CHECK(tier_at(cache, "a", AT(4)) == DBC_TIER_NONE);  // as if it had never been asked for
  CHECK(tier_at(cache, "b", AT(4)) == DBC_TIER_DISK && tier_at(cache, "c", AT(4)) == DBC_TIER_MEMORY);
  dbc_free(cache);
}

TEST(step_23_get_many_knows_ttls) {
  dbc_options *options = with_double(dbc_options_new(), DBC_MEMORY_TTL_SECONDS, 10);
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, 20));
  put_at(cache, "old", "1", AT(100));
  put_at(cache, "middle", "2", AT(110));
  put_at(cache, "new", "3", AT(120));
  struct batch batch = BATCH("", "old", "middle", "new");
  dbc_result *result = get_batch(cache, &batch, NULL, AT(121));
  CHECK(row_is(result, 0, NULL) && row_is(result, 1, "2") && row_is(result, 2, "3"));
  CHECK(dbc_result_tiers(result)[1] == DBC_TIER_DISK && dbc_result_tiers(result)[2] == DBC_TIER_MEMORY);
  dbc_result_free(result);
  CHECK(count_of(cache) == 2 && stat_of(cache, DBC_STAT_DISK_EXPIRED) == 1);
  dbc_free(cache);
}

TEST(step_23_get_many_knows_schema_versions) {
  dbc_cache *old = open_with(PATH, "1", NULL), *new = open_with(PATH, "2", NULL);
  put(new, "k", "new");
  put(old, "mine", "old");
  struct batch batch = BATCH("", "k", "mine");
  dbc_result *result = get_batch(old, &batch, NULL, NULL);
  CHECK(row_is(result, 0, NULL) && row_is(result, 1, "old"));
  dbc_result_free(result);
  CHECK(stat_of(old, DBC_STAT_DISCARDED) == 1 && count_of(old) == 1);
  dbc_free(old);
  dbc_free(new);
}

TEST(get_many_says_what_is_unchanged) {
  for (uint64_t memory_values = 0; memory_values < 2; ++memory_values) {
    dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MEMORY_VALUES, memory_values}));
    uint64_t disk = put_at(cache, "disk", "1", AT(1));
    CHECK(dbc_clear_memory(cache) == DBC_OK);
    uint64_t memory = put_at(cache, "memory", "2", AT(2));
    uint64_t stale = put_at(cache, "stale", "old", AT(3));
    put_at(cache, "stale", "new", AT(3));
    struct batch batch = BATCH("", "disk", "memory", "stale", "absent", "memory");
    const uint64_t held[] = {disk, memory, stale, memory, 0};
    dbc_result *result = get_batch(cache, &batch, held, AT(4));
    CHECK(dbc_result_statuses(result)[0] == DBC_UNCHANGED && dbc_result_statuses(result)[1] == DBC_UNCHANGED);
    CHECK(dbc_result_data(result)[0] == NULL && dbc_result_sizes(result)[1] == 0);
    CHECK(dbc_result_versions(result)[0] == disk && dbc_result_versions(result)[1] == memory);
    CHECK(dbc_result_timestamps(result)[0] == 1 && dbc_result_timestamps(result)[1] == 2);
    CHECK(dbc_result_tiers(result)[0] == DBC_TIER_DISK && dbc_result_tiers(result)[1] == DBC_TIER_MEMORY);
    CHECK(row_is(result, 2, "new") && row_is(result, 3, NULL) && row_is(result, 4, "2"));
    dbc_result_free(result);
    CHECK(stat_of(cache, DBC_STAT_MISSES) == 1 && stat_of(cache, DBC_STAT_TOTAL_GETS) == 5);
    CHECK(dbc_clear(cache) == DBC_OK);
    dbc_free(cache);
  }
}

TEST(step_23_get_many_of_very_many) {
  enum { kCount = 20000 };
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 5000}));
  char *keys = malloc(kCount * 8 + 1);
  size_t *sizes = malloc(kCount * sizeof *sizes);
  for (int i = 0; i < kCount; ++i) snprintf(keys + i * 8, 9, "key%05d", i), sizes[i] = 8;
  CHECK(dbc_put_many(cache, kCount, keys, sizes, keys, sizes, 0, NULL, NULL) == DBC_OK);
  dbc_result *result = NULL;
  CHECK(dbc_get_many(cache, kCount, keys, sizes, NULL, NULL, &result) == DBC_OK);
  for (int i = 0; i < kCount; ++i) {
    CHECK(dbc_result_statuses(result)[i] == DBC_OK && dbc_result_sizes(result)[i] == 8);
    CHECK(memcmp(dbc_result_data(result)[i], keys + i * 8, 8) == 0);
    CHECK(dbc_result_tiers(result)[i] == (i < kCount - 5000 ? DBC_TIER_DISK : DBC_TIER_MEMORY));
  }
  dbc_result_free(result);
  uint64_t removed = 0;
  CHECK(dbc_delete_many(cache, kCount, keys, sizes, &removed) == DBC_OK && removed == kCount);
  CHECK(count_of(cache) == 0);
  free(keys), free(sizes);
  dbc_free(cache);
}

TEST(step_24_delete_many) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "a", "1");
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  put(cache, "b", "2");
  put(cache, "c", "3");
  struct batch batch = BATCH("", "a", "absent", "b", "a");
  uint64_t removed = 0;
  CHECK(dbc_delete_many(cache, batch.count, batch.keys, batch.key_sizes, &removed) == DBC_OK);
  CHECK(removed == 2 && count_of(cache) == 1);
  CHECK(gets(cache, "a", NULL) && gets(cache, "b", NULL) && gets(cache, "c", "3"));
  CHECK(stat_of(cache, DBC_STAT_TOTAL_DELETES) == 4);
  CHECK(dbc_delete_many(cache, batch.count, batch.keys, batch.key_sizes, &removed) == DBC_OK && removed == 0);
  dbc_free(cache);
}

TEST(step_24_delete_many_is_atomic) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "a", "1");
  put(cache, "b", "2");
  struct batch batch = BATCH("", "a", "", "b");
  uint64_t removed = 7;
  CHECK(refused(dbc_delete_many(cache, 3, batch.keys, batch.key_sizes, &removed), DBC_INVALID_ARGUMENT,
                "Key cannot be empty"));
  CHECK(strstr(dbc_last_error(), "1") != NULL);
  CHECK(removed == 0 && count_of(cache) == 2 && stat_of(cache, DBC_STAT_TOTAL_DELETES) == 0);
  CHECK(gets(cache, "a", "1") && gets(cache, "b", "2"));
  dbc_free(cache);
}
