/* dbc.h - libdbc, a two-tier cache: memory over SQLite.
 *
 * The simple way to use it:
 *
 *     dbc_cache *cache = NULL;
 *     if (dbc_open("cache/users.db", "1.0.0", NULL, &cache) != DBC_OK) die(dbc_last_error());
 *     dbc_put(cache, "user:1", 6, "Ada", 3, 0, NULL, NULL);
 *
 *     dbc_value *value = NULL;
 *     if (dbc_get(cache, "user:1", 6, NULL, &value) == DBC_OK) {
 *         fwrite(dbc_value_data(value), 1, dbc_value_size(value), stdout);
 *         dbc_value_release(value);
 *     }
 *     dbc_free(cache);
 *
 * What holds for every function here:
 *
 * - Keys are UTF-8 of 1 to 256 characters without U+0000, given as bytes and a size in bytes; no terminating zero is
 *   needed. Values are bytes that the library never interprets; they may be empty.
 * - Timestamps are seconds since the Unix epoch. A `timestamp` parameter is a pointer: NULL means "now, by the library's
 *   clock"; otherwise the time pointed to counts as given, also when it is older than one given before. It must be finite.
 * - A function that can fail returns a dbc_status. DBC_OK, DBC_NOT_FOUND and DBC_UNCHANGED are answers; everything from
 *   DBC_INVALID_ARGUMENT on is an error, and dbc_last_error() then says what was wrong. After an error nothing has changed,
 *   in neither tier, and out-parameters hold NULL or zero.
 * - Pointers passed in are read during the call only. Handles passed out belong to the caller, who gives them back with
 *   the function named beside them. A NULL handle is an error where a status is returned, and harmless where one is freed.
 * - Thread-safety: every function taking a dbc_cache may be called from any number of threads at once, dbc_close
 *   included; dbc_free alone must be the last call on its handle. Values and results may be read by many threads. A
 *   dbc_options is used by one thread at a time.
 * - After fork() the child may go on using its copy of a cache; its first call there opens the file anew, and its counters
 *   start at 0. (A cache at ":memory:" starts empty in the child.) Values and results stay readable in both. fork() waits
 *   for reads and transactions that other threads are in the middle of.
 * - A file that turns out to be damaged is moved aside and a fresh one started, also in the middle of its use (see
 *   DBC_ON_CORRUPT); the handle goes on with it, and its counters start at 0.
 * - No function throws, aborts, or calls back while a lock is held.
 *
 * Since: everything without a "Since" line of its own is there since ABI 1, version 0.1.0.
 */
#ifndef DBC_H
#define DBC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(DBC_STATIC) || !defined(__GNUC__)
#define DBC_API
#else
#define DBC_API __attribute__((visibility("default")))
#endif

/* ------------------------------------------------------------------------------------------------ versions -------- */

/* The version of the package, and the number of the binary interface (the soname). They move apart: the package's with
 * every release, the ABI's only when a program built against an older header would no longer run. */
#define DBC_VERSION_MAJOR 0
#define DBC_VERSION_MINOR 1
#define DBC_VERSION_PATCH 0
#define DBC_VERSION_TEXT "0.1.0"
#define DBC_ABI_VERSION 1

/* The library's own DBC_VERSION_TEXT and DBC_ABI_VERSION, to compare with the header's. Static storage. */
DBC_API const char *dbc_version_text(void);
DBC_API int dbc_abi_version(void);

/* -------------------------------------------------------------------------------------------------- errors -------- */

