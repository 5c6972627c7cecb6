// Write-behind: acknowledged at once, visible to this handle at once, in the file a little later, and never dropped.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static dbc_options *behind(uint64_t items, double delay) {
  dbc_options *options = OPTIONS({DBC_WRITE_MODE, DBC_WRITE_BEHIND}, {DBC_WRITE_BEHIND_ITEMS, items});
  return with_double(options, DBC_WRITE_BEHIND_DELAY_SECONDS, delay);
}

static int has(dbc_cache *cache, const char *key) { return dbc_exists(cache, KEY(key), NULL) == DBC_OK; }

TEST(a_put_is_seen_at_once_here_and_elsewhere_after_a_flush) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(100, 3600));
  dbc_cache *other = open_default(PATH);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  CHECK(!has(other, "k"));
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK(gets(other, "k", "v"));
  dbc_free(other);
  dbc_free(cache);
}

TEST(a_put_is_seen_when_memory_does_not_hold_it) {
  for (uint64_t memory_items = 0; memory_items < 2; ++memory_items) {
    dbc_options *options = behind(100, 3600);
    CHECK(dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, memory_items) == DBC_OK);
    dbc_cache *cache = open_with(PATH, "1.0.0", options);
    put(cache, "a", "1");
    put(cache, "b", "2");
    CHECK(gets(cache, "a", "1") && gets(cache, "b", "2") && has(cache, "a"));
    put(cache, "a", "3");
    CHECK(gets(cache, "a", "3"));
    CHECK(dbc_clear_memory(cache) == DBC_OK);
    CHECK(gets(cache, "a", "3"));
    const size_t sizes[] = {1, 1, 1};
    dbc_result *result = NULL;
    CHECK(dbc_get_many(cache, 3, "abc", sizes, NULL, NULL, &result) == DBC_OK);
    CHECK(dbc_result_statuses(result)[0] == DBC_OK && *(const char *)dbc_result_data(result)[0] == '3');
    CHECK(dbc_result_statuses(result)[1] == DBC_OK && dbc_result_statuses(result)[2] == DBC_NOT_FOUND);
    dbc_result_free(result);
    CHECK(dbc_clear(cache) == DBC_OK);
    CHECK(!has(cache, "a"));
    dbc_free(cache);
  }
}

TEST(the_delay_is_kept) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(100, 0.05));
  dbc_cache *other = open_default(PATH);
  put(cache, "k", "v");
  for (int i = 0; i < 1000 && !has(other, "k"); ++i) usleep(10000);
  CHECK(has(other, "k"));
  dbc_free(other);
  dbc_free(cache);
}

TEST(a_full_buffer_makes_puts_wait_and_drops_nothing) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(3, 3600));
  char key[16];
  for (int i = 0; i < 500; ++i) {
    snprintf(key, sizeof key, "%d", i);
    put(cache, key, key);
  }
  CHECK(count_of(cache) == 500);
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(count_of(cache) == 500 && gets(cache, "499", "499"));
  dbc_free(cache);
}

TEST(values_larger_than_the_buffer_are_written_through) {
  dbc_options *options = behind(100, 3600);
  CHECK(dbc_options_set_u64(options, DBC_WRITE_BEHIND_SIZE_BYTES, 10) == DBC_OK);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  dbc_cache *other = open_default(PATH);
  put(cache, "small", "123");
  put(cache, "large", "12345678901");
  CHECK(gets(other, "large", "12345678901"));
  CHECK(gets(other, "small", "123"));  // in the order of the puts
  dbc_free(other);
  dbc_free(cache);
}

TEST(removals_come_after_the_puts_before_them) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(100, 3600));
  put(cache, "a", "1");
  CHECK(dbc_delete(cache, KEY("a")) == DBC_OK);
  CHECK(!has(cache, "a"));
  put_at(cache, "b", "2", AT(100));
  uint64_t removed = 0;
  CHECK(dbc_purge_expired(cache, NULL, &removed) == DBC_OK);
  CHECK(removed == 1 && count_of(cache) == 0);
  put(cache, "c", "3");
  const size_t one = 1;
  CHECK(dbc_put_many(cache, 1, "c", &one, "4", &one, 0, NULL, NULL) == DBC_OK);
  CHECK(gets(cache, "c", "4"));
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK(gets(cache, "c", "4"));
  dbc_free(cache);
}

