// Where nothing can be shared through memory (network file systems, no access to the shared file): slower, and as
// right.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "support.h"

// The library asks this program's statfs(), as long as `on_network` says so a network file system.
static int on_network;
int statfs(const char *path, struct statfs *status) {
  if (syscall(SYS_statfs, path, status) != 0) return -1;
  if (on_network) status->f_type = 0x6969;  // NFS_SUPER_MAGIC
  return 0;
}

static dbc_cache *open_unshared_with(const char *path, dbc_options *options) {
  on_network = 1;
  dbc_cache *cache = open_with(path, "1.0.0", options);
  on_network = 0;
  return cache;
}
static dbc_cache *open_unshared(const char *path) { return open_unshared_with(path, NULL); }
static dbc_status try_unshared(const char *path) {
  dbc_cache *cache = NULL;
  on_network = 1;
  dbc_status status = dbc_open(path, "1.0.0", NULL, &cache);
  on_network = 0;
  CHECK((status == DBC_OK) == (cache != NULL));
  dbc_free(cache);
  return status;
}

static char warnings[4096];
static void record(void *context, int level, const char *message, size_t size) {
  (void)context;
  if (level == DBC_LOG_WARNING) snprintf(warnings, sizeof warnings, "%.*s", (int)size, message);
}

TEST(a_network_file_system_is_told_and_gets_no_map) {
  dbc_options *options = dbc_options_new();
  CHECK(dbc_options_set_log(options, record, NULL, NULL) == DBC_OK);
  dbc_cache *cache = open_unshared_with(PATH, options);
  CHECK(strstr(warnings, PATH) && strstr(warnings, "NFS") && strstr(warnings, "slower"));
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v") && stat_of(cache, DBC_STAT_MEMORY_HITS) == 1);
  CHECK(tier_of(cache, "k") == DBC_TIER_MEMORY);
  CHECK(!exists(PATH "-dbc") && !exists(PATH "-wal") && !exists(PATH "-shm"));
  CHECK_TEXT(query(PATH, "PRAGMA journal_mode; SELECT key FROM cache"), "delete\nk");
  dbc_free(cache);
  CHECK(files_like("cache.db*") == 1);
}

