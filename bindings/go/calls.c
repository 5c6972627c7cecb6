#include "calls.h"

#include <string.h>

#include "_cgo_export.h"

/* This thread is inside of a log handler. Until a callback from C returns, its goroutine stays on this thread, so what
 * the handler itself calls is seen here as well. */
static _Thread_local int inside_log_handler;

/* A handler that uses the cache makes messages of its own; handling those too would never end. */
static void deliver(void *context, int level, const char *message, size_t message_size) {
  if (inside_log_handler) return;
  inside_log_handler = 1;
  dbcgoLog((uintptr_t)context, level, (char *)message, message_size);
  inside_log_handler = 0;
}

static void give_back(void *context) { dbcgoLogDone((uintptr_t)context); }

static dbcgo_answer answer(dbc_status status) {
  dbcgo_answer made = {.status = (int32_t)status};
  if (status >= DBC_INVALID_ARGUMENT) made.message = strdup(dbc_last_error());
  return made;
}

static dbcgo_answer answer_with(dbc_status status, uint64_t number) {
  dbcgo_answer made = answer(status);
  made.number = number;
  return made;
}

static dbcgo_answer refuse(const char *message) {
  dbcgo_answer made = {.status = DBC_INVALID_ARGUMENT, .message = strdup(message)};
  return made;
}

/* What can be asked for along with a call must not turn its success into a failure: an error (the cache was closed in
 * between) counts as nothing dropped. */
static void fetch_dropped(dbc_cache *cache, uint64_t *dropped, size_t capacity, dbcgo_answer *made) {
  if (capacity == 0) return;
  int overflowed = 0;
  dbc_dropped(cache, dropped, capacity, &made->dropped, &overflowed);
  made->overflowed = overflowed;
}

#define TIME(time) ((time).given ? &(time).seconds : NULL)

/* ---- Open and close. */

static dbc_status set_options(dbc_options *options, size_t numbers, const int32_t *number_options,
                              const uint64_t *number_values, size_t doubles, const int32_t *double_options,
                              const double *double_values) {
  dbc_status status = DBC_OK;
  for (size_t i = 0; i < numbers && status == DBC_OK; ++i) {
    status = dbc_options_set_u64(options, (dbc_option)number_options[i], number_values[i]);
  }
  for (size_t i = 0; i < doubles && status == DBC_OK; ++i) {
    status = dbc_options_set_double(options, (dbc_option)double_options[i], double_values[i]);
  }
  return status;
}

dbcgo_answer dbcgo_open(const char *path, const char *schema_version, size_t numbers, const int32_t *number_options,
                        const uint64_t *number_values, size_t doubles, const int32_t *double_options,
                        const double *double_values, uintptr_t log, int32_t log_level, dbc_cache **cache) {
  *cache = NULL;
  dbc_options *options = dbc_options_new();
  if (!options) {
    if (log) give_back((void *)log);
    dbcgo_answer made = {.status = DBC_NO_MEMORY, .message = strdup("out of memory")};
    return made;
  }
  dbc_status status = DBC_OK;
  if (log) {
    status = dbc_options_set_log(options, deliver, (void *)log, give_back);
    if (status == DBC_OK) status = dbc_options_set_u64(options, DBC_LOG_LEVEL, (uint64_t)log_level);
  }
  if (status == DBC_OK) {
    status = set_options(options, numbers, number_options, number_values, doubles, double_options, double_values);
  }
  if (status == DBC_OK) status = dbc_open(path, schema_version, options, cache);
  dbcgo_answer made = answer(status);
  dbc_options_free(options);
  return made;
}

dbcgo_answer dbcgo_close(dbc_cache *cache) {
  if (inside_log_handler) return refuse("a cache cannot be closed from within a log handler that a cache has called");
  return answer(dbc_close(cache));
}

dbcgo_answer dbcgo_set_log_level(dbc_cache *cache, int32_t level) { return answer(dbc_set_log_level(cache, level)); }

void dbcgo_tell(uintptr_t log, int32_t level, const char *message, size_t message_size) {
  deliver((void *)log, level, message, message_size);
}

/* ---- Single items. */

dbcgo_answer dbcgo_put(dbc_cache *cache, const char *key, size_t key_size, const char *value, size_t value_size,
                       uint32_t flags, dbcgo_time time, uint64_t *dropped, size_t dropped_capacity) {
  uint64_t version = 0;
  dbcgo_answer made = answer(dbc_put(cache, key, key_size, value, value_size, flags, TIME(time), &version));
  made.version = version;
  if (made.status == DBC_OK) fetch_dropped(cache, dropped, dropped_capacity, &made);
  return made;
}

dbcgo_answer dbcgo_get(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version, dbcgo_time time,
                       char *buffer, size_t capacity, uint64_t *dropped, size_t dropped_capacity) {
  dbc_value *value = NULL;
  dbcgo_answer made = answer(dbc_get_changed(cache, key, key_size, held_version, TIME(time), &value));
  if (made.status != DBC_OK) return made;
  made.version = dbc_value_version(value);
  made.timestamp = dbc_value_timestamp(value);
  made.size = dbc_value_size(value);
  made.number = (uint64_t)dbc_value_is_text(value);
  if (made.size <= capacity) {
    if (made.size > 0) memcpy(buffer, dbc_value_data(value), made.size);
    dbc_value_release(value);
  } else {
    made.pinned = value;
    made.data = dbc_value_data(value);
  }
  fetch_dropped(cache, dropped, dropped_capacity, &made);
  return made;
}

