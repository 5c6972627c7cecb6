// Logging: the forms that users grep for, levels, who is called when, and the life of the callback's context.
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { kLines = 4096 };
struct log {
  pthread_mutex_t mutex;
  char lines[kLines][300];
  int levels[kLines];
  int count, finalized, busy;
  pthread_t thread;
  dbc_cache *cache;  // not NULL: the callback uses it
};

static void record(void *context, int level, const char *message, size_t size) {
  struct log *log = context;
  CHECK(message != NULL && strlen(message) == size && size > 0);
  CHECK(log->finalized == 0);
  pthread_mutex_lock(&log->mutex);
  CHECK(log->count < kLines);
  snprintf(log->lines[log->count], sizeof log->lines[0], "%s", message);
  log->levels[log->count++] = level;
  log->thread = pthread_self();
  int use = log->cache && !log->busy;
  if (use) log->busy = 1;
  pthread_mutex_unlock(&log->mutex);
  if (!use) return;
  // Whatever is locked while a callback runs would lock this up.
  dbc_cache *cache = log->cache;
  put_at(cache, "from the callback", "x", AT(100));
  CHECK(gets_at(cache, "from the callback", "x", AT(100)));
  CHECK(count_of(cache) >= 1 && stat_of(cache, DBC_STAT_TOTAL_PUTS) >= 1);
  CHECK(dbc_delete(cache, KEY("from the callback")) == DBC_OK);
  CHECK(dbc_clear_memory(cache) == DBC_OK && dbc_flush(cache) == DBC_OK);
  pthread_mutex_lock(&log->mutex);
  log->busy = 0;
  pthread_mutex_unlock(&log->mutex);
}
static void finalize(void *context) { ++((struct log *)context)->finalized; }

static struct log *new_log(void) {
  struct log *log = calloc(1, sizeof *log);
  CHECK(log != NULL && pthread_mutex_init(&log->mutex, NULL) == 0);
  return log;
}
static dbc_options *with_log(dbc_options *options, struct log *log, uint64_t level) {
  CHECK(dbc_options_set_log(options, record, log, finalize) == DBC_OK);
  CHECK(dbc_options_set_u64(options, DBC_LOG_LEVEL, level) == DBC_OK);
  return options;
}

// How many lines of that level (0: of any) contain `part`.
static int lines_with(const struct log *log, int level, const char *part) {
  int count = 0;
  for (int i = 0; i < log->count; ++i) count += (!level || log->levels[i] == level) && strstr(log->lines[i], part);
  return count;
}
#define LOGGED(PART) check_logged(log, PART, __LINE__)
static void check_logged(struct log *log, const char *part, int line) {
  if (lines_with(log, DBC_LOG_TRACE, part) == 0) {
    for (int i = 0; i < log->count; ++i) printf("# %d %s\n", log->levels[i], log->lines[i]);
    check_fail(__FILE__, line, "not logged at TRACE: ", part, "");
  }
  log->count = 0;
}

TEST(step_40_every_operation_logs_at_trace) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1.0.0", with_log(dbc_options_new(), log, DBC_LOG_TRACE));
  const size_t sizes[] = {1, 1};
  dbc_result *result = NULL;
  log->count = 0;
  put(cache, "k", "v"), LOGGED("put(key='k')");
  CHECK(gets(cache, "k", "v")), LOGGED("get(key='k')");
  CHECK(gets(cache, "k", "v")), LOGGED("get(key='k'): memory hit");
  CHECK(dbc_exists(cache, KEY("k"), NULL) == DBC_OK), LOGGED("exists(key='k')");
  CHECK(dbc_clear_memory(cache) == DBC_OK), log->count = 0;
  CHECK(gets(cache, "k", "v")), LOGGED("get(key='k'): disk hit");
  CHECK(dbc_delete(cache, KEY("k")) == DBC_OK), LOGGED("delete(key='k')");
  CHECK(gets(cache, "k", NULL)), LOGGED("get(key='k'): miss (not found)");
  CHECK(dbc_put_many(cache, 2, "ab", sizes, "xy", sizes, 0, NULL, NULL) == DBC_OK), LOGGED("put_many(count=2)");
  CHECK(dbc_get_many(cache, 2, "ab", sizes, NULL, NULL, &result) == DBC_OK), LOGGED("get_many(count=2)");
  CHECK(dbc_delete_many(cache, 2, "ab", sizes, NULL) == DBC_OK), LOGGED("delete_many(count=2)");
  CHECK(dbc_clear(cache) == DBC_OK), LOGGED("clear()");
  dbc_result_free(result);
  dbc_free(cache);
  free(log);
}

