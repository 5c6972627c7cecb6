/* One C function for each operation of the binding: it makes the call of dbc.h and takes along, within the same call
 * from Go, whatever would otherwise need another one. That is the message of an error, above all: dbc_last_error()
 * belongs to a thread, and a goroutine may be on another thread by its next call.
 *
 * Everything comes back by value, so no Go pointer is ever stored in memory that is passed. */
#ifndef DBCGO_CALLS_H
#define DBCGO_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dbc.h"

typedef struct dbcgo_answer {
  int32_t status;
  int32_t overflowed; /* of dbc_dropped: every object held must go */
  size_t dropped;     /* how many versions dbc_dropped stored */
  uint64_t number;    /* what was asked for: a count, bytes, a tier, ... */
  uint64_t version;
  double timestamp;
  size_t size;       /* of the value */
  dbc_value *pinned; /* the value, when it was not copied: to be released */
  const void *data;  /* its bytes */
  char *message;     /* of an error: to be freed; NULL when there was no memory for it */
} dbcgo_answer;

/* The timestamp of a call. */
typedef struct dbcgo_time {
  double seconds;
  int32_t given; /* 0: now, by the library's clock */
} dbcgo_time;

/* ---- Open and close. `log` is a cgo.Handle, or 0: no logging. On an error it is given back all the same. */
dbcgo_answer dbcgo_open(const char *path, const char *schema_version, size_t numbers, const int32_t *number_options,
                        const uint64_t *number_values, size_t doubles, const int32_t *double_options,
                        const double *double_values, uintptr_t log, int32_t log_level, dbc_cache **cache);
dbcgo_answer dbcgo_close(dbc_cache *cache);
dbcgo_answer dbcgo_set_log_level(dbc_cache *cache, int32_t level);
/* A message of the binding's own, delivered as those of the library are. */
void dbcgo_tell(uintptr_t log, int32_t level, const char *message, size_t message_size);

/* ---- Single items. `dropped` has room for `dropped_capacity` versions, which dbc_dropped fills when the tiers may
 * have changed; 0 asks for none. */
dbcgo_answer dbcgo_put(dbc_cache *cache, const char *key, size_t key_size, const char *value, size_t value_size,
                       uint32_t flags, dbcgo_time time, uint64_t *dropped, size_t dropped_capacity);

/* dbc_get_changed. A value that fits into `buffer` is copied there; a larger one is pinned. */
dbcgo_answer dbcgo_get(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version, dbcgo_time time,
                       char *buffer, size_t capacity, uint64_t *dropped, size_t dropped_capacity);
/* The same, for a cache without a log callback: nothing in it can call back into Go. */
dbcgo_answer dbcgo_get_silent(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version,
                              dbcgo_time time, char *buffer, size_t capacity, uint64_t *dropped,
                              size_t dropped_capacity);
dbcgo_answer dbcgo_get_into(dbc_cache *cache, const char *key, size_t key_size, dbcgo_time time, char *buffer,
                            size_t capacity);
dbcgo_answer dbcgo_delete(dbc_cache *cache, const char *key, size_t key_size);
dbcgo_answer dbcgo_discard(dbc_cache *cache, const char *key, size_t key_size, uint64_t version, bool memory_hit);
dbcgo_answer dbcgo_exists(dbc_cache *cache, const char *key, size_t key_size, dbcgo_time time);
dbcgo_answer dbcgo_tier(dbc_cache *cache, const char *key, size_t key_size, dbcgo_time time); /* number: the tier */

/* ---- Batches. */
dbcgo_answer dbcgo_put_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                            const char *values, const size_t *value_sizes, uint32_t flags, dbcgo_time time,
                            uint64_t *versions);

/* The result, to be freed with dbc_result_free, and its columns. */
typedef struct dbcgo_rows {
  dbcgo_answer answer;
  dbc_result *result;
  const int32_t *statuses;
  const int32_t *tiers;
  const void *const *data;
  const size_t *sizes;
  const uint64_t *versions;
  const double *timestamps;
} dbcgo_rows;
dbcgo_rows dbcgo_get_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                          const uint64_t *held_versions, dbcgo_time time);
dbcgo_answer dbcgo_delete_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes);

/* ---- Whole cache. */
dbcgo_answer dbcgo_clear(dbc_cache *cache);
dbcgo_answer dbcgo_clear_memory(dbc_cache *cache);
dbcgo_answer dbcgo_flush(dbc_cache *cache);
dbcgo_answer dbcgo_purge_expired(dbc_cache *cache, dbcgo_time time);
dbcgo_answer dbcgo_check(dbc_cache *cache, uint32_t flags, char *report, size_t report_capacity); /* number: problems */
dbcgo_answer dbcgo_count(dbc_cache *cache);
dbcgo_answer dbcgo_total_size(dbc_cache *cache);
dbcgo_answer dbcgo_stats(dbc_cache *cache, uint64_t *values, size_t capacity);
dbcgo_answer dbcgo_dropped(dbc_cache *cache, uint64_t *versions, size_t capacity);

#endif /* DBCGO_CALLS_H */