dbcgo_answer dbcgo_get_silent(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version,
                              dbcgo_time time, char *buffer, size_t capacity, uint64_t *dropped,
                              size_t dropped_capacity) {
  return dbcgo_get(cache, key, key_size, held_version, time, buffer, capacity, dropped, dropped_capacity);
}

dbcgo_answer dbcgo_get_into(dbc_cache *cache, const char *key, size_t key_size, dbcgo_time time, char *buffer,
                            size_t capacity) {
  size_t size = 0;
  uint64_t version = 0;
  dbcgo_answer made = answer(dbc_get_into(cache, key, key_size, TIME(time), buffer, capacity, &size, &version));
  made.size = size;
  made.version = version;
  return made;
}

dbcgo_answer dbcgo_delete(dbc_cache *cache, const char *key, size_t key_size) {
  return answer(dbc_delete(cache, key, key_size));
}

dbcgo_answer dbcgo_discard(dbc_cache *cache, const char *key, size_t key_size, uint64_t version, bool memory_hit) {
  return answer(dbc_discard(cache, key, key_size, version, memory_hit));
}

dbcgo_answer dbcgo_exists(dbc_cache *cache, const char *key, size_t key_size, dbcgo_time time) {
  return answer(dbc_exists(cache, key, key_size, TIME(time)));
}

dbcgo_answer dbcgo_tier(dbc_cache *cache, const char *key, size_t key_size, dbcgo_time time) {
  int tier = DBC_TIER_NONE;
  dbc_status status = dbc_get_tier(cache, key, key_size, TIME(time), &tier);
  return answer_with(status, (uint64_t)tier);
}

/* ---- Batches. A block of keys is NULL here when all keys are empty, which the library shall refuse for that reason. */

#define BLOCK(keys) ((keys) ? (keys) : "")

dbcgo_answer dbcgo_put_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                            const char *values, const size_t *value_sizes, uint32_t flags, dbcgo_time time,
                            uint64_t *versions) {
  return answer(dbc_put_many(cache, count, BLOCK(keys), key_sizes, values, value_sizes, flags, TIME(time), versions));
}

dbcgo_rows dbcgo_get_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                          const uint64_t *held_versions, dbcgo_time time) {
  dbcgo_rows rows = {0};
  rows.answer = answer(dbc_get_many(cache, count, BLOCK(keys), key_sizes, held_versions, TIME(time), &rows.result));
  rows.statuses = dbc_result_statuses(rows.result);
  rows.tiers = dbc_result_tiers(rows.result);
  rows.data = dbc_result_data(rows.result);
  rows.sizes = dbc_result_sizes(rows.result);
  rows.versions = dbc_result_versions(rows.result);
  rows.timestamps = dbc_result_timestamps(rows.result);
  return rows;
}

dbcgo_answer dbcgo_delete_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes) {
  uint64_t removed = 0;
  dbc_status status = dbc_delete_many(cache, count, BLOCK(keys), key_sizes, &removed);
  return answer_with(status, removed);
}

/* ---- Whole cache. */

dbcgo_answer dbcgo_clear(dbc_cache *cache) { return answer(dbc_clear(cache)); }

dbcgo_answer dbcgo_clear_memory(dbc_cache *cache) { return answer(dbc_clear_memory(cache)); }

dbcgo_answer dbcgo_flush(dbc_cache *cache) { return answer(dbc_flush(cache)); }

dbcgo_answer dbcgo_purge_expired(dbc_cache *cache, dbcgo_time time) {
  uint64_t removed = 0;
  dbc_status status = dbc_purge_expired(cache, TIME(time), &removed);
  return answer_with(status, removed);
}

dbcgo_answer dbcgo_check(dbc_cache *cache, uint32_t flags, char *report, size_t report_capacity) {
  uint64_t problems = 0;
  dbc_status status = dbc_check(cache, flags, report, report_capacity, &problems);
  return answer_with(status, problems);
}

dbcgo_answer dbcgo_count(dbc_cache *cache) {
  uint64_t items = 0;
  dbc_status status = dbc_count(cache, &items);
  return answer_with(status, items);
}

dbcgo_answer dbcgo_total_size(dbc_cache *cache) {
  uint64_t bytes = 0;
  dbc_status status = dbc_total_size(cache, &bytes);
  return answer_with(status, bytes);
}

dbcgo_answer dbcgo_stats(dbc_cache *cache, uint64_t *values, size_t capacity) {
  return answer(dbc_stats(cache, values, capacity, NULL));
}

dbcgo_answer dbcgo_dropped(dbc_cache *cache, uint64_t *versions, size_t capacity) {
  dbcgo_answer made = {.status = DBC_OK};
  fetch_dropped(cache, versions, capacity, &made);
  return made;
}