/* Values are pinned: none is ever renumbered or reused. 1000 and up are for experiments and promise nothing. */
typedef enum dbc_status {
  DBC_OK = 0,
  DBC_NOT_FOUND = 1, /* the key is not there (or expired, or discarded): a miss, not an error */
  DBC_UNCHANGED = 2, /* the caller already holds the current version: a hit that carries no bytes */

  DBC_INVALID_ARGUMENT = 16, /* an argument is out of its range; the message names it and the limit */
  DBC_CLOSED = 17,           /* the cache was closed */
  DBC_BUSY = 18,             /* another process or program held the file beyond the busy timeout: try again */
  DBC_IO = 19,               /* the operating system refused: permissions, a directory, a failing device */
  DBC_FULL = 20,             /* no space left on the device or within the quota */
  DBC_CORRUPT = 21,          /* the file is damaged or no database, and the option on_corrupt says to fail */
  DBC_VERSION = 22,          /* the file has a newer format than this library knows, or a process with another release
                              * of the library has it open; it is left untouched */
  DBC_FOREIGN = 23,          /* a sound SQLite database that is not a cache; it is left untouched */
  DBC_NO_MEMORY = 24,        /* an allocation failed */
  DBC_BUFFER_TOO_SMALL = 25, /* dbc_get_into: the size needed was stored */
  DBC_INTERNAL = 26          /* a defect in the library; please report the message */
} dbc_status;

/* The symbolic name of a status ("DBC_NOT_FOUND"), or "DBC_UNKNOWN". Static storage. */
DBC_API const char *dbc_status_name(int status);

/* The message of the last error on the calling thread: UTF-8, at most 1023 bytes, "" when there was none. Calls that
 * succeed leave it alone. Valid until the next failing call on this thread. */
DBC_API const char *dbc_last_error(void);

/* ------------------------------------------------------------------------------------------------- options -------- */

typedef struct dbc_options dbc_options;

/* Which setter takes an option is said in brackets. Values are pinned. */
typedef enum dbc_option {
  DBC_MAX_MEMORY_ITEMS = 1,        /* [u64] default 10 000; 0 switches the memory tier off. (No u64 option is above INT64_MAX) */
  DBC_MAX_MEMORY_SIZE_BYTES = 2,   /* [u64] default 64 MiB: the sum of value sizes in memory */
  DBC_MAX_DISK_ITEMS = 3,          /* [u64] default 1 000 000, at least 1 */
  DBC_MAX_DISK_SIZE_BYTES = 4,     /* [u64] default 1 GiB, at least 1: the sum of value sizes on disk */
  DBC_MEMORY_TTL_SECONDS = 5,      /* [double] default 300, > 0; infinity: never */
  DBC_DISK_TTL_SECONDS = 6,        /* [double] default 604 800 (7 days), > 0; infinity: never */
  DBC_MAX_ITEM_SIZE_BYTES = 7,     /* [u64] default 1 MiB: larger values live on disk only */
  DBC_MEMORY_VALUES = 8,           /* [u64] default 1; 0: see dbc_get_changed */
  DBC_DURABILITY = 9,              /* [u64] a dbc_durability, default DBC_DURABILITY_NORMAL */
  DBC_BUSY_TIMEOUT_SECONDS = 10,   /* [double] default 5, >= 0, at most 86 400: how long a write waits for other writers */
  DBC_LOG_LEVEL = 11,              /* [u64] a dbc_log_level, default DBC_LOG_INFO; matters with a callback only */
  DBC_ON_CORRUPT = 12,             /* [u64] a dbc_on_corrupt, default DBC_ON_CORRUPT_RESTART */
  DBC_TOUCH_DELAY_SECONDS = 13,    /* [double] default 1, > 0, at most 3600: how long the file may lag behind in access times */
  DBC_FILE_MODE = 14,              /* [u64] default 0600: permission bits of files that are created */
  DBC_WRITE_MODE = 15,             /* [u64] a dbc_write_mode, default DBC_WRITE_THROUGH */
  DBC_WRITE_BEHIND_ITEMS = 16,     /* [u64] default 1000, from 1 to 1 000 000: how many puts may wait to be committed */
  DBC_WRITE_BEHIND_SIZE_BYTES = 17, /* [u64] default 8 MiB, at least 1: the sum of their value sizes */
  DBC_WRITE_BEHIND_DELAY_SECONDS = 18, /* [double] default 0.1, > 0, at most 3600: how long one may wait */
  DBC_COMPRESSION = 19             /* [u64] a dbc_compression, default DBC_COMPRESSION_NONE */
} dbc_option;

