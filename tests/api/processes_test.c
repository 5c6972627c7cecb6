// Several handles and processes on one file; fork; sudden death.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "support.h"

// Runs `body` in a child and waits; a failed check in it fails the test.
static void wait_for(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  if (status != 0) {
    printf("# the child: %s %d\n", WIFSIGNALED(status) ? "signal" : "exit code",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fflush(stdout);
    _exit(1);
  }
}
static pid_t start(void) {
  fflush(stdout);
  pid_t child = fork();
  CHECK(child >= 0);
  return child;
}

// A byte through a pipe, to take turns.
struct turns {
  int to_child[2], to_parent[2];
};
static struct turns new_turns(void) {
  struct turns turns;
  CHECK(pipe(turns.to_child) == 0 && pipe(turns.to_parent) == 0);
  return turns;
}
static void give(const int *pipe) { CHECK(write(pipe[1], "x", 1) == 1); }
static void take(const int *pipe) {
  char byte;
  CHECK(read(pipe[0], &byte, 1) == 1);
}

TEST(two_handles_are_coherent) {
  dbc_cache *first = open_default(PATH), *second = open_default(PATH);
  put(first, "k", "one");
  CHECK(gets(second, "k", "one") && gets(second, "k", "one"));
  CHECK(stat_of(second, DBC_STAT_MEMORY_HITS) == 1);  // not by asking the disk always
  put(first, "k", "two");
  CHECK(gets(second, "k", "two"));
  put(second, "k", "three");
  CHECK(gets(first, "k", "three"));
  CHECK(dbc_delete(second, KEY("k")) == DBC_OK);
  CHECK(gets(first, "k", NULL) && dbc_exists(first, KEY("k"), NULL) == DBC_NOT_FOUND);
  put(first, "a", "1");
  CHECK(gets(second, "a", "1"));
  CHECK(dbc_clear(first) == DBC_OK);
  CHECK(gets(second, "a", NULL) && tier_of(second, "a") == DBC_TIER_NONE);
  CHECK(count_of(second) == 0);
  dbc_free(first);
  dbc_free(second);
}

TEST(batches_and_evictions_are_coherent_too) {
  dbc_cache *first = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
  dbc_cache *second = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
  const size_t sizes[] = {1, 1, 1};
  CHECK(dbc_put_many(first, 3, "abc", sizes, "123", sizes, 0, AT(10), NULL) == DBC_OK);
  CHECK(gets_at(second, "a", "1", AT(11)) && gets_at(second, "b", "2", AT(12)) && gets_at(second, "c", "3", AT(13)));
  CHECK(dbc_flush(second) == DBC_OK);
  CHECK(dbc_put_many(first, 1, "b", sizes, "9", sizes, 0, AT(20), NULL) == DBC_OK);
  CHECK(gets_at(second, "b", "9", AT(21)));
  CHECK(dbc_flush(second) == DBC_OK);
  put_at(first, "d", "4", AT(30));  // one limit for the file: a goes
  CHECK(gets_at(second, "a", NULL, AT(31)) && gets_at(second, "d", "4", AT(31)));
  CHECK(dbc_delete_many(first, 2, "bc", sizes, NULL) == DBC_OK);
  dbc_result *result = NULL;
  CHECK(dbc_get_many(second, 3, "bcd", sizes, NULL, AT(32), &result) == DBC_OK);
  CHECK(dbc_result_statuses(result)[0] == DBC_NOT_FOUND && dbc_result_statuses(result)[1] == DBC_NOT_FOUND);
  CHECK(dbc_result_statuses(result)[2] == DBC_OK);
  dbc_result_free(result);
  dbc_free(first);
  dbc_free(second);
}

TEST(two_processes_are_coherent) {
  struct turns turns = new_turns();
  pid_t child = start();
  dbc_cache *cache = open_default(PATH);
  char value[16];
  for (int i = 0; i < 50; ++i) {
    snprintf(value, sizeof value, "value %d", i);
    if (child == 0) {
      take(turns.to_child);
      CHECK(gets(cache, "k", i % 5 == 4 ? NULL : value) && gets(cache, "k", i % 5 == 4 ? NULL : value));
      CHECK(gets(cache, "other", "stays"));
      give(turns.to_parent);
    } else {
      if (i == 0) put(cache, "other", "stays");
      if (i % 5 == 4)
        CHECK(dbc_delete(cache, KEY("k")) == DBC_OK);
      else
        put(cache, "k", value);
      give(turns.to_child);
      take(turns.to_parent);
    }
  }
  if (child == 0) CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) >= 50);
  dbc_free(cache);
  if (child == 0) exit(0);
  wait_for(child);
}

