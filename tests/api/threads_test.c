// Many threads on one handle: right values, consistent numbers, a close that waits.
#include <pthread.h>
#include <stdatomic.h>

#include "support.h"

enum { kThreads = 8, kKeys = 64 };

struct job {
  dbc_cache *cache;
  int index, rounds;
  atomic_int *stop;
  unsigned random;
};

static unsigned next(struct job *job) {
  job->random = job->random * 1103515245u + 12345u;
  return job->random >> 16 & 0x7FFF;
}

static void run_threads(dbc_cache *cache, int rounds, atomic_int *stop, void *(*body)(void *), int threads) {
  pthread_t ids[kThreads * 2];
  static struct job jobs[kThreads * 2];
  for (int i = 0; i < threads; ++i) {
    jobs[i] = (struct job){cache, i, rounds, stop, (unsigned)i * 7919 + 1};
    CHECK(pthread_create(&ids[i], NULL, body, &jobs[i]) == 0);
  }
  for (int i = 0; i < threads; ++i) CHECK(pthread_join(ids[i], NULL) == 0);
}

// A value tells its key and is uniform, so that a mixed-up or torn one shows.
static size_t make_value(char *buffer, const char *key, unsigned random) {
  size_t size = (size_t)snprintf(buffer, 64, "%s:", key), filler = random % 400;
  memset(buffer + size, 'a' + (int)(random % 26), filler);
  return size + filler;
}
static void check_value(const char *data, size_t size, const char *key) {
  size_t head = strlen(key) + 1;
  CHECK(size >= head && memcmp(data, key, head - 1) == 0 && data[head - 1] == ':');
  for (size_t i = head; i < size; ++i) CHECK(data[i] == data[head]);
}

static void check_totals(dbc_cache *cache) {
  uint64_t stats[DBC_STAT_COUNT];
  CHECK(dbc_stats(cache, stats, DBC_STAT_COUNT, NULL) == DBC_OK);
  CHECK(stats[DBC_STAT_TOTAL_GETS] == stats[DBC_STAT_MEMORY_HITS] + stats[DBC_STAT_DISK_HITS] + stats[DBC_STAT_MISSES]);
  CHECK(stats[DBC_STAT_CURRENT_MEMORY_ITEMS] <= 20 && stats[DBC_STAT_CURRENT_DISK_ITEMS] <= 50);
}

static void *mixed(void *argument) {
  struct job *job = argument;
  char key[8], value[512], buffer[512];
  for (int round = 0; round < job->rounds; ++round) {
    unsigned random = next(job);
    snprintf(key, sizeof key, "k%u", next(job) % kKeys);
    dbc_value *found = NULL;
    dbc_status status = DBC_OK;
    size_t size = 0;
    switch (random % 16) {
      case 0:
      case 1:
      case 2:
        CHECK(dbc_put(job->cache, KEY(key), value, make_value(value, key, random), 0, NULL, NULL) == DBC_OK);
        break;
      case 3:
        status = dbc_delete(job->cache, KEY(key));
        CHECK(status == DBC_OK || status == DBC_NOT_FOUND);
        break;
      case 4: {
        size_t sizes[2] = {strlen(key), strlen(key)};
        dbc_result *result = NULL;
        char keys[16];
        snprintf(keys, sizeof keys, "%s%s", key, key);
        CHECK(dbc_get_many(job->cache, 2, keys, sizes, NULL, NULL, &result) == DBC_OK);
        if (dbc_result_statuses(result)[0] == DBC_OK) {
          check_value(dbc_result_data(result)[0], dbc_result_sizes(result)[0], key);
        }
        dbc_result_free(result);
        break;
      }
      case 5:
        check_totals(job->cache);
        break;
      case 6:
        status = dbc_exists(job->cache, KEY(key), NULL);
        CHECK(status == DBC_OK || status == DBC_NOT_FOUND);
        CHECK(tier_of(job->cache, key) >= 0 && count_of(job->cache) <= 50);
        break;
      case 7:
        if (round % 50 == 0) CHECK(dbc_clear_memory(job->cache) == DBC_OK);
        if (round % 200 == 0) CHECK(dbc_clear(job->cache) == DBC_OK && dbc_flush(job->cache) == DBC_OK);
        break;
      case 8:
        status = dbc_get_into(job->cache, KEY(key), NULL, buffer, sizeof buffer, &size, NULL);
        CHECK(status == DBC_OK || status == DBC_NOT_FOUND);
        if (status == DBC_OK) check_value(buffer, size, key);
        break;
      default:
        status = dbc_get(job->cache, KEY(key), NULL, &found);
        CHECK(status == DBC_OK || status == DBC_NOT_FOUND);
        if (found) check_value(dbc_value_data(found), dbc_value_size(found), key);
        dbc_value_release(found);
    }
  }
  return NULL;
}