/* When a put is acknowledged. */
typedef enum dbc_write_mode {
  /* When it is committed to the file. Puts of several threads at once share a transaction. */
  DBC_WRITE_THROUGH = 0,
  /* When it is in a bounded buffer in memory. This handle sees it at once; other handles, and the limits on disk, when a thread
   * of the library has committed it, in the order of the puts, many in one transaction: after DBC_WRITE_BEHIND_DELAY_SECONDS at
   * the latest, and sooner as the buffer fills. A full buffer makes callers wait until it is committed; nothing is dropped. When a
   * commit fails (dbc_put gives the error when the buffer is full), what the buffer holds is kept and tried again,
   * unless the file was found damaged: with what was in it, what waited for it is lost.
   * dbc_flush waits for everything, and reports errors; dbc_close flushes. dbc_put_many and every removal
   * commit what waits, and then themselves. A crash or a kill loses at most the buffer. Puts that another handle makes to the
   * same key meanwhile are overwritten at the commit. A child made by fork() has none of its parent's buffer. */
  DBC_WRITE_BEHIND = 1
} dbc_write_mode;

/* What a commit survives. In every mode a killed process loses nothing that a call had acknowledged. */
typedef enum dbc_durability {
  DBC_DURABILITY_NORMAL = 0, /* power loss: the file stays sound, the last commits may be gone */
  DBC_DURABILITY_FULL = 1,   /* power loss: nothing acknowledged is gone; every put waits for the device */
  DBC_DURABILITY_OFF = 2     /* power loss may damage the file (it is then found and moved aside); fastest */
} dbc_durability;

/* How values are stored from now on; all are read, and a file may hold both kinds. Sizes and limits are those of the values as
 * given. Where compression saves less than an eighth, a value is stored as given. */
typedef enum dbc_compression {
  DBC_COMPRESSION_NONE = 0,
  DBC_COMPRESSION_ZSTD = 1 /* refused by a library built without zstd, which also removes such values when it meets them */
} dbc_compression;

/* What happens to a file that is no database, or damaged. */
typedef enum dbc_on_corrupt {
  DBC_ON_CORRUPT_RESTART = 0, /* moved aside as <name>.corrupt-<time> with a WARNING; a fresh cache is started */
  DBC_ON_CORRUPT_FAIL = 1     /* DBC_CORRUPT; the file is left as it is */
} dbc_on_corrupt;

/* All defaults. NULL when memory is short. Freed with dbc_options_free. */
DBC_API dbc_options *dbc_options_new(void);
DBC_API void dbc_options_free(dbc_options *options);

/* Set one option. Errors: DBC_INVALID_ARGUMENT, naming the option, for an unknown one, one of another type, and a value
 * out of range; the option then keeps its value. */
DBC_API dbc_status dbc_options_set_u64(dbc_options *options, dbc_option option, uint64_t value);
DBC_API dbc_status dbc_options_set_double(dbc_options *options, dbc_option option, double value);

/* ------------------------------------------------------------------------------------------------- logging -------- */

/* The numbers are those of Python's logging. */
typedef enum dbc_log_level {
  DBC_LOG_TRACE = 5, /* every operation and its outcome */
  DBC_LOG_DEBUG = 10,
  DBC_LOG_INFO = 20,    /* opening, closing, the first disk eviction, items discarded on open */
  DBC_LOG_WARNING = 30, /* a file moved aside, nothing to share through, a checksum that fails, work in the background that failed */
  DBC_LOG_ERROR = 40,   /* nothing yet */
  DBC_LOG_OFF = 100
} dbc_log_level;

/* Called with no lock held, on the thread that called the library, before that call returns; also from several threads
 * at once. `message` is UTF-8 with a terminating zero and lives during the call. It may use the cache, except to close or
 * free it. It must not throw or longjmp. */
typedef void (*dbc_log_callback)(void *context, int level, const char *message, size_t message_size);
typedef void (*dbc_finalizer)(void *context);

/* The options take over `context`: `finalizer` (may be NULL) is called with it exactly once, when neither the options nor
 * any cache opened with them can call back any more; if this call fails, at once. `callback` NULL takes logging away. */