TEST(many_processes_write_at_once) {
  enum { kProcesses = 4, kPuts = 200 };
  pid_t children[kProcesses];
  for (int i = 0; i < kProcesses; ++i) {
    children[i] = start();
    if (children[i] != 0) continue;
    // All of them create it at the same time; under valgrind that alone may take seconds.
    dbc_cache *cache = open_with(PATH, "1.0.0", with_double(dbc_options_new(), DBC_BUSY_TIMEOUT_SECONDS, 60));
    for (int j = 0; j < kPuts; ++j) {
      char key[16];
      snprintf(key, sizeof key, "%d-%d", i, j);
      put(cache, key, key);
      put(cache, "shared", key);
    }
    for (int j = 0; j < kPuts; ++j) {
      char key[16];
      snprintf(key, sizeof key, "%d-%d", i, j);
      CHECK(gets(cache, key, key));
    }
    dbc_free(cache);
    exit(0);
  }
  for (int i = 0; i < kProcesses; ++i) wait_for(children[i]);
  dbc_cache *cache = open_default(PATH);
  CHECK(count_of(cache) == kProcesses * kPuts + 1);
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

TEST(a_killed_process_loses_nothing_acknowledged) {
  for (int round = 0; round < 5; ++round) {
    int acknowledged[2], last = -1, number;
    CHECK(pipe(acknowledged) == 0);
    pid_t child = start();
    if (child == 0) {
      dbc_cache *cache = open_default(PATH);
      char key[16];
      for (int i = 0;; ++i) {
        snprintf(key, sizeof key, "%d-%d", round, i);
        put(cache, key, "value");
        CHECK(write(acknowledged[1], &i, sizeof i) == sizeof i);
      }
    }
    close(acknowledged[1]);
    while (last < 50 + round * 7 && read(acknowledged[0], &number, sizeof number) == sizeof number) last = number;
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    while (read(acknowledged[0], &number, sizeof number) == sizeof number) last = number;
    close(acknowledged[0]);
    CHECK(last >= 50);
    dbc_cache *cache = open_default(PATH);
    for (int i = 0; i <= last; ++i) {
      char key[16];
      snprintf(key, sizeof key, "%d-%d", round, i);
      CHECK(gets(cache, key, "value"));
    }
    put(cache, "after", "v");
    CHECK(gets(cache, "after", "v"));
    dbc_free(cache);
  }
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

// Each of two processes that put in bursts keeps a snapshot after a burst. They are not in the way of each other's
// checkpoints all the same: else these would find the WAL in use until it has 64 MiB.
TEST(bursts_of_two_processes_keep_the_wal_small) {
  dbc_free(open_default(PATH));
  pid_t children[2];
  for (int i = 0; i < 2; ++i) {
    children[i] = start();
    if (children[i] != 0) continue;
    static char value[30000];
    char key[8];
    unsigned random = (unsigned)i;
    dbc_cache *cache = open_default(PATH);
    for (int burst = 0; burst < 450; ++burst) {
      for (int n = 0; n < 10; ++n) {
        random = random * 1103515245u + 12345u;
        snprintf(key, sizeof key, "k%u", (random >> 16) % 1000);
        CHECK(dbc_put(cache, KEY(key), value, sizeof value, 0, NULL, NULL) == DBC_OK);
      }
      usleep(8000);
    }
    _exit(0);
  }
  for (int i = 0; i < 2; ++i) wait_for(children[i]);
  struct stat wal;  // which never becomes shorter
  CHECK(stat(PATH "-wal", &wal) == 0 && wal.st_size < (30 << 20));
  dbc_free(open_default(PATH));
}

// A checkpoint writes page 1 first, which says how long the file is, and the pages at its end last. Whoever is killed
// in between leaves a file that looks cut short, and the rest in the WAL.
TEST(a_process_killed_in_a_checkpoint_loses_nothing) {
  dbc_free(open_default(PATH));
  pid_t child = start();
  if (child == 0) {
    dbc_cache *cache = open_default(PATH);
    char key[16];
    for (int i = 0; i < 500; ++i) {
      snprintf(key, sizeof key, "key-%d", i);
      put(cache, key, "some value to make the file grow by a few pages more than it has now, as it should");
    }
    kill(getpid(), SIGKILL);
  }
  CHECK(waitpid(child, NULL, 0) == child);
  size_t size = 0;
  char *wal = read_file(PATH "-wal", &size), *page = NULL;
  for (size_t frame = 32; frame + 24 + 4096 <= size; frame += 24 + 4096) {
    if (memcmp(wal + frame, "\0\0\0\1", 4) == 0) page = wal + frame + 24;  // the last one of page 1
  }
  CHECK(page != NULL);
  FILE *file = fopen(PATH, "r+b");
  CHECK(file != NULL && fwrite(page, 1, 4096, file) == 4096 && fclose(file) == 0);
  free(wal);
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL}));
  CHECK(count_of(cache) == 500 &&
        gets(cache, "key-0", "some value to make the file grow by a few pages more than it has now, as it should"));
  dbc_free(cache);
  CHECK(files_like("*.corrupt*") == 0);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