TEST(step_40_other_gets_log_as_gets) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1.0.0", with_log(dbc_options_new(), log, DBC_LOG_TRACE));
  uint64_t version = put(cache, "k", "v");
  dbc_value *value = NULL;
  char buffer[4];
  size_t size = 0;
  log->count = 0;
  CHECK(dbc_get_changed(cache, KEY("k"), version, NULL, &value) == DBC_UNCHANGED), LOGGED("get(key='k'): memory hit");
  CHECK(dbc_get_from_memory(cache, KEY("k"), version, NULL, &value) == DBC_NOT_FOUND && log->count == 0);
  CHECK(dbc_set_log_level(cache, DBC_LOG_DEBUG) == DBC_OK);
  CHECK(dbc_get_from_memory(cache, KEY("k"), version, NULL, &value) == DBC_UNCHANGED && log->count == 0);
  CHECK(dbc_set_log_level(cache, DBC_LOG_TRACE) == DBC_OK);
  CHECK(dbc_get_into(cache, KEY("k"), NULL, buffer, 4, &size, NULL) == DBC_OK), LOGGED("get(key='k'): memory hit");
  dbc_free(cache);
  free(log);
}

TEST(step_40_expiries_are_logged) {
  struct log *log = new_log();
  dbc_options *options = with_log(dbc_options_new(), log, DBC_LOG_TRACE);
  with_double(options, DBC_MEMORY_TTL_SECONDS, 10);
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, 20));
  put_at(cache, "k", "v", AT(100));
  log->count = 0;
  CHECK(gets_at(cache, "k", "v", AT(115)));
  CHECK(lines_with(log, DBC_LOG_TRACE, "get(key='k'): disk hit") == 1);
  LOGGED("get(key='k'): expired from memory (TTL exceeded)");
  CHECK(gets_at(cache, "k", NULL, AT(140))), LOGGED("get(key='k'): expired from disk (TTL exceeded)");
  dbc_free(cache);
  free(log);
}

TEST(step_40_schema_mismatches_are_logged) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1", with_log(dbc_options_new(), log, DBC_LOG_TRACE));
  dbc_cache *other = open_with(PATH, "2", NULL);
  put(other, "k", "v");
  log->count = 0;
  CHECK(gets(cache, "k", NULL)), LOGGED("get(key='k'): schema version mismatch");
  dbc_free(cache);
  dbc_free(other);
  free(log);
}

TEST(step_40_evictions_are_logged) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1.0.0",
                               with_log(OPTIONS({DBC_MAX_MEMORY_ITEMS, 2}, {DBC_MAX_MEMORY_SIZE_BYTES, 20},
                                                {DBC_MAX_DISK_ITEMS, 4}, {DBC_MAX_DISK_SIZE_BYTES, 40}),
                                        log, DBC_LOG_TRACE));
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  log->count = 0;
  put_at(cache, "c", "1", AT(3)), LOGGED("evicting from memory (count): key='a'");
  put_at(cache, "c", "12345678901234567890", AT(4)), LOGGED("evicting from memory (size): key='b'");
  put_at(cache, "d", "1", AT(5)), log->count = 0;
  put_at(cache, "e", "1", AT(6)), LOGGED("evicting from disk (count): key='a'");
  put_at(cache, "e", "1234567890123456789012345678901234567890", AT(7)), LOGGED("evicting from disk (size): key='b'");
  dbc_free(cache);
  free(log);
}

TEST(the_first_disk_eviction_is_told_at_info) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1.0.0", with_log(OPTIONS({DBC_MAX_DISK_ITEMS, 2}), log, DBC_LOG_INFO));
  for (int i = 0; i < 6; ++i) {
    char key[8];
    snprintf(key, sizeof key, "k%d", i);
    put_at(cache, key, "v", AT(i));
    CHECK(lines_with(log, DBC_LOG_INFO, "max_disk_items") == (i >= 2));
  }
  dbc_free(cache);
  free(log);
}