DBC_API dbc_status dbc_options_set_log(dbc_options *options, dbc_log_callback callback, void *context,
                                       dbc_finalizer finalizer);

/* -------------------------------------------------------------------------------------------- open and close ------ */

typedef struct dbc_cache dbc_cache;

/* Opens the cache in the SQLite file at `path` (UTF-8, zero-terminated), creating it and missing parent directories;
 * ":memory:" keeps the disk tier in RAM, for this handle alone. Beside the file live `<path>-wal`, `<path>-shm` (SQLite's)
 * and `<path>-dbc` (what processes share; never delete it while the cache is in use). Where that one cannot be had (network
 * file system, no permission), the handle goes on without it, slower, and says so with a WARNING; processes with and without
 * it cannot use the file at the same time, and get DBC_BUSY. A file that may not be written is DBC_IO, and so is one
 * that has a second name (a hard link): by that name SQLite would keep another journal for it, and damage it.
 *
 * `schema_version` (zero-terminated, 1 to 64 bytes) says which shape of object the values encode: items stored under
 * another one are removed on open and never returned. Limits are enforced on what the file holds. `options` NULL means all
 * defaults; they are copied, and may be freed at once. Any number of handles, in any number of processes, may use one file.
 *
 * On DBC_OK `*cache` is a handle to be freed with dbc_free. Errors: DBC_INVALID_ARGUMENT, DBC_IO, DBC_FULL, DBC_BUSY,
 * DBC_CORRUPT, DBC_VERSION, DBC_FOREIGN, DBC_NO_MEMORY. */
DBC_API dbc_status dbc_open(const char *path, const char *schema_version, const dbc_options *options, dbc_cache **cache);

/* Writes what is pending (see dbc_flush) and closes the file. Waits for calls that other threads are inside of; calls
 * that begin later give DBC_CLOSED. Values and results stay readable. Who closes while another thread does waits for that
 * one and gets the same status; closing again later is DBC_OK. An error (DBC_IO ...) says that access times, or with
 * DBC_WRITE_BEHIND puts that waited, could not be written, and are lost (a WARNING in the log tells how many puts): the cache is
 * closed all the same. Who wants to try again calls dbc_flush first. */
DBC_API dbc_status dbc_close(dbc_cache *cache);

/* Closes if need be, and frees the handle. No other call on the handle may run or follow. */
DBC_API void dbc_free(dbc_cache *cache);

/* From now on messages below `level` (a dbc_log_level, or a number from 0 to DBC_LOG_OFF) are dropped before they are made.
 * Waits for nothing, and opens nothing after a fork().
 * Errors: DBC_INVALID_ARGUMENT, DBC_CLOSED. */
DBC_API dbc_status dbc_set_log_level(dbc_cache *cache, int level);

/* -------------------------------------------------------------------------------------------------- values -------- */

/* A pinned, reference-counted value: no copy of the cache's own bytes, readable until released, also after the item was
 * evicted or replaced and after the cache was closed and freed. Immutable but for the timestamp. */
typedef struct dbc_value dbc_value;

DBC_API const void *dbc_value_data(const dbc_value *value); /* never NULL, aligned to 8 bytes; NULL for a NULL value */
DBC_API size_t dbc_value_size(const dbc_value *value);      /* bytes */
DBC_API int dbc_value_is_text(const dbc_value *value);      /* 1 if it was put with DBC_TEXT */

/* The number of this state of the item: unique within the file, never reused, larger for a later put. Never 0. */
DBC_API uint64_t dbc_value_version(const dbc_value *value);

/* The time of the item's last access. It follows later gets for as long as the item stays in memory. */
DBC_API double dbc_value_timestamp(const dbc_value *value);

DBC_API void dbc_value_retain(dbc_value *value);  /* one more owner */
DBC_API void dbc_value_release(dbc_value *value); /* one owner less; the last frees */

/* --------------------------------------------------------------------------------------------- single items ------- */

/* Flags of dbc_put and dbc_put_many. */
#define DBC_TEXT 1u /* the value is UTF-8 text and shall read as text in the sqlite3 shell */