TEST(a_process_killed_beside_an_open_handle_blocks_nobody) {
  dbc_cache *cache = open_default(PATH);
  for (int round = 0; round < 10; ++round) {
    struct turns turns = new_turns();
    pid_t child = start();
    if (child == 0) {
      dbc_cache *own = open_default(PATH);
      for (int i = 0;; ++i) {
        put(own, i % 2 ? "k" : "j", "theirs");
        if (i == 10) give(turns.to_parent);
      }
    }
    take(turns.to_parent);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    put(cache, "k", "mine");
    CHECK(gets(cache, "k", "mine") && gets(cache, "j", "theirs"));
  }
  dbc_free(cache);
}

#ifdef CHILDREN_MAY_GO_ON

// A child that inherited a handle ends with _exit: what it abandoned of the parent's is never freed, and would look
// like a leak.

TEST(step_38_after_fork_both_go_on) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "parent");
  struct turns turns = new_turns();
  pid_t child = start();
  if (child == 0) {
    CHECK(gets(cache, "k", "parent"));
    put(cache, "k", "child");
    put(cache, "c", "child");
    give(turns.to_parent);
    take(turns.to_child);
    CHECK(gets(cache, "p", "parent") && gets(cache, "k", "parent again"));
    CHECK(dbc_delete(cache, KEY("c")) == DBC_OK);
    CHECK(dbc_close(cache) == DBC_OK);
    dbc_free(cache);
    _exit(0);
  }
  take(turns.to_parent);
  CHECK(gets(cache, "k", "child") && gets(cache, "c", "child"));
  put(cache, "p", "parent");
  put(cache, "k", "parent again");
  give(turns.to_child);
  wait_for(child);
  CHECK(gets(cache, "c", NULL) && gets(cache, "k", "parent again"));
  put(cache, "k", "still here");
  CHECK(gets(cache, "k", "still here") && count_of(cache) == 2);
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

// A level that is changed in a child counts there, and opens nothing for it: who reconfigures its log is not to wait
// for files.
TEST(after_fork_a_log_level_opens_nothing) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  pid_t child = start();
  if (child == 0) {
    int before = open_descriptors();
    CHECK(dbc_set_log_level(cache, DBC_LOG_TRACE) == DBC_OK);
    CHECK(open_descriptors() == before);
    CHECK(refused(dbc_set_log_level(cache, -1), DBC_INVALID_ARGUMENT, "log_level"));
    CHECK(gets(cache, "k", "v"));
    CHECK(dbc_close(cache) == DBC_OK);
    CHECK(dbc_set_log_level(cache, DBC_LOG_TRACE) == DBC_CLOSED);
    dbc_free(cache);
    _exit(0);
  }
  wait_for(child);
  dbc_free(cache);
}

TEST(after_fork_the_folder_may_change) {
  dbc_cache *cache = open_default("folder/cache.db");
  put(cache, "k", "v");
  pid_t child = start();
  if (child == 0) {
    CHECK(chdir("/") == 0);
    CHECK(gets(cache, "k", "v"));
    put(cache, "c", "child");
    dbc_free(cache);
    _exit(0);
  }
  wait_for(child);
  CHECK(gets(cache, "c", "child"));
  dbc_free(cache);
}

TEST(after_fork_values_stay_readable_and_memory_caches_are_empty) {
  dbc_cache *cache = open_default(":memory:");
  put(cache, "k", "value");
  dbc_value *value = NULL;
  CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_OK);
  pid_t child = start();
  if (child == 0) {
    CHECK(dbc_value_size(value) == 5 && memcmp(dbc_value_data(value), "value", 5) == 0);
    dbc_value *none = NULL;
    CHECK(dbc_get_from_memory(cache, KEY("k"), 0, NULL, &none) == DBC_NOT_FOUND);
    CHECK(gets(cache, "k", NULL) && count_of(cache) == 0);
    put(cache, "k", "own");
    CHECK(gets(cache, "k", "own"));
    dbc_value_release(value);
    dbc_free(cache);
    _exit(0);
  }
  wait_for(child);
  CHECK(gets(cache, "k", "value"));
  dbc_value_release(value);
  dbc_free(cache);
}