TEST(the_last_put_of_a_key_wins_and_versions_grow) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(100, 3600));
  uint64_t last = 0;
  for (int i = 0; i < 10; ++i) {
    uint64_t version = put_at(cache, "k", i % 2 ? "odd" : "even", NULL);
    CHECK(version > last);
    last = version;
    if (i == 5) CHECK(dbc_flush(cache) == DBC_OK);
  }
  CHECK(count_of(cache) == 1);
  dbc_value *value = NULL;
  CHECK(dbc_get_changed(cache, KEY("k"), last, NULL, &value) == DBC_UNCHANGED);
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK(dbc_get_changed(cache, KEY("k"), last, NULL, &value) == DBC_UNCHANGED);
  CHECK(dbc_clear_memory(cache) == DBC_OK);
  CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_OK);
  CHECK(dbc_value_version(value) == last);
  dbc_value_release(value);
  dbc_free(cache);
}

// Another handle puts the same key while ours waits: at the commit ours replaces it, under a version that grows still.
TEST(a_put_of_another_handle_is_overwritten_at_the_commit) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(100, 3600));
  dbc_cache *other = open_default(PATH);
  put(cache, "k", "mine");
  uint64_t theirs = put_at(other, "k", "theirs", NULL);
  CHECK(gets(cache, "k", "mine"));
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK(gets(cache, "k", "mine") && gets(other, "k", "mine"));
  dbc_value *value = NULL;
  CHECK(dbc_get(other, KEY("k"), NULL, &value) == DBC_OK);
  CHECK(dbc_value_version(value) > theirs);
  dbc_value_release(value);
  dbc_free(other);
  dbc_free(cache);
}

// So few that no checkpoint is due, which would be one.
TEST(the_thread_that_commits_is_no_other_writer) {
  dbc_options *options = with_double(behind(4, 3600), DBC_TOUCH_DELAY_SECONDS, 3600);
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_BUSY_TIMEOUT_SECONDS, 0));
  for (int i = 0; i < 300; ++i) {
    put(cache, "a", "1");
    put(cache, "b", "2");
    put(cache, "c", "3");  // half of it is full: the thread begins
    if (i % 16 > 0) usleep((useconds_t)(i % 16 * 10));
    CHECK(dbc_clear(cache) == DBC_OK);
  }
  dbc_free(cache);
}

TEST(gets_move_the_order_before_the_commit) {
  dbc_options *options = behind(100, 3600);
  CHECK(dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, 2) == DBC_OK);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  put_at(cache, "a", "1", AT(1e9));
  put_at(cache, "b", "2", AT(1e9 + 1));
  dbc_value *value = NULL;
  CHECK(dbc_get(cache, KEY("a"), AT(1e9 + 2), &value) == DBC_OK);
  dbc_value_release(value);
  put_at(cache, "c", "3", AT(1e9 + 3));
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK(dbc_exists(cache, KEY("a"), AT(1e9 + 4)) == DBC_OK);
  CHECK(dbc_exists(cache, KEY("b"), AT(1e9 + 4)) == DBC_NOT_FOUND);
  dbc_free(cache);
}

TEST(a_commit_that_fails_keeps_what_waits_and_a_full_buffer_says_so) {
  dbc_options *options = with_double(behind(4, 0.01), DBC_BUSY_TIMEOUT_SECONDS, 0.05);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  FILE *shell_input = popen("sqlite3 cache.db", "w");
  CHECK(shell_input && fputs(".timeout 5000\nBEGIN IMMEDIATE;\n", shell_input) >= 0 && fflush(shell_input) == 0);
  do {
    put(cache, "before", "v");
  } while (dbc_flush(cache) != DBC_BUSY);
  put(cache, "first", "v");
  char key[8];
  int stored = 0;
  dbc_status status = DBC_OK;
  for (; stored < 100; ++stored) {
    snprintf(key, sizeof key, "%d", stored);
    status = dbc_put(cache, KEY(key), "v", 1, 0, NULL, NULL);
    if (status != DBC_OK) break;
  }
  CHECK(status == DBC_BUSY && stored >= 2 && stored <= 3 && !has(cache, key));
  CHECK(dbc_flush(cache) == DBC_BUSY);
  CHECK(gets(cache, "first", "v"));
  CHECK(fputs("COMMIT;\n", shell_input) >= 0 && pclose(shell_input) == 0);
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK(count_of(cache) == (uint64_t)stored + 2);
  put(cache, "more", "v");
  dbc_free(cache);
}

TEST(close_commits_what_waits) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(100, 3600));
  put(cache, "k", "v");
  CHECK(dbc_close(cache) == DBC_OK);
  dbc_free(cache);
  cache = open_default(PATH);
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