/* Stores an item in both tiers, then evicts until all limits hold (which may hit the item itself). `value` may be NULL
 * when `value_size` is 0. `*version` (may be NULL) becomes the item's version, see dbc_value_version. One transaction.
 * Errors: DBC_INVALID_ARGUMENT (also for a value larger than max_disk_size_bytes, or than the 999 995 904 bytes that
 * SQLite can store beside a key; what was stored before stays), DBC_CLOSED, DBC_BUSY, DBC_IO, DBC_FULL, DBC_CORRUPT,
 * DBC_NO_MEMORY. */
DBC_API dbc_status dbc_put(dbc_cache *cache, const char *key, size_t key_size, const void *value, size_t value_size,
                           unsigned flags, const double *timestamp, uint64_t *version);

/* Looks a key up: DBC_OK with a value (release it with dbc_value_release), or DBC_NOT_FOUND. A hit sets the item's
 * timestamp; one on disk also brings the item into memory. Expired and unusable items are removed on the way.
 * Errors: DBC_INVALID_ARGUMENT, DBC_CLOSED, DBC_BUSY, DBC_IO, DBC_FULL (SQLite needs a little room to read), DBC_CORRUPT,
 * DBC_NO_MEMORY. */
DBC_API dbc_status dbc_get(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp,
                           dbc_value **value);

/* The conditional get: as dbc_get, but when the current version of the item is `held_version` the answer is DBC_UNCHANGED
 * and `*value` is NULL. `held_version` 0 holds nothing. A binding keeps its decoded object with the version it was put or
 * read under, and asks with it; the library stays the one authority on order, TTL, coherence and statistics.
 *
 * With the option DBC_MEMORY_VALUES at 0 the memory tier keeps no bytes, only who is resident, since the binding has the
 * objects: a get that holds the version of a resident item is a memory hit; one that does not reads the bytes from disk
 * and counts as a disk hit. dbc_dropped tells which objects to let go. */
DBC_API dbc_status dbc_get_changed(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version,
                                   const double *timestamp, dbc_value **value);

/* As much of dbc_get_changed as needs memory alone, for callers that must not wait: an event loop, a thread that holds an
 * interpreter's lock. DBC_OK or DBC_UNCHANGED is a memory hit in every respect. DBC_NOT_FOUND says nothing about the key: nothing
 * was counted, changed or removed, and dbc_get_changed has the answer. Waits neither for the disk nor for other processes, and
 * never calls back (so with DBC_LOG_TRACE it answers nothing).
 * Errors: DBC_INVALID_ARGUMENT, DBC_CLOSED. */
DBC_API dbc_status dbc_get_from_memory(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version,
                                       const double *timestamp, dbc_value **value);

/* As dbc_get, copied into the caller's `buffer` of `capacity` bytes. `*size` becomes the value's size, `*version` (may be
 * NULL) its version. DBC_BUFFER_TOO_SMALL: nothing was copied, `*size` is what is needed and `*version` is set; it counted as a
 * get. Other errors as dbc_get. */
DBC_API dbc_status dbc_get_into(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp, void *buffer,
                                size_t capacity, size_t *size, uint64_t *version);

/* DBC_OK if something was removed, DBC_NOT_FOUND if there was nothing. Errors as dbc_put. */
DBC_API dbc_status dbc_delete(dbc_cache *cache, const char *key, size_t key_size);

/* For bindings whose decoder refused a value they were just given: removes the item if it still has `version`, and counts
 * that get as a miss and a discard instead of a hit. `was_memory_hit` is 0 or 1: which kind of hit it was counted as
 * (dbc_get_changed with DBC_MEMORY_VALUES at 0: always 0). DBC_OK, also if the item is gone. Errors as dbc_put; the get then counts
 * as a miss all the same, and the item stays for the next get to find. */
DBC_API dbc_status dbc_discard(dbc_cache *cache, const char *key, size_t key_size, uint64_t version, int was_memory_hit);

/* Would a get at that time find the key? DBC_OK or DBC_NOT_FOUND. No statistics, no touch, no promotion, no removal. */
DBC_API dbc_status dbc_exists(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp);