TEST(opening_and_closing_are_told_at_info) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1.0.0", with_log(dbc_options_new(), log, DBC_LOG_INFO));
  CHECK(lines_with(log, DBC_LOG_INFO, PATH) == 1);
  CHECK(dbc_close(cache) == DBC_OK);
  CHECK(lines_with(log, DBC_LOG_INFO, PATH) == 2);
  dbc_free(cache);
  CHECK(lines_with(log, 0, PATH) == 2);
  free(log);
}

TEST(moving_a_file_aside_is_told_as_a_warning) {
  struct log *log = new_log();
  write_file(PATH, "this is no database, just a text of some length", 47);
  dbc_free(open_with(PATH, "1.0.0", with_log(dbc_options_new(), log, DBC_LOG_WARNING)));
  CHECK(lines_with(log, DBC_LOG_WARNING, PATH ".corrupt-") == 1);
  CHECK(log->count == 1);
  free(log);
}

TEST(levels_filter) {
  struct log *log = new_log();
  dbc_options *options = dbc_options_new();
  CHECK(dbc_options_set_log(options, record, log, finalize) == DBC_OK);  // without a level: INFO
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  put(cache, "k", "v");
  for (int i = 0; i < log->count; ++i) CHECK(log->levels[i] >= DBC_LOG_INFO);
  log->count = 0;
  CHECK(gets(cache, "k", "v") && log->count == 0);
  CHECK(dbc_set_log_level(cache, DBC_LOG_TRACE) == DBC_OK);
  CHECK(gets(cache, "k", "v") && log->count > 0);
  CHECK(dbc_set_log_level(cache, DBC_LOG_DEBUG) == DBC_OK);
  log->count = 0;
  CHECK(gets(cache, "k", "v") && lines_with(log, DBC_LOG_TRACE, "") == 0);
  CHECK(dbc_set_log_level(cache, DBC_LOG_OFF) == DBC_OK);
  log->count = 0;
  dbc_free(cache);
  CHECK(log->count == 0);
  free(log);
}

TEST(an_odd_log_level_is_refused) {
  dbc_cache *cache = open_default(PATH);
  CHECK(dbc_set_log_level(cache, -1) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_set_log_level(cache, 1 << 20) == DBC_INVALID_ARGUMENT);
  dbc_free(cache);
}

TEST(callbacks_come_on_the_calling_thread_before_the_call_returns) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1.0.0", with_log(dbc_options_new(), log, DBC_LOG_TRACE));
  for (int i = 0; i < 50; ++i) {
    int before = log->count;
    if (i % 2)
      put(cache, "k", "v");
    else
      gets(cache, "k", "v");
    CHECK(log->count > before && pthread_equal(log->thread, pthread_self()));
  }
  dbc_free(cache);
  free(log);
}

TEST(a_callback_may_use_the_cache) {
  struct log *log = new_log();
  dbc_options *options = with_log(OPTIONS({DBC_MAX_MEMORY_ITEMS, 2}, {DBC_MAX_DISK_ITEMS, 3}), log, DBC_LOG_TRACE);
  dbc_cache *cache = open_with(PATH, "1.0.0", options);
  const size_t sizes[] = {1, 1};
  dbc_result *result = NULL;
  log->cache = cache;
  for (int i = 0; i < 6; ++i) {
    char key[8];
    snprintf(key, sizeof key, "k%d", i);
    put_at(cache, key, "v", AT(10 + i));
    gets_at(cache, key, "v", AT(20 + i));
    log->count = 0;
  }
  CHECK(dbc_put_many(cache, 2, "ab", sizes, "xy", sizes, 0, AT(30), NULL) == DBC_OK);
  CHECK(dbc_get_many(cache, 2, "ab", sizes, NULL, AT(30), &result) == DBC_OK);
  dbc_result_free(result);
  CHECK(dbc_delete_many(cache, 2, "ab", sizes, NULL) == DBC_OK);
  CHECK(dbc_purge_expired(cache, AT(1e9), NULL) == DBC_OK);
  CHECK(dbc_clear(cache) == DBC_OK && dbc_clear_memory(cache) == DBC_OK && dbc_flush(cache) == DBC_OK);
  log->cache = NULL;
  dbc_free(cache);
  CHECK(log->finalized == 1);
  free(log);
}

