// What every function does with a NULL handle, with a closed one, and without its out-parameters.
#include "support.h"

static const size_t kOne = 1;

static dbc_status call_close(dbc_cache *cache) { return dbc_close(cache); }
static dbc_status call_set_log_level(dbc_cache *cache) { return dbc_set_log_level(cache, DBC_LOG_DEBUG); }
static dbc_status call_put(dbc_cache *cache) {
  uint64_t version = 7;
  dbc_status status = dbc_put(cache, "k", 1, "v", 1, 0, NULL, &version);
  CHECK(version == 0);
  return status;
}
static dbc_status call_get(dbc_cache *cache) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get(cache, "k", 1, NULL, &value);
  CHECK(value == NULL);
  return status;
}
static dbc_status call_get_changed(dbc_cache *cache) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get_changed(cache, "k", 1, 1, NULL, &value);
  CHECK(value == NULL);
  return status;
}
static dbc_status call_get_from_memory(dbc_cache *cache) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get_from_memory(cache, "k", 1, 1, NULL, &value);
  CHECK(value == NULL);
  return status;
}
static dbc_status call_get_into(dbc_cache *cache) {
  char buffer[4];
  size_t size = 7;
  uint64_t version = 7;
  dbc_status status = dbc_get_into(cache, "k", 1, NULL, buffer, sizeof buffer, &size, &version);
  CHECK(size == 0 && version == 0);
  return status;
}
static dbc_status call_delete(dbc_cache *cache) { return dbc_delete(cache, "k", 1); }
static dbc_status call_discard(dbc_cache *cache) { return dbc_discard(cache, "k", 1, 1, 0); }
static dbc_status call_exists(dbc_cache *cache) { return dbc_exists(cache, "k", 1, NULL); }
static dbc_status call_get_tier(dbc_cache *cache) {
  int tier = 7;
  dbc_status status = dbc_get_tier(cache, "k", 1, NULL, &tier);
  CHECK(tier == 0);
  return status;
}
static dbc_status call_put_many(dbc_cache *cache) {
  return dbc_put_many(cache, 1, "k", &kOne, "v", &kOne, 0, NULL, NULL);
}
static dbc_status call_get_many(dbc_cache *cache) {
  dbc_result *result = (dbc_result *)1;
  dbc_status status = dbc_get_many(cache, 1, "k", &kOne, NULL, NULL, &result);
  CHECK(result == NULL);
  return status;
}
static dbc_status call_delete_many(dbc_cache *cache) {
  uint64_t removed = 7;
  dbc_status status = dbc_delete_many(cache, 1, "k", &kOne, &removed);
  CHECK(removed == 0);
  return status;
}
static dbc_status call_empty_put_many(dbc_cache *cache) {
  return dbc_put_many(cache, 0, NULL, NULL, NULL, NULL, 0, NULL, NULL);
}
static dbc_status call_clear(dbc_cache *cache) { return dbc_clear(cache); }
static dbc_status call_clear_memory(dbc_cache *cache) { return dbc_clear_memory(cache); }
static dbc_status call_flush(dbc_cache *cache) { return dbc_flush(cache); }
static dbc_status call_purge_expired(dbc_cache *cache) {
  uint64_t removed = 7;
  dbc_status status = dbc_purge_expired(cache, NULL, &removed);
  CHECK(removed == 0);
  return status;
}
static dbc_status call_count(dbc_cache *cache) {
  uint64_t items = 7;
  dbc_status status = dbc_count(cache, &items);
  CHECK(items == 0);
  return status;
}
static dbc_status call_total_size(dbc_cache *cache) {
  uint64_t bytes = 7;
  dbc_status status = dbc_total_size(cache, &bytes);
  CHECK(bytes == 0);
  return status;
}
static dbc_status call_stats(dbc_cache *cache) {
  uint64_t values[DBC_STAT_COUNT];
  size_t count = 7;
  dbc_status status = dbc_stats(cache, values, DBC_STAT_COUNT, &count);
  CHECK(count == 0);
  return status;
}
static dbc_status call_dropped(dbc_cache *cache) {
  uint64_t versions[4];
  size_t count = 7;
  int overflowed = 7;
  dbc_status status = dbc_dropped(cache, versions, 4, &count, &overflowed);
  CHECK(count == 0 && overflowed == 0);
  return status;
}