typedef enum dbc_tier { DBC_TIER_NONE = 0, DBC_TIER_MEMORY = 1, DBC_TIER_DISK = 2 } dbc_tier;

/* Which tier would answer a get at that time? Changes nothing. (`tier` is an int for the sake of bindings.) */
DBC_API dbc_status dbc_get_tier(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp, int *tier);

/* -------------------------------------------------------------------------------------------------- batches ------- */

/* Batches are packed: all keys in one block, one after the other without separators, and their sizes in an array. */

/* Stores `count` items atomically, all with one timestamp; evicts once, at the end. A key that comes twice keeps the later
 * value. `versions` (may be NULL) takes `count` numbers. `count` 0 does nothing. Errors as dbc_put; the message names the
 * index of the offending item. */
DBC_API dbc_status dbc_put_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                                const void *values, const size_t *value_sizes, unsigned flags, const double *timestamp,
                                uint64_t *versions);

/* The answer of dbc_get_many: `count` rows in the order of the keys asked for. Freed with dbc_result_free; until then
 * everything it lends stays valid, also after the cache is closed and freed. Immutable. */
typedef struct dbc_result dbc_result;

DBC_API size_t dbc_result_count(const dbc_result *result);
/* Arrays of dbc_result_count elements. A row's status is DBC_OK, DBC_NOT_FOUND or DBC_UNCHANGED. Data and size are those
 * of the value with DBC_OK, else NULL and 0; version and timestamp are 0 with DBC_NOT_FOUND. `tiers` holds dbc_tier. */
DBC_API const int32_t *dbc_result_statuses(const dbc_result *result);
DBC_API const int32_t *dbc_result_tiers(const dbc_result *result);
DBC_API const void *const *dbc_result_data(const dbc_result *result);
DBC_API const size_t *dbc_result_sizes(const dbc_result *result);
DBC_API const uint64_t *dbc_result_versions(const dbc_result *result);
DBC_API const double *dbc_result_timestamps(const dbc_result *result);
DBC_API void dbc_result_free(dbc_result *result);

/* Looks up `count` keys. Touches no timestamp and promotes nothing, so a scan cannot flush the cache; what is on disk is
 * read in one snapshot. `held_versions` (may be NULL) holds `count` versions, as in dbc_get_changed. Every key counts as one
 * get. Expired and unusable items are removed as by dbc_get. Errors as dbc_get. */
DBC_API dbc_status dbc_get_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                                const uint64_t *held_versions, const double *timestamp, dbc_result **result);

/* Deletes atomically. `*removed` (may be NULL) becomes the number of items that were there. Errors as dbc_put. */
DBC_API dbc_status dbc_delete_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                                   uint64_t *removed);

/* ----------------------------------------------------------------------------------------------- whole cache ------ */

/* Removes every item from both tiers. Counters of operations stay. Errors as dbc_put. */
DBC_API dbc_status dbc_clear(dbc_cache *cache);

/* Empties the memory tier; the disk keeps everything. Errors: DBC_CLOSED, DBC_NO_MEMORY; where the file has to be opened
 * again (after a fork(), or when it was damaged or replaced) those of dbc_open too. */
DBC_API dbc_status dbc_clear_memory(dbc_cache *cache);

/* Writes pending access times to the file, so that other programs see them; also what could not be written in the background
 * before. Errors as dbc_put; what was not written is pending still. */
DBC_API dbc_status dbc_flush(dbc_cache *cache);

/* Removes all items that are past the disk TTL at that time; `*removed` (may be NULL) becomes their number; they count as
 * disk_expired. Items past the memory TTL leave memory. Where there are many, in several transactions, between which others
 * write: after an error some may be gone already, and counted. Errors as dbc_put. */
DBC_API dbc_status dbc_purge_expired(dbc_cache *cache, const double *timestamp, uint64_t *removed);

/* Flags of dbc_check. */
#define DBC_CHECK_REPAIR 1u /* mend what is found */