// The library asks this program's statfs() when it opens a file.
static void (*on_opening)(void);
int statfs(const char *path, struct statfs *status) {
  if (on_opening) on_opening();
  return (int)syscall(SYS_statfs, path, status);
}

static dbc_cache *closed_meanwhile;
static pthread_t closing_thread;
static void *close_it(void *cache) { return dbc_close(cache) == DBC_OK ? cache : NULL; }
static void begin_to_close(void) {
  on_opening = NULL;
  CHECK(pthread_create(&closing_thread, NULL, close_it, closed_meanwhile) == 0);
  usleep(100000);
}
static void go_over_to_another_file(void *context, int level, const char *message, size_t size) {
  (void)level, (void)message, (void)size;
  if ((*(atomic_int *)context)++ != 0) return;
  CHECK(remove(PATH) == 0);
  dbc_free(open_default(PATH));
  on_opening = begin_to_close;
  dbc_value *value = NULL;
  dbc_status status = dbc_get(closed_meanwhile, KEY("k"), NULL, &value);
  CHECK(on_opening == NULL);
  if (status != DBC_NOT_FOUND && status != DBC_CLOSED) CHECK_TEXT(dbc_last_error(), "(no error)");
}

// The file is replaced, a callback in the middle of a call meets that, and just then another thread closes: it waits for
// the call, which must not wait for it.
TEST(a_close_while_a_callback_opens_the_fresh_file) {
  atomic_int lines = 0;
  dbc_options *options = OPTIONS({DBC_LOG_LEVEL, DBC_LOG_OFF});
  CHECK(dbc_options_set_log(options, go_over_to_another_file, &lines, NULL) == DBC_OK);
  dbc_cache *cache = closed_meanwhile = open_with(PATH, "1", options);
  CHECK(lines == 0 && dbc_set_log_level(cache, DBC_LOG_TRACE) == DBC_OK);
  dbc_value *value = NULL;
  dbc_status status = dbc_get(cache, KEY("k"), NULL, &value);
  CHECK(status == DBC_NOT_FOUND || status == DBC_CLOSED);
  void *closed = NULL;
  CHECK(pthread_join(closing_thread, &closed) == 0 && closed == cache && lines > 0);
  CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_CLOSED);
  dbc_free(cache);
}

#ifdef CHILDREN_MAY_GO_ON
static int forks;
static pid_t child = -1;
static void fork_when_replaced(void *context, int level, const char *message, size_t size) {
  (void)level, (void)message, (void)size;
  if (forks++ != 0) return;
  CHECK(remove(PATH) == 0);
  dbc_free(open_default(PATH));
  CHECK(gets(*(dbc_cache **)context, "k", NULL));  // the session that we are inside of is replaced
  fflush(stdout);
  child = fork();
  if (child != 0) return;
  alarm(60);
  CHECK(gets(*(dbc_cache **)context, "k", NULL));  // opens what the child needs, perhaps by the same descriptors
}

// A child leaves what its parent was inside of, and has nothing to close there.
TEST(a_callback_may_fork_inside_of_what_was_replaced) {
  dbc_cache *cache = NULL;
  dbc_options *options = OPTIONS({DBC_LOG_LEVEL, DBC_LOG_OFF});
  CHECK(dbc_options_set_log(options, fork_when_replaced, &cache, NULL) == DBC_OK);
  cache = open_with(PATH, "1.0.0", options);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v") && dbc_flush(cache) == DBC_OK);
  CHECK(dbc_set_log_level(cache, DBC_LOG_TRACE) == DBC_OK);
  dbc_value *value = NULL;
  dbc_status status = dbc_get(cache, KEY("k"), NULL, &value);
  CHECK(child >= 0 && (status == DBC_OK || status == DBC_NOT_FOUND));
  if (status == DBC_OK) dbc_value_release(value);
  put(cache, child == 0 ? "child" : "parent", "v");
  if (child == 0) _exit(0);
  int ended = -1;
  CHECK(waitpid(child, &ended, 0) == child && ended == 0);
  CHECK(gets(cache, "child", "v") && gets(cache, "parent", "v"));
  dbc_free(cache);
}
#endif