TEST(step_38_many_threads_on_one_handle) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 20}, {DBC_MAX_DISK_ITEMS, 50}));
  run_threads(cache, 1500, NULL, mixed, kThreads);
  check_totals(cache);
  char count[32];
  snprintf(count, sizeof count, "%llu", (unsigned long long)count_of(cache));
  uint64_t bytes = size_of(cache);
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK_TEXT(query(PATH, "SELECT count(*) FROM cache"), count);
  CHECK(strtoull(query(PATH, "SELECT coalesce(sum(size), 0) FROM cache"), NULL, 10) == bytes);
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

TEST(step_38_many_threads_on_two_handles) {
  dbc_cache *first = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 20}, {DBC_MAX_DISK_ITEMS, 50}));
  dbc_cache *second = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 20}, {DBC_MAX_DISK_ITEMS, 50}));
  pthread_t ids[kThreads];
  struct job jobs[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    jobs[i] = (struct job){i % 2 ? first : second, i, 700, NULL, (unsigned)i * 104729 + 1};
    CHECK(pthread_create(&ids[i], NULL, mixed, &jobs[i]) == 0);
  }
  for (int i = 0; i < kThreads; ++i) CHECK(pthread_join(ids[i], NULL) == 0);
  CHECK(count_of(first) == count_of(second) && size_of(first) == size_of(second));
  dbc_free(first);
  dbc_free(second);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

// One thread watches while the others count up; no snapshot may be caught in between.
static void *watch(void *argument) {
  struct job *job = argument;
  if (job->index == 0) {
    while (!atomic_load(job->stop)) check_totals(job->cache);
    return NULL;
  }
  char key[8];
  for (int round = 0; round < job->rounds; ++round) {
    snprintf(key, sizeof key, "k%u", next(job) % 70);  // hits of both kinds, and misses
    dbc_value *value = NULL;
    dbc_get(job->cache, KEY(key), NULL, &value);
    dbc_value_release(value);
  }
  atomic_store(job->stop, 1);
  return NULL;
}

TEST(step_38_statistics_are_consistent_under_load) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 20}, {DBC_MAX_DISK_ITEMS, 50}));
  char key[8];
  for (int i = 0; i < 50; ++i) {
    snprintf(key, sizeof key, "k%d", i);
    put(cache, key, "v");
  }
  atomic_int stop = 0;
  run_threads(cache, 4000, &stop, watch, kThreads + 1);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 4000 * kThreads);
  dbc_free(cache);
}

static void *until_closed(void *argument) {
  struct job *job = argument;
  char key[8];
  int closed = 0;
  while (!closed) {
    snprintf(key, sizeof key, "k%u", next(job) % kKeys);
    dbc_value *value = NULL;
    dbc_status status = next(job) % 4 ? dbc_get(job->cache, KEY(key), NULL, &value)
                                      : dbc_put(job->cache, KEY(key), "value", 5, 0, NULL, NULL);
    CHECK(status == DBC_OK || status == DBC_NOT_FOUND || status == DBC_CLOSED);
    if (value) CHECK(memcmp(dbc_value_data(value), "value", 5) == 0);
    dbc_value_release(value);
    closed = status == DBC_CLOSED;
    if (!closed) atomic_fetch_add(job->stop, 1);
  }
  // Once closed, always closed.
  CHECK(dbc_exists(job->cache, "k", 1, NULL) == DBC_CLOSED);
  return NULL;
}

static void *closer(void *argument) {
  struct job *job = argument;
  if (job->index >= 2) return until_closed(argument);
  while (atomic_load(job->stop) < 300) usleep(100);
  CHECK(dbc_close(job->cache) == DBC_OK);
  CHECK(dbc_exists(job->cache, "k", 1, NULL) == DBC_CLOSED);
  return NULL;
}

TEST(step_37_closing_while_threads_are_inside) {
  for (int round = 0; round < 5; ++round) {
    dbc_cache *cache = open_default(PATH);
    atomic_int calls = 0;
    run_threads(cache, 0, &calls, closer, kThreads + 2);  // two of them close
    dbc_free(cache);
  }
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

static void *put_until_stopped(void *argument) {
  struct job *job = argument;
  char key[8];
  while (!atomic_load(job->stop)) {
    snprintf(key, sizeof key, "k%u", next(job) % kKeys);
    put(job->cache, key, "value");
  }
  return NULL;
}

// The library keeps a snapshot of the WAL from one put to the next, not so long that another program could not have all
// of the WAL copied and cut off: neither while puts follow each other without a gap, nor after the last one.
TEST(what_a_writer_keeps_of_the_wal_ends_soon) {
  dbc_cache *cache = open_default(PATH);
  atomic_int stop = 0;
  struct job job = {cache, 0, 0, &stop, 1};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, put_until_stopped, &job) == 0);
  for (int i = 0; i < 10; ++i) {
    usleep(30000);
    CHECK_TEXT(shell("sqlite3 -cmd '.timeout 10000' " PATH " 'PRAGMA wal_checkpoint(TRUNCATE)'"), "0|0|0");
  }
  atomic_store(&stop, 1);
  pthread_join(thread, NULL);
  put(cache, "k", "v");
  put(cache, "k", "v");
  usleep(200000);
  CHECK_TEXT(shell("sqlite3 " PATH " 'PRAGMA wal_checkpoint(TRUNCATE)'"), "0|0|0");
  dbc_free(cache);
}