/* Looks at everything: SQLite's structure of the file; every item's key, value, size, checksum, version and times; the order
 * of eviction; the recorded counts and sizes; and that what memory would answer with is what the disk holds. `*problems`
 * becomes their number. `report` (may be NULL when `report_capacity` is 0) receives a line for each of the first, UTF-8, cut
 * to `report_capacity` bytes with a terminating zero; "" when all is well.
 *
 * Reads the whole file, as of one moment; reads and writes go on meanwhile, but fork() and dbc_close wait for it.
 *
 * With DBC_CHECK_REPAIR, and only when there is a problem, one transaction mends the file while other writers wait: items that
 * cannot be used are removed (they count as discarded), the order, the counts and the indexes are made anew. What cannot be
 * mended goes the way of DBC_ON_CORRUPT: the file is moved aside and a fresh one started, or the answer is DBC_CORRUPT and the
 * file is left as it is. `*problems` is what was found before. Without the flag nothing is changed, and damage is a finding, not
 * an error.
 * Errors: DBC_INVALID_ARGUMENT, DBC_CLOSED, DBC_BUSY, DBC_IO, DBC_FULL, DBC_CORRUPT, DBC_NO_MEMORY. Since 0.1.0. */
DBC_API dbc_status dbc_check(dbc_cache *cache, unsigned flags, char *report, size_t report_capacity, uint64_t *problems);

/* Items, and the sum of their sizes in bytes, on disk, where every item is. Not a scan. Errors: as dbc_get. */
DBC_API dbc_status dbc_count(dbc_cache *cache, uint64_t *items);
DBC_API dbc_status dbc_total_size(dbc_cache *cache, uint64_t *bytes);

/* ------------------------------------------------------------------------------------------------ statistics ------ */

/* Positions in the array that dbc_stats fills. Pinned; new ones are added at the end. */
typedef enum dbc_stat {
  DBC_STAT_MEMORY_HITS = 0,
  DBC_STAT_DISK_HITS = 1,
  DBC_STAT_MISSES = 2,
  DBC_STAT_MEMORY_EVICTIONS = 3,
  DBC_STAT_DISK_EVICTIONS = 4,
  DBC_STAT_TOTAL_PUTS = 5,
  DBC_STAT_TOTAL_GETS = 6, /* == memory_hits + disk_hits + misses in every snapshot */
  DBC_STAT_TOTAL_DELETES = 7,
  DBC_STAT_CURRENT_MEMORY_ITEMS = 8,
  DBC_STAT_CURRENT_DISK_ITEMS = 9,
  DBC_STAT_MEMORY_BYTES = 10,
  DBC_STAT_DISK_BYTES = 11,
  DBC_STAT_MEMORY_EXPIRED = 12, /* left memory because of the memory TTL */
  DBC_STAT_DISK_EXPIRED = 13,   /* removed because of the disk TTL */
  DBC_STAT_DISCARDED = 14,      /* removed because unusable: other schema version, checksum, decoder */
  DBC_STAT_COUNT = 15
} dbc_stat;

/* Fills `values` with at most `capacity` numbers; `*count` (may be NULL) becomes how many this library has. Counters
 * belong to the handle and start at 0; current_* and *_bytes describe the tiers. Errors: as dbc_get. */
DBC_API dbc_status dbc_stats(dbc_cache *cache, uint64_t *values, size_t capacity, size_t *count);

/* "memory_hits" ...; NULL from DBC_STAT_COUNT on. Static storage. */
DBC_API const char *dbc_stat_name(size_t index);

/* ------------------------------------------------------------------------------------------ for bindings ---------- */

/* With DBC_MEMORY_VALUES at 0: takes up to `capacity` versions off the list of those that left memory since they were last
 * asked for (evicted, expired, replaced, deleted), oldest first; `*count` becomes how many were stored. Call again while it
 * fills the array. The list is bounded: past 1 048 576 entries it is dropped, and `*overflowed` (may be NULL) becomes 1
 * once, meaning that every object held must go. With DBC_MEMORY_VALUES at 1 the list is always empty. */
DBC_API dbc_status dbc_dropped(dbc_cache *cache, uint64_t *versions, size_t capacity, size_t *count, int *overflowed);

#ifdef __cplusplus
}
#endif
#endif /* DBC_H */