// All that was inherited is let go of, not only what the child uses: else its SQLite would take no locks, and the
// parent's close would delete the WAL under it.
TEST(a_child_may_use_one_of_two_inherited_handles) {
  for (int mode = 0; mode < 3; ++mode) {
    const char *path = mode == 0 ? "both.db" : mode == 1 ? "freed.db" : "ignored.db";
    dbc_cache *one = open_default(path), *two = open_default(path);
    put(one, "a", "1");
    put(two, "b", "2");
    int closed[2], ready[2];
    CHECK(pipe(closed) == 0 && pipe(ready) == 0);
    char byte = 0;
    pid_t child = start();
    if (child == 0) {
      if (mode == 1) dbc_free(one);
      dbc_cache *mine = mode == 0 ? one : open_default(path);
      put(mine, "early", "x");
      CHECK(write(ready[1], "x", 1) == 1 && read(closed[0], &byte, 1) == 1);
      for (int i = 0; i < 200; ++i) {
        char key[16];
        snprintf(key, sizeof key, "late%d", i);
        put(mine, key, "x");
      }
      _exit(0);  // without closing: what was acknowledged must be in the file
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    dbc_free(one);
    dbc_free(two);
    CHECK(write(closed[1], "x", 1) == 1);
    wait_for(child);
    dbc_cache *after = open_default(path);
    CHECK(count_of(after) == 203 && gets(after, "late199", "x"));
    dbc_free(after);
  }
}

static dbc_cache *called_back;
static void use_the_cache(void *context, int level, const char *message, size_t size) {
  (void)level, (void)message, (void)size;
  uint64_t items = 0;
  if (called_back && dbc_count(called_back, &items) == DBC_OK) *(uint64_t *)context = items;
}

TEST(a_callback_in_a_child_may_use_the_cache) {
  uint64_t seen = 0;
  dbc_options *options = dbc_options_new();
  CHECK(dbc_options_set_log(options, use_the_cache, &seen, NULL) == DBC_OK);
  called_back = NULL;
  called_back = open_with(PATH, "1.0.0", options);
  put(called_back, "k", "v");
  pid_t child = start();
  if (child == 0) {
    alarm(20);
    CHECK(gets(called_back, "k", "v"));
    CHECK(seen == 1);  // told at the latest with that call that the file was opened
    dbc_free(called_back);
    _exit(0);
  }
  wait_for(child);
  dbc_free(called_back);
}

TEST(a_child_may_end_without_touching_the_cache) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(gets_at(cache, "k", "v", NULL));
  pid_t child = start();
  if (child == 0) {
    dbc_free(cache);
    _exit(0);
  }
  wait_for(child);
  put(cache, "k", "w");
  CHECK(gets(cache, "k", "w"));
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "SELECT value FROM cache"), "w");
}

static atomic_int stop;
static void *work(void *argument) {
  dbc_cache *cache = argument;
  for (unsigned i = 0; !atomic_load(&stop); ++i) {
    char key[8];
    snprintf(key, sizeof key, "k%u", i % 20);
    if (i % 3 == 0)
      put(cache, key, "value");
    else if (i % 50 == 1)
      CHECK(dbc_clear_memory(cache) == DBC_OK);
    else {
      dbc_value *value = NULL;
      CHECK(dbc_get(cache, KEY(key), NULL, &value) <= DBC_NOT_FOUND);
      dbc_value_release(value);
    }
  }
  return NULL;
}

// The child is born while other threads hold whatever locks there are.
TEST(step_38_fork_while_threads_are_inside) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "steady", "v");
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) CHECK(pthread_create(&threads[i], NULL, work, cache) == 0);
  for (int round = 0; round < 20; ++round) {
    pid_t child = start();
    if (child == 0) {
      alarm(60);
      CHECK(gets(cache, "steady", "v"));
      put(cache, "child", "v");
      CHECK(gets(cache, "child", "v"));
      dbc_free(cache);
      _exit(0);
    }
    wait_for(child);
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < 4; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(gets(cache, "child", "v"));
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

#endif