TEST(two_unshared_handles_are_coherent) {
  dbc_cache *first = open_unshared_with(PATH, OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
  dbc_cache *second = open_unshared_with(PATH, OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
  put_at(first, "a", "1", AT(1));
  put_at(first, "b", "1", AT(2));
  put_at(first, "c", "1", AT(3));
  for (int i = 0; i < 2; ++i)
    CHECK(gets_at(second, "a", "1", AT(4)) && gets_at(second, "b", "1", AT(5)) && gets_at(second, "c", "1", AT(6)));
  CHECK(stat_of(second, DBC_STAT_MEMORY_HITS) == 3);
  dbc_value *value = NULL;  // whether it is current only SQLite can tell
  CHECK(dbc_get_from_memory(second, KEY("a"), 0, AT(4), &value) == DBC_NOT_FOUND);
  CHECK(dbc_flush(second) == DBC_OK);
  put_at(first, "b", "2", AT(7));
  CHECK(gets_at(second, "b", "2", AT(8)) && gets_at(second, "c", "1", AT(9)));
  CHECK(dbc_flush(second) == DBC_OK);
  put_at(first, "d", "1", AT(10));  // evicts a
  CHECK(gets_at(second, "a", NULL, AT(11)) && gets_at(second, "d", "1", AT(11)));
  CHECK(dbc_delete(first, KEY("b")) == DBC_OK);
  CHECK(gets_at(second, "b", NULL, AT(12)) && count_of(first) == 2 && count_of(second) == 2);
  CHECK(dbc_clear(first) == DBC_OK);
  CHECK(gets_at(second, "c", NULL, AT(13)) && count_of(second) == 0);
  dbc_free(first);
  dbc_free(second);
}

static void wait_for(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

// Each process adds to one counter under its own name, and sees those of the others only grow.
TEST(unshared_processes_write_at_once) {
  enum { kProcesses = 4, kPuts = 60 };
  pid_t children[kProcesses];
  fflush(stdout);
  for (int i = 0; i < kProcesses; ++i) {
    children[i] = fork();
    if (children[i] != 0) continue;
    dbc_options *options = OPTIONS({DBC_DURABILITY, DBC_DURABILITY_OFF});
    dbc_cache *cache = open_unshared_with(PATH, with_double(options, DBC_BUSY_TIMEOUT_SECONDS, 60));
    int seen[kProcesses] = {0};
    char key[16], value[16];
    for (int n = 1; n <= kPuts; ++n) {
      snprintf(key, sizeof key, "%d", i);
      snprintf(value, sizeof value, "%d", n);
      put(cache, key, value);
      CHECK(gets(cache, key, value));
      for (int other = 0; other < kProcesses; ++other) {
        snprintf(key, sizeof key, "%d", other);
        dbc_value *found = NULL;
        dbc_status status = dbc_get(cache, KEY(key), NULL, &found);
        if (status == DBC_NOT_FOUND) {
          CHECK(seen[other] == 0);
          continue;
        }
        CHECK(status == DBC_OK);
        snprintf(value, sizeof value, "%.*s", (int)dbc_value_size(found), (const char *)dbc_value_data(found));
        dbc_value_release(found);
        CHECK(atoi(value) >= seen[other]);
        seen[other] = atoi(value);
      }
    }
    dbc_free(cache);
    exit(0);
  }
  for (int i = 0; i < kProcesses; ++i) wait_for(children[i]);
  dbc_cache *cache = open_unshared(PATH);
  CHECK(count_of(cache) == kProcesses);
  for (int i = 0; i < kProcesses; ++i) {
    char key[16], value[16];
    snprintf(key, sizeof key, "%d", i);
    snprintf(value, sizeof value, "%d", kPuts);
    CHECK(gets(cache, key, value));
  }
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

// A get never returns what was replaced before it began: the writer tells a number only after its put has returned.
TEST(an_unshared_reader_is_never_behind_the_writer) {
  int told[2], heard[2], number = 0;
  CHECK(pipe(told) == 0 && pipe(heard) == 0);
  fflush(stdout);
  pid_t child = fork();
  dbc_cache *cache = open_unshared_with(PATH, OPTIONS({DBC_DURABILITY, DBC_DURABILITY_OFF}));
  char value[16];
  if (child == 0) {
    while (read(told[0], &number, sizeof number) == sizeof number && number >= 0) {
      snprintf(value, sizeof value, "%d", number);
      CHECK(gets(cache, "k", value) && gets(cache, "k", value));
      CHECK(write(heard[1], &number, sizeof number) == sizeof number);
    }
    CHECK(stat_of(cache, DBC_STAT_MEMORY_HITS) >= 200);
    dbc_free(cache);
    exit(0);
  }
  for (int i = 0; i < 200; ++i) {
    snprintf(value, sizeof value, "%d", i);
    put(cache, "k", value);
    CHECK(write(told[1], &i, sizeof i) == sizeof i && read(heard[0], &number, sizeof number) == sizeof number);
  }
  number = -1;
  CHECK(write(told[1], &number, sizeof number) == sizeof number);
  wait_for(child);
  dbc_free(cache);
}

TEST(an_unshared_writer_that_is_killed_loses_nothing_acknowledged) {
  for (int round = 0; round < 5; ++round) {
    int acknowledged[2], last = -1, number;
    CHECK(pipe(acknowledged) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      dbc_cache *cache = open_unshared(PATH);
      for (int i = 0;; ++i) {
        char key[16];
        snprintf(key, sizeof key, "%d-%d", round, i);
        put(cache, key, "value");
        CHECK(write(acknowledged[1], &i, sizeof i) == sizeof i);
      }
    }
    close(acknowledged[1]);
    while (last < 20 + round * 3 && read(acknowledged[0], &number, sizeof number) == sizeof number) last = number;
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    while (read(acknowledged[0], &number, sizeof number) == sizeof number) last = number;
    close(acknowledged[0]);
    // Whoever comes next mends what the killed one was in the middle of, also with a map.
    dbc_cache *cache = round % 2 ? open_default(PATH) : open_unshared(PATH);
    for (int i = 0; i <= last; ++i) {
      char key[16];
      snprintf(key, sizeof key, "%d-%d", round, i);
      CHECK(gets(cache, key, "value"));
    }
    dbc_free(cache);
  }
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

TEST(beside_a_handle_with_the_map_one_without_is_refused) {
  dbc_cache *shared = open_default(PATH);
  put(shared, "k", "v");
  CHECK(refused(try_unshared(PATH), DBC_BUSY, PATH "-dbc"));
  CHECK(strstr(dbc_last_error(), "NFS"));
  put(shared, "k", "still");
  CHECK(gets(shared, "k", "still"));
  dbc_free(shared);
  dbc_cache *unshared = open_unshared(PATH);
  CHECK(gets(unshared, "k", "still"));
  dbc_free(unshared);
}

TEST(beside_a_handle_without_the_map_one_with_it_takes_the_file_over) {
  dbc_cache *unshared = open_unshared(PATH);
  put(unshared, "k", "one");
  dbc_cache *shared = open_default(PATH);
  CHECK(gets(shared, "k", "one"));
  // What the one without the map wrote would not be seen; what it reads is right.
  CHECK(refused(dbc_put(unshared, KEY("k"), "x", 1, 0, NULL, NULL), DBC_BUSY, PATH "-dbc"));
  put(shared, "k", "two");
  CHECK(gets(unshared, "k", "two") && gets(unshared, "k", "two") && gets(shared, "k", "two"));
  CHECK(refused(dbc_delete(unshared, KEY("k")), DBC_BUSY, PATH "-dbc"));
  CHECK(gets(shared, "k", "two"));
  dbc_free(unshared);
  dbc_free(shared);
  unshared = open_unshared(PATH);
  put(unshared, "k", "three");
  dbc_free(unshared);
  shared = open_default(PATH);
  CHECK(gets(shared, "k", "three"));
  CHECK_TEXT(query(PATH, "PRAGMA journal_mode"), "wal");
  dbc_free(shared);
}

// A commit writes page 1 first, which says how long the file is, and the end of the file last. Whoever is killed in
// between leaves a file that looks cut short, and a journal to roll it back by.
TEST(a_commit_that_was_cut_off_by_a_kill_is_rolled_back) {
  dbc_cache *cache = open_unshared(PATH);
  put(cache, "k", "v");
  dbc_free(cache);
  // Pages go to the file before the commit, with the first of them in the journal.
  CHECK(system("sqlite3 " PATH
               " 'PRAGMA cache_size=1' 'BEGIN' 'CREATE TABLE large AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
               "SELECT i + 1 FROM n WHERE i < 500) SELECT randomblob(1000) FROM n' '.shell kill -9 $PPID' >/dev/null "
               "2>&1") != 0);
  CHECK(exists(PATH "-journal"));
  FILE *file = fopen(PATH, "r+b");
  CHECK(file != NULL && fseek(file, 28, SEEK_SET) == 0 && fwrite("\0\1\0\0", 1, 4, file) == 4 && fclose(file) == 0);
  cache = open_unshared(PATH);
  CHECK(gets(cache, "k", "v") && count_of(cache) == 1);
  dbc_free(cache);
  CHECK(files_like("*.corrupt*") == 0 && !exists(PATH "-journal"));
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

// The counts that processes share are those of a time before.
TEST(counts_are_right_after_others_wrote_unshared) {
  int written[2];
  char byte;
  CHECK(pipe(written) == 0);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    dbc_cache *cache = open_default(PATH);
    put(cache, "a", "1");
    put(cache, "k", "12");
    CHECK(write(written[1], "x", 1) == 1);
    pause();
  }
  CHECK(read(written[0], &byte, 1) == 1);
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
  dbc_cache *cache = open_unshared(PATH);
  CHECK(count_of(cache) == 2 && size_of(cache) == 3);
  put(cache, "b", "123");
  CHECK(dbc_delete(cache, KEY("a")) == DBC_OK);
  put(cache, "c", "1234");
  CHECK(count_of(cache) == 3 && size_of(cache) == 9);
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(count_of(cache) == 3 && size_of(cache) == 9);
  put(cache, "d", "1");
  CHECK(count_of(cache) == 4 && size_of(cache) == 10);
  dbc_free(cache);
}

// Root may use any file, so this is done by nobody in particular.
static void become_nobody(void) {
  if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
}

TEST(without_permission_for_the_shared_file_it_goes_on_unshared) {
  CHECK(mkdir("folder", 0777) == 0 && chmod("folder", 0777) == 0);
  dbc_cache *cache = open_default("folder/cache.db");
  put(cache, "k", "v");
  dbc_free(cache);
  CHECK(chmod("folder/cache.db", 0666) == 0 && chmod("folder/cache.db-dbc", 0400) == 0);
  become_nobody();
  dbc_options *options = dbc_options_new();
  CHECK(dbc_options_set_log(options, record, NULL, NULL) == DBC_OK);
  cache = open_with("folder/cache.db", "1.0.0", options);
  CHECK(strstr(warnings, "cache.db-dbc") && strstr(warnings, "Permission denied"));
  CHECK(gets(cache, "k", "v"));
  put(cache, "k", "w");
  CHECK(gets(cache, "k", "w"));
  dbc_free(cache);
}

TEST(a_damaged_file_is_not_moved_aside_where_others_cannot_be_told) {
  write_file(PATH, "This is no database, and as long as a page would have to be.", 60);
  CHECK(refused(try_unshared(PATH), DBC_CORRUPT, "remove it"));
  CHECK(files_like("cache.db*") == 1);
  CHECK(remove(PATH) == 0);
  dbc_free(open_unshared(PATH));
}

#ifdef CHILDREN_MAY_GO_ON

TEST(after_fork_both_go_on_unshared) {
  dbc_cache *cache = open_unshared(PATH);
  put(cache, "k", "parent");
  on_network = 1;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    CHECK(gets(cache, "k", "parent"));
    for (int i = 0; i < 20; ++i) put(cache, "k", "child");
    dbc_free(cache);
    _exit(0);
  }
  for (int i = 0; i < 20; ++i) {
    put(cache, "p", "parent");
    CHECK(gets(cache, "p", "parent"));
  }
  wait_for(child);
  CHECK(gets(cache, "k", "child"));
  dbc_free(cache);
  CHECK_TEXT(query(PATH, "PRAGMA integrity_check"), "ok");
}

#endif

static atomic_int stop_getting;
static void *get_on(void *cache) {
  while (!stop_getting) CHECK(gets(cache, "small", "v"));
  return NULL;
}

// SQLite's cache of pages holds 16 MiB. What no longer fits must not be written before the commit: from then on nobody,
// this process included, could look whether others have committed.
TEST(an_unshared_transaction_may_be_larger_than_the_page_cache) {
  dbc_options *options = OPTIONS({DBC_DURABILITY, DBC_DURABILITY_OFF}, {DBC_MAX_ITEM_SIZE_BYTES, MIB});
  with_double(options, DBC_BUSY_TIMEOUT_SECONDS, 60);
  dbc_cache *cache = open_unshared_with(PATH, with_double(options, DBC_DISK_TTL_SECONDS, 1000));
  put(cache, "small", "v");
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, get_on, cache) == 0);
  enum { kLarge = 40 * MIB, kItems = 30000, kSize = 1000 };
  char *large = calloc(1, kLarge);
  CHECK(large && dbc_put(cache, KEY("large"), large, kLarge, 0, NULL, NULL) == DBC_OK);
  char *keys = malloc(kItems * 5 + 1);
  size_t *key_sizes = malloc(kItems * sizeof *key_sizes), *sizes = malloc(kItems * sizeof *sizes);
  CHECK(keys && key_sizes && sizes);
  for (int i = 0; i < kItems; ++i) {
    snprintf(keys + 5 * i, 6, "%05d", i);
    key_sizes[i] = 5, sizes[i] = kSize;
  }
  CHECK(dbc_put_many(cache, kItems, keys, key_sizes, large, sizes, 0, AT(100), NULL) == DBC_OK);
  uint64_t removed = 0;
  CHECK(dbc_purge_expired(cache, NULL, &removed) == DBC_OK && removed == kItems);
  stop_getting = 1;
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(count_of(cache) == 2);
  dbc_free(cache);
  free(large);
  free(keys);
  free(key_sizes);
  free(sizes);
}