#define CALL(NAME) \
  { "dbc_" #NAME, call_##NAME }
static const struct {
  const char *name;
  dbc_status (*call)(dbc_cache *cache);
} kCalls[] = {
    CALL(set_log_level),   CALL(put),           CALL(get),
    CALL(get_changed),     CALL(get_into),      CALL(delete),
    CALL(discard),         CALL(exists),        CALL(get_tier),
    CALL(put_many),        CALL(get_many),      CALL(delete_many),
    CALL(empty_put_many),  CALL(clear),         CALL(clear_memory),
    CALL(flush),           CALL(purge_expired), CALL(count),
    CALL(total_size),      CALL(stats),         CALL(dropped),
    CALL(get_from_memory), CALL(close),
};
enum { kCallCount = sizeof kCalls / sizeof *kCalls };

TEST(every_call_refuses_a_null_cache) {
  for (size_t i = 0; i < kCallCount; ++i) {
    if (!refused(kCalls[i].call(NULL), DBC_INVALID_ARGUMENT, ""))
      check_fail(__FILE__, __LINE__, kCalls[i].name, "", "");
    CHECK(strlen(dbc_last_error()) > 0);
  }
  dbc_free(NULL);
}

TEST(step_37_every_call_refuses_a_closed_cache) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(dbc_close(cache) == DBC_OK);
  for (size_t i = 0; i + 1 < kCallCount; ++i) {
    if (!refused(kCalls[i].call(cache), DBC_CLOSED, "")) check_fail(__FILE__, __LINE__, kCalls[i].name, "", "");
    CHECK(strlen(dbc_last_error()) > 0);
  }
  dbc_free(cache);
}

TEST(step_37_closing_twice_is_fine) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(dbc_close(cache) == DBC_OK);
  CHECK(dbc_close(cache) == DBC_OK);
  dbc_free(cache);
}

TEST(step_37_free_closes) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "SELECT value FROM cache"), "v");
}

