// What the API tests share: short forms of the calls most tests make, and a look into the file with the sqlite3 shell.
#pragma once
#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>

#include "check.h"
#include "dbc.h"

#define PATH "cache.db"  // in the test's own folder
#define MIB (1024u * 1024u)

static inline const double *at(const double *time) { return time; }
// A timestamp parameter in place: dbc_get(cache, KEY("a"), AT(5), &value).
#define AT(SECONDS) at((const double[]){SECONDS})
#define KEY(TEXT) (TEXT), strlen(TEXT)

struct u64_option {
  dbc_option option;
  uint64_t value;
};
struct double_option {
  dbc_option option;
  double value;
};

// Options in one expression: OPTIONS(U64(DBC_MAX_DISK_ITEMS, 3), ...) with the doubles through with_double().
static inline dbc_options *options_of(const struct u64_option *list, size_t count) {
  dbc_options *options = dbc_options_new();
  CHECK(options != NULL);
  for (size_t i = 0; i < count; ++i) CHECK(dbc_options_set_u64(options, list[i].option, list[i].value) == DBC_OK);
  return options;
}
#define OPTIONS(...)                                   \
  options_of((const struct u64_option[]){__VA_ARGS__}, \
             sizeof((const struct u64_option[]){__VA_ARGS__}) / sizeof(struct u64_option))

static inline dbc_options *with_double(dbc_options *options, dbc_option option, double value) {
  CHECK(dbc_options_set_double(options, option, value) == DBC_OK);
  return options;
}

// Opens and takes the options over. Never NULL.
// A child of several threads goes on with the library, as programs do and sanitizers do not: ThreadSanitizer knows no
// threads that are started in such a child, and GCC 12's AddressSanitizer does not make its allocator ready for a fork,
// so that what the child allocates may wait for ever. `make valgrind` runs these tests.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define CHILDREN_MAY_GO_ON
#endif

static inline dbc_cache *open_with(const char *path, const char *schema_version, dbc_options *options) {
  dbc_cache *cache = NULL;
  dbc_status status = dbc_open(path, schema_version, options, &cache);
  dbc_options_free(options);
  if (status != DBC_OK) CHECK_TEXT(dbc_last_error(), "(no error)");
  CHECK(cache != NULL);
  return cache;
}
static inline dbc_cache *open_default(const char *path) { return open_with(path, "1.0.0", NULL); }

// Puts text at a time; NULL: now. Returns the version.
static inline uint64_t put_at(dbc_cache *cache, const char *key, const char *value, const double *time) {
  uint64_t version = 0;
  dbc_status status = dbc_put(cache, KEY(key), value, strlen(value), 0, time, &version);
  if (status != DBC_OK) CHECK_TEXT(dbc_last_error(), "(no error)");
  CHECK(version != 0);
  return version;
}
static inline uint64_t put(dbc_cache *cache, const char *key, const char *value) {
  return put_at(cache, key, value, NULL);
}

// Whether a get finds exactly that text; `text` NULL: whether it is a miss.
static inline int gets_at(dbc_cache *cache, const char *key, const char *text, const double *time) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get(cache, KEY(key), time, &value);
  if (!text) return status == DBC_NOT_FOUND && value == NULL;
  int same = status == DBC_OK && value && dbc_value_size(value) == strlen(text) &&
             memcmp(dbc_value_data(value), text, strlen(text)) == 0;
  if (status == DBC_OK) dbc_value_release(value);
  return same;
}
static inline int gets(dbc_cache *cache, const char *key, const char *text) { return gets_at(cache, key, text, NULL); }

static inline int tier_at(dbc_cache *cache, const char *key, const double *time) {
  int tier = -1;
  CHECK(dbc_get_tier(cache, KEY(key), time, &tier) == DBC_OK);
  return tier;
}
static inline int tier_of(dbc_cache *cache, const char *key) { return tier_at(cache, key, NULL); }

static inline uint64_t stat_of(dbc_cache *cache, dbc_stat stat) {
  uint64_t values[DBC_STAT_COUNT];
  CHECK(dbc_stats(cache, values, DBC_STAT_COUNT, NULL) == DBC_OK);
  return values[stat];
}
static inline uint64_t count_of(dbc_cache *cache) {
  uint64_t items = 12345;
  CHECK(dbc_count(cache, &items) == DBC_OK);
  return items;
}
static inline uint64_t size_of(dbc_cache *cache) {
  uint64_t bytes = 12345;
  CHECK(dbc_total_size(cache, &bytes) == DBC_OK);
  return bytes;
}

// Whether `status` is that error, with a message of its own that contains `part`.
static inline int refused(dbc_status status, dbc_status expected, const char *part) {
  if (status == expected && strstr(dbc_last_error(), part)) return 1;
  printf("# %s, \"%s\"; expected %s with \"%s\"\n", dbc_status_name((int)status), dbc_last_error(),
         dbc_status_name((int)expected), part);
  return 0;
}

// Runs a command; its output, without the last newline, in static storage.
__attribute__((format(printf, 1, 2))) static inline const char *shell(const char *format, ...) {
  static char output[65536];
  char command[4096];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(command, sizeof command, format, arguments);
  va_end(arguments);
  FILE *pipe = popen(command, "r");
  CHECK(pipe != NULL);
  size_t size = fread(output, 1, sizeof output - 1, pipe);
  if (pclose(pipe) != 0) check_fail(__FILE__, __LINE__, "failed: ", command, "");
  while (size > 0 && output[size - 1] == '\n') --size;
  output[size] = '\0';
  return output;
}
// A query through the sqlite3 shell: another process, with an SQLite of its own, as any user has it. It waits for the
// library's own threads, which write now and then.
static inline const char *query(const char *path, const char *sql) {
  return shell("sqlite3 -cmd '.timeout 10000' '%s' \"%s\"", path, sql);
}

static inline void write_file(const char *path, const void *data, size_t size) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}
static inline char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0);
  long end = ftell(file);
  char *data = malloc((size_t)end + 1);
  CHECK(data != NULL && fseek(file, 0, SEEK_SET) == 0);
  *size = fread(data, 1, (size_t)end, file);
  CHECK(*size == (size_t)end && fclose(file) == 0);
  return data;
}
// Whether a file still is byte for byte what it was.
static inline int unchanged(const char *path, const char *data, size_t size) {
  size_t now_size = 0;
  char *now = read_file(path, &now_size);
  int same = now_size == size && memcmp(now, data, size) == 0;
  free(now);
  return same;
}
static inline int exists(const char *path) { return access(path, F_OK) == 0; }
// How many descriptors this process has.
static inline int open_descriptors(void) {
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  CHECK(folder != NULL);
  while (readdir(folder)) ++count;
  closedir(folder);
  return count;
}
// How many files in the test's folder match a shell pattern.
static inline int files_like(const char *pattern) { return atoi(shell("find . -name '%s' | wc -l", pattern)); }