enum { kWaiting = 3000 };

static void *close_and_count(void *argument) {
  CHECK(dbc_close(argument) == DBC_OK);
  CHECK(atoi(query(PATH, "SELECT count(*) FROM cache")) == kWaiting);
  return NULL;
}

// Whoever was told that the cache is closed may count on what was put.
TEST(who_closes_meanwhile_waits_for_the_one_who_does) {
  for (int round = 0; round < 5; ++round) {
    dbc_cache *cache = open_with(PATH, "1.0.0", behind(kWaiting, 3600));
    CHECK(dbc_clear(cache) == DBC_OK);
    char key[16];
    for (int i = 0; i < kWaiting; ++i) {
      snprintf(key, sizeof key, "%d", i);
      put(cache, key, key);
    }
    pthread_t other;
    CHECK(pthread_create(&other, NULL, close_and_count, cache) == 0);
    CHECK(dbc_close(cache) == DBC_OK);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(dbc_close(cache) == DBC_OK);
    dbc_free(cache);
    cache = open_default(PATH);
    CHECK(count_of(cache) == kWaiting);
    dbc_free(cache);
  }
}

static char warning[512];
static dbc_status status_of_close_inside = DBC_INTERNAL;

static void keep_warning(void *context, int level, const char *message, size_t size) {
  dbc_cache **cache = context;
  if (level != DBC_LOG_WARNING) return;
  snprintf(warning, sizeof warning, "%.*s", (int)size, message);
  status_of_close_inside = dbc_close(*cache);
}

static void *expect_busy_close(void *argument) {
  dbc_status status = dbc_close(argument);
  CHECK(refused(status, DBC_BUSY, "busy timeout"));
  return NULL;
}

TEST(a_close_that_cannot_commit_says_what_is_lost) {
  dbc_options *options = with_double(behind(100, 3600), DBC_BUSY_TIMEOUT_SECONDS, 0.3);
  dbc_cache *cache = NULL;
  CHECK(dbc_options_set_log(options, keep_warning, &cache, NULL) == DBC_OK);
  cache = open_with(PATH, "1.0.0", options);
  put(cache, "a", "v");
  put(cache, "b", "v");
  FILE *shell_input = popen("sqlite3 cache.db", "w");
  CHECK(shell_input && fputs(".timeout 5000\nBEGIN IMMEDIATE;\n.shell touch begun\n", shell_input) >= 0);
  CHECK(fflush(shell_input) == 0);
  while (!exists("begun")) usleep(1000);
  pthread_t other;
  CHECK(pthread_create(&other, NULL, expect_busy_close, cache) == 0);
  expect_busy_close(cache);
  CHECK(pthread_join(other, NULL) == 0);
  CHECK(strstr(warning, "2 puts that waited could not be committed and are lost: ") == warning);
  CHECK(status_of_close_inside == DBC_OK);  // a callback may ask for it, and is not made to wait for itself
  CHECK(dbc_close(cache) == DBC_OK);
  CHECK(fputs("COMMIT;\n", shell_input) >= 0 && pclose(shell_input) == 0);
  dbc_free(cache);
}

TEST(it_works_in_memory) {
  dbc_cache *cache = open_with(":memory:", "1.0.0", behind(10, 0.001));
  char key[16];
  for (int i = 0; i < 2000; ++i) {
    snprintf(key, sizeof key, "%d", i % 300);
    put(cache, key, key);
    CHECK(gets(cache, key, key));
  }
  CHECK(count_of(cache) == 300);
  dbc_free(cache);
}

#ifdef CHILDREN_MAY_GO_ON

// A child has nothing of its parent's buffer; both go on.
TEST(fork_with_a_full_buffer) {
  dbc_cache *cache = open_with(PATH, "1.0.0", behind(100, 3600));
  put(cache, "parent", "v");
  pid_t child = fork();
  if (child == 0) {
    int good = !has(cache, "parent");
    put(cache, "child", "v");
    good = good && gets(cache, "child", "v") && dbc_close(cache) == DBC_OK;
    _exit(good ? 0 : 1);
  }
  int result = -1;
  CHECK(waitpid(child, &result, 0) == child && result == 0);
  CHECK(gets(cache, "child", "v") && gets(cache, "parent", "v"));
  CHECK(dbc_flush(cache) == DBC_OK && count_of(cache) == 2);
  dbc_free(cache);
}

#endif
