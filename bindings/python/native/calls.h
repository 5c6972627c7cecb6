/* The hot calls in the shape that costs a Python caller least: everything goes in by value, and the one answer comes
 * back as the result. Out-parameters would need a buffer for each call, or one for each thread, which a signal handler
 * that uses the cache could overwrite.
 *
 * A NaN as `timestamp` means "now". Errors come back in such a way that the caller can tell them from answers; the
 * message is dbc_last_error()'s, as always. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "dbc.h"

#define DBCPY_TIME(timestamp) (isnan(timestamp) ? NULL : &(timestamp))

/* Handles that C gives out have an owner before the call that makes them, a pointer whose end frees what it points to:
 * after the call, an exception of a signal handler could come first. */
static void dbcpy_free(dbc_cache **cache) {
  dbc_free(*cache);
  *cache = NULL;
}
static void dbcpy_options_free(dbc_options **options) {
  dbc_options_free(*options);
  *options = NULL;
}
/* Whether there was memory. */
static int dbcpy_options_new(dbc_options **options) {
  *options = dbc_options_new();
  return *options != NULL;
}

/* dbc_get_changed: a pointer to a dbc_value, or else a status. No status is as large as the lowest address there is. */
static uintptr_t dbcpy_get(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version,
                           double timestamp) {
  dbc_value *value = NULL;
  int status = dbc_get_changed(cache, key, key_size, held_version, DBCPY_TIME(timestamp), &value);
  return status == DBC_OK ? (uintptr_t)value : (uintptr_t)status;
}

/* A get of what Python holds, as it asks for it: made once, when the object is held, since every argument of a call
 * costs the caller tens of nanoseconds. */
struct dbcpy_question {
  dbc_cache *cache;
  size_t key_size;
  uint64_t held_version;
  /* the key */
};

/* dbcpy_get, now, of the question in a Python bytes, which need not be aligned. */
static uintptr_t dbcpy_ask(const char *bytes) {
  struct dbcpy_question question;
  memcpy(&question, bytes, sizeof question);
  dbc_value *value = NULL;
  int status = dbc_get_changed(question.cache, bytes + sizeof question, question.key_size, question.held_version, NULL,
                               &value);
  return status == DBC_OK ? (uintptr_t)value : (uintptr_t)status;
}

/* dbc_value_data as characters, which cffi can make a Python bytes of in one step. */
static const char *dbcpy_bytes(const dbc_value *value) { return (const char *)dbc_value_data(value); }

/* dbc_put: the item's version, or the status of the error as a negative number. */
static int64_t dbcpy_put(dbc_cache *cache, const char *key, size_t key_size, const char *value, size_t value_size,
                         double timestamp) {
  uint64_t version = 0;
  int status = dbc_put(cache, key, key_size, value, value_size, DBC_TEXT, DBCPY_TIME(timestamp), &version);
  return status == DBC_OK ? (int64_t)version : -(int64_t)status;
}

/* dbc_exists: the status. */
static int dbcpy_exists(dbc_cache *cache, const char *key, size_t key_size, double timestamp) {
  return dbc_exists(cache, key, key_size, DBCPY_TIME(timestamp));
}

/* dbc_get_tier: the tier, or the status of the error as a negative number. */
static int dbcpy_tier(dbc_cache *cache, const char *key, size_t key_size, double timestamp) {
  int tier = DBC_TIER_NONE;
  int status = dbc_get_tier(cache, key, key_size, DBCPY_TIME(timestamp), &tier);
  return status == DBC_OK || status == DBC_NOT_FOUND ? tier : -status;
}

/* dbc_get_many: the status. */
static int dbcpy_get_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                          const uint64_t *held_versions, double timestamp, dbc_result **result) {
  return dbc_get_many(cache, count, keys, key_sizes, held_versions, DBCPY_TIME(timestamp), result);
}
static void dbcpy_result_free(dbc_result **result) {
  dbc_result_free(*result);
  *result = NULL;
}

/* dbc_put_many: the status. */
static int dbcpy_put_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes, const char *values,
                          const size_t *value_sizes, double timestamp, uint64_t *versions) {
  return dbc_put_many(cache, count, keys, key_sizes, values, value_sizes, DBC_TEXT, DBCPY_TIME(timestamp), versions);
}

/* Numbers that are never negative, or the status of the error as a negative number. */
static int64_t dbcpy_delete_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes) {
  uint64_t removed = 0;
  int status = dbc_delete_many(cache, count, keys, key_sizes, &removed);
  return status == DBC_OK ? (int64_t)removed : -(int64_t)status;
}

static int64_t dbcpy_purge_expired(dbc_cache *cache, double timestamp) {
  uint64_t removed = 0;
  int status = dbc_purge_expired(cache, DBCPY_TIME(timestamp), &removed);
  return status == DBC_OK ? (int64_t)removed : -(int64_t)status;
}

static int64_t dbcpy_count(dbc_cache *cache) {
  uint64_t items = 0;
  int status = dbc_count(cache, &items);
  return status == DBC_OK ? (int64_t)items : -(int64_t)status;
}

static int64_t dbcpy_total_size(dbc_cache *cache) {
  uint64_t bytes = 0;
  int status = dbc_total_size(cache, &bytes);
  return status == DBC_OK ? (int64_t)bytes : -(int64_t)status;
}

/* dbc_dropped: how many versions were stored, or, when the list had overflowed before and every object held must go, -1
 * minus that number. An error (the cache is closed) counts as nothing dropped. */
static int dbcpy_dropped(dbc_cache *cache, uint64_t *versions, int capacity) {
  size_t count = 0;
  int overflowed = 0;
  if (dbc_dropped(cache, versions, (size_t)capacity, &count, &overflowed) != DBC_OK) return 0;
  return overflowed ? -1 - (int)count : (int)count;
}