TEST(a_key_cannot_forge_a_line) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1.0.0", with_log(dbc_options_new(), log, DBC_LOG_TRACE));
  put(cache, "a\nget(key='b'): memory hit", "v");
  CHECK(log->count > 0);
  for (int i = 0; i < log->count; ++i) CHECK(strchr(log->lines[i], '\n') == NULL);
  put(cache, "%s%n%d", "v");
  CHECK(lines_with(log, DBC_LOG_TRACE, "put(key='%s%n%d')") > 0);
  dbc_free(cache);
  free(log);
}

TEST(a_level_that_was_set_counts_after_a_fork) {
  struct log *log = new_log();
  dbc_cache *cache = open_with(PATH, "1", with_log(dbc_options_new(), log, DBC_LOG_OFF));
  CHECK(dbc_set_log_level(cache, DBC_LOG_TRACE) == DBC_OK);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    CHECK(gets(cache, "k", NULL)), LOGGED("get(key='k')");
    CHECK(dbc_set_log_level(cache, DBC_LOG_OFF) == DBC_OK);
    CHECK(gets(cache, "k", NULL) && log->count == 0);
    dbc_free(cache);
    _exit(0);
  }
  int status = 0;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  dbc_free(cache);
  free(log);
}

TEST(the_finalizer_runs_once_when_all_are_gone) {
  struct log *log = new_log();
  dbc_options *options = with_log(dbc_options_new(), log, DBC_LOG_INFO);
  dbc_cache *first = NULL, *second = NULL;
  CHECK(dbc_open("first.db", "1", options, &first) == DBC_OK);
  CHECK(dbc_open("second.db", "1", options, &second) == DBC_OK);
  dbc_options_free(options);
  dbc_free(first);
  CHECK(log->finalized == 0);
  dbc_free(second);
  CHECK(log->finalized == 1);
  free(log);
}

TEST(the_finalizer_waits_for_the_options_too) {
  struct log *log = new_log();
  dbc_options *options = with_log(dbc_options_new(), log, DBC_LOG_INFO);
  dbc_cache *cache = NULL;
  CHECK(dbc_open(PATH, "1", options, &cache) == DBC_OK);
  dbc_free(cache);
  CHECK(log->finalized == 0);
  CHECK(mkdir("folder", 0755) == 0 && dbc_open("folder", "1", options, &cache) != DBC_OK);
  CHECK(log->finalized == 0);
  dbc_options_free(options);
  CHECK(log->finalized == 1);
  free(log);
}

TEST(the_finalizer_runs_when_another_callback_comes) {
  struct log *log = new_log(), *next = new_log(), *none = new_log();
  dbc_options *options = with_log(dbc_options_new(), log, DBC_LOG_INFO);
  CHECK(dbc_options_set_log(options, record, next, finalize) == DBC_OK);
  CHECK(log->finalized == 1 && next->finalized == 0);
  CHECK(dbc_options_set_log(options, NULL, none, finalize) == DBC_OK);
  CHECK(next->finalized == 1);
  dbc_cache *cache = open_with(PATH, "1", options);
  put(cache, "k", "v");
  dbc_free(cache);
  CHECK(log->finalized == 1 && next->finalized == 1 && none->finalized == 1);
  CHECK(log->count == 0 && next->count == 0 && none->count == 0);
  free(log), free(next), free(none);
}

TEST(the_finalizer_runs_at_once_when_the_options_are_null) {
  struct log *log = new_log();
  CHECK(dbc_options_set_log(NULL, record, log, finalize) == DBC_INVALID_ARGUMENT);
  CHECK(log->finalized == 1);
  CHECK(dbc_options_set_log(NULL, NULL, NULL, NULL) == DBC_INVALID_ARGUMENT);
  free(log);
}

TEST(a_finalizer_is_not_needed) {
  struct log *log = new_log();
  dbc_options *options = dbc_options_new();
  CHECK(dbc_options_set_log(options, record, log, NULL) == DBC_OK);
  dbc_free(open_with(PATH, "1", options));
  CHECK(log->count > 0 && log->finalized == 0);
  free(log);
}