TEST(out_parameters_that_must_be_there) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  char buffer[4];
  size_t count = 0;
  uint64_t versions[1];
  CHECK(dbc_get(cache, "k", 1, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_changed(cache, "k", 1, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_from_memory(cache, "k", 1, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_into(cache, "k", 1, NULL, buffer, sizeof buffer, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_into(cache, "k", 1, NULL, NULL, 4, &count, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_tier(cache, "k", 1, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_many(cache, 1, "k", &kOne, NULL, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_count(cache, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_total_size(cache, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_stats(cache, NULL, 3, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_dropped(cache, versions, 1, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_dropped(cache, NULL, 1, &count, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 0);
  dbc_free(cache);
}

TEST(blocks_that_must_be_there) {
  dbc_cache *cache = open_default(PATH);
  dbc_result *result = NULL;
  CHECK(dbc_put_many(cache, 1, NULL, &kOne, "v", &kOne, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_put_many(cache, 1, "k", NULL, "v", &kOne, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_put_many(cache, 1, "k", &kOne, NULL, &kOne, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_put_many(cache, 1, "k", &kOne, "v", NULL, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_many(cache, 1, NULL, &kOne, NULL, NULL, &result) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_get_many(cache, 1, "k", NULL, NULL, NULL, &result) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_delete_many(cache, 1, NULL, &kOne, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_delete_many(cache, 1, "k", NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(count_of(cache) == 0);
  dbc_free(cache);
}

TEST(out_parameters_that_may_be_null) {
  dbc_cache *cache = open_default(PATH);
  char buffer[4];
  size_t size = 0, count = 0;
  uint64_t versions[1];
  CHECK(dbc_put(cache, "k", 1, "v", 1, 0, NULL, NULL) == DBC_OK);
  CHECK(dbc_put_many(cache, 1, "k", &kOne, "v", &kOne, 0, NULL, NULL) == DBC_OK);
  CHECK(dbc_get_into(cache, "k", 1, NULL, buffer, sizeof buffer, &size, NULL) == DBC_OK);
  CHECK(dbc_delete_many(cache, 1, "k", &kOne, NULL) == DBC_OK);
  CHECK(dbc_purge_expired(cache, NULL, NULL) == DBC_OK);
  CHECK(dbc_stats(cache, versions, 1, NULL) == DBC_OK);
  CHECK(dbc_stats(cache, NULL, 0, &count) == DBC_OK && count == DBC_STAT_COUNT);
  CHECK(dbc_dropped(cache, versions, 1, &count, NULL) == DBC_OK && count == 0);
  dbc_free(cache);
}

TEST(null_values_and_results_are_harmless) {
  CHECK(dbc_value_data(NULL) == NULL);
  CHECK(dbc_value_size(NULL) == 0 && dbc_value_is_text(NULL) == 0);
  CHECK(dbc_value_version(NULL) == 0 && dbc_value_timestamp(NULL) == 0);
  dbc_value_retain(NULL);
  dbc_value_release(NULL);
  CHECK(dbc_result_count(NULL) == 0);
  CHECK(dbc_result_statuses(NULL) == NULL && dbc_result_tiers(NULL) == NULL && dbc_result_data(NULL) == NULL);
  CHECK(dbc_result_sizes(NULL) == NULL && dbc_result_versions(NULL) == NULL);
  CHECK(dbc_result_timestamps(NULL) == NULL);
  dbc_result_free(NULL);
}

TEST(timestamps_must_be_finite) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; ++i) {
    const double *time = &bad[i];
    dbc_value *value = NULL;
    dbc_result *result = NULL;
    char buffer[4];
    size_t size = 0;
    int tier = 0;
    CHECK(refused(dbc_put(cache, "k", 1, "w", 1, 0, time, NULL), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_get(cache, "k", 1, time, &value), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_get_changed(cache, "k", 1, 1, time, &value), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_get_from_memory(cache, "k", 1, 1, time, &value), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_get_into(cache, "k", 1, time, buffer, 4, &size, NULL), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_exists(cache, "k", 1, time), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_get_tier(cache, "k", 1, time, &tier), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_put_many(cache, 1, "k", &kOne, "w", &kOne, 0, time, NULL), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_get_many(cache, 1, "k", &kOne, NULL, time, &result), DBC_INVALID_ARGUMENT, "imestamp"));
    CHECK(refused(dbc_purge_expired(cache, time, NULL), DBC_INVALID_ARGUMENT, "imestamp"));
  }
  CHECK(gets(cache, "k", "v"));
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 1 && stat_of(cache, DBC_STAT_TOTAL_PUTS) == 1);
  dbc_free(cache);
}

TEST(any_finite_timestamp_counts) {
  const double times[] = {0, -0.0, -1e300, 1e300, 5e-324, 1.5};
  for (int i = 0; i < 6; ++i) {
    dbc_cache *cache = open_default(PATH);
    put_at(cache, "k", "v", &times[i]);
    CHECK(gets_at(cache, "k", "v", &times[i]));
    CHECK(dbc_clear_memory(cache) == DBC_OK);
    CHECK(gets_at(cache, "k", "v", &times[i]));
    dbc_free(cache);
    cache = open_default(PATH);
    dbc_value *value = NULL;
    CHECK(dbc_get(cache, "k", 1, &times[i], &value) == DBC_OK);
    CHECK(dbc_value_timestamp(value) == times[i]);
    dbc_value_release(value);
    dbc_free(cache);
  }
}