static void *put_slowly(void *cache) {
  CHECK(dbc_put(cache, KEY("other"), "v", 1, 0, NULL, NULL) == DBC_OK);
  return NULL;
}
static void *close_it(void *cache) {
  CHECK(dbc_close(cache) == DBC_OK);
  return NULL;
}

// While a close waits for a put, which waits for another program.
TEST(a_close_that_waits_has_closed_for_everybody) {
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(dbc_options_new(), DBC_BUSY_TIMEOUT_SECONDS, 60));
  put(cache, "k", "value");
  FILE *program = popen("sqlite3 " PATH, "w");
  CHECK(program != NULL && fputs("BEGIN IMMEDIATE;\n.shell touch locked\n", program) >= 0 && fflush(program) == 0);
  while (!exists("locked")) usleep(1000);
  pthread_t putter, closer;
  CHECK(pthread_create(&putter, NULL, put_slowly, cache) == 0);
  usleep(20000);  // it is inside
  CHECK(pthread_create(&closer, NULL, close_it, cache) == 0);
  dbc_value *value = NULL;
  uint64_t number = 0;
  while (dbc_count(cache, &number) != DBC_CLOSED) usleep(100);
  for (int i = 0; i < 100; ++i) {
    CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_CLOSED && value == NULL);
    CHECK(dbc_get_from_memory(cache, KEY("k"), 0, NULL, &value) == DBC_CLOSED && value == NULL);
  }
  CHECK(fputs("COMMIT;\n", program) >= 0 && pclose(program) == 0);
  pthread_join(putter, NULL);
  pthread_join(closer, NULL);
  dbc_free(cache);
}

// A key that is only ever overwritten is always found, with a version that never goes back.
static void *never_missing(void *argument) {
  struct job *job = argument;
  uint64_t last = 0;
  for (int round = 0; round < job->rounds; ++round) {
    if (job->index < 2) {
      uint64_t version = put(job->cache, "k", "value");
      CHECK(version > last);
      last = version;
    } else {
      dbc_value *value = NULL;
      CHECK(dbc_get(job->cache, KEY("k"), NULL, &value) == DBC_OK);
      CHECK(dbc_value_version(value) >= last);
      last = dbc_value_version(value);
      dbc_value_release(value);
      if (job->index == 2 && round % 20 == 0) CHECK(dbc_clear_memory(job->cache) == DBC_OK);
    }
  }
  return NULL;
}

TEST(step_38_a_key_that_is_overwritten_is_never_missing) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "value");
  run_threads(cache, 1000, NULL, never_missing, kThreads);
  dbc_free(cache);
}

// Puts of the same few keys from all sides; what memory says at the end must be what the disk says.
static void *put_and_delete(void *argument) {
  struct job *job = argument;
  char key[8], value[32];
  for (int round = 0; round < job->rounds; ++round) {
    snprintf(key, sizeof key, "k%u", next(job) % 4);
    snprintf(value, sizeof value, "%d-%d", job->index, round);
    if (next(job) % 5 == 0)
      dbc_delete(job->cache, KEY(key));
    else if (next(job) % 2)
      put(job->cache, key, value);
    else {
      dbc_value *found = NULL;
      dbc_get(job->cache, KEY(key), NULL, &found);
      dbc_value_release(found);
    }
  }
  return NULL;
}

TEST(step_38_memory_and_disk_agree_in_the_end) {
  for (int round = 0; round < 5; ++round) {
    dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
    run_threads(cache, 300, NULL, put_and_delete, kThreads);
    for (int i = 0; i < 4; ++i) {
      char key[8], data[64] = "";
      size_t size = 0;
      uint64_t version = 0;
      snprintf(key, sizeof key, "k%d", i);
      dbc_status before = dbc_get_into(cache, KEY(key), NULL, data, sizeof data - 1, &size, &version);
      data[size] = '\0';
      CHECK(dbc_clear_memory(cache) == DBC_OK);
      CHECK(gets(cache, key, before == DBC_OK ? data : NULL));
    }
    dbc_free(cache);
  }
}
