// Keys: what is refused, by every function that takes one, and what is not.
#include "support.h"

static dbc_status call_put(dbc_cache *cache, const char *key, size_t size) {
  uint64_t version = 7;
  dbc_status status = dbc_put(cache, key, size, "v", 1, 0, NULL, &version);
  if (status != DBC_OK) CHECK(version == 0);
  return status;
}
static dbc_status call_get(dbc_cache *cache, const char *key, size_t size) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get(cache, key, size, NULL, &value);
  if (status != DBC_OK) CHECK(value == NULL);
  return dbc_value_release(value), status;
}
static dbc_status call_get_changed(dbc_cache *cache, const char *key, size_t size) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get_changed(cache, key, size, 1, NULL, &value);
  if (status != DBC_OK) CHECK(value == NULL);
  return dbc_value_release(value), status;
}
static dbc_status call_get_from_memory(dbc_cache *cache, const char *key, size_t size) {
  dbc_value *value = (dbc_value *)1;
  dbc_status status = dbc_get_from_memory(cache, key, size, 1, NULL, &value);
  if (status != DBC_OK) CHECK(value == NULL);
  return dbc_value_release(value), status;
}
static dbc_status call_get_into(dbc_cache *cache, const char *key, size_t size) {
  char buffer[8];
  size_t value_size = 7;
  uint64_t version = 7;
  dbc_status status = dbc_get_into(cache, key, size, NULL, buffer, sizeof buffer, &value_size, &version);
  if (status != DBC_OK) CHECK(value_size == 0 && version == 0);
  return status;
}
static dbc_status call_delete(dbc_cache *cache, const char *key, size_t size) { return dbc_delete(cache, key, size); }
static dbc_status call_discard(dbc_cache *cache, const char *key, size_t size) {
  return dbc_discard(cache, key, size, 1, 0);
}
static dbc_status call_exists(dbc_cache *cache, const char *key, size_t size) {
  return dbc_exists(cache, key, size, NULL);
}
static dbc_status call_get_tier(dbc_cache *cache, const char *key, size_t size) {
  int tier = 7;
  dbc_status status = dbc_get_tier(cache, key, size, NULL, &tier);
  if (status != DBC_OK) CHECK(tier == 0);
  return status;
}
static dbc_status call_put_many(dbc_cache *cache, const char *key, size_t size) {
  const size_t value_size = 1;
  return dbc_put_many(cache, 1, key, &size, "v", &value_size, 0, NULL, NULL);
}
static dbc_status call_get_many(dbc_cache *cache, const char *key, size_t size) {
  dbc_result *result = (dbc_result *)1;
  dbc_status status = dbc_get_many(cache, 1, key, &size, NULL, NULL, &result);
  if (status != DBC_OK) CHECK(result == NULL);
  return dbc_result_free(result), status;
}
static dbc_status call_delete_many(dbc_cache *cache, const char *key, size_t size) {
  uint64_t removed = 7;
  dbc_status status = dbc_delete_many(cache, 1, key, &size, &removed);
  if (status != DBC_OK) CHECK(removed == 0);
  return status;
}

static const struct {
  const char *name;
  dbc_status (*call)(dbc_cache *cache, const char *key, size_t size);
} kCalls[] = {
    {"dbc_put", call_put},
    {"dbc_get", call_get},
    {"dbc_get_changed", call_get_changed},
    {"dbc_get_from_memory", call_get_from_memory},
    {"dbc_get_into", call_get_into},
    {"dbc_delete", call_delete},
    {"dbc_discard", call_discard},
    {"dbc_exists", call_exists},
    {"dbc_get_tier", call_get_tier},
    {"dbc_put_many", call_put_many},
    {"dbc_get_many", call_get_many},
    {"dbc_delete_many", call_delete_many},
};
enum { kCallCount = sizeof kCalls / sizeof *kCalls };

// Every function refuses the key, with a message that contains `part`, and nothing has changed.
static void check_refused(const char *key, size_t size, const char *part) {
  dbc_cache *cache = open_default(":memory:");
  put(cache, "other", "v");
  for (size_t i = 0; i < kCallCount; ++i) {
    dbc_status status = kCalls[i].call(cache, key, size);
    if (!refused(status, DBC_INVALID_ARGUMENT, part)) check_fail(__FILE__, __LINE__, kCalls[i].name, " takes ", part);
  }
  CHECK(count_of(cache) == 1);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == 0 && stat_of(cache, DBC_STAT_TOTAL_PUTS) == 1);
  CHECK(stat_of(cache, DBC_STAT_TOTAL_DELETES) == 0 && stat_of(cache, DBC_STAT_DISCARDED) == 0);
  dbc_free(cache);
}

TEST(step_02_an_empty_key_is_refused) {
  check_refused("", 0, "Key cannot be empty");
  dbc_cache *cache = open_default(":memory:");
  CHECK(call_get(cache, "", 0) == DBC_INVALID_ARGUMENT);
  CHECK_TEXT(dbc_last_error(), "Key cannot be empty");
  CHECK(call_put(cache, "", 0) == DBC_INVALID_ARGUMENT);
  CHECK_TEXT(dbc_last_error(), "Key cannot be empty");
  dbc_free(cache);
}

TEST(a_null_key_is_refused) {
  check_refused(NULL, 0, "");
  check_refused(NULL, 5, "");
}

static const char *repeat(const char *character, size_t times) {
  static char text[8192];
  text[0] = '\0';
  for (size_t i = 0; i < times; ++i) memcpy(text + i * strlen(character), character, strlen(character) + 1);
  return text;
}

TEST(step_02_257_characters_are_refused) {
  const char *characters[] = {"a", "\xc3\xa9", "\xe6\xbc\xa2", "\xf0\x9f\x98\x80"};
  for (int i = 0; i < 4; ++i) check_refused(KEY(repeat(characters[i], 257)), "exceeds maximum of 256 characters");
  dbc_cache *cache = open_default(":memory:");
  for (int i = 0; i < 4; ++i) {
    const char *key = repeat(characters[i], 257);
    CHECK(call_get(cache, KEY(key)) == DBC_INVALID_ARGUMENT);
    CHECK_TEXT(dbc_last_error(), "Key length 257 exceeds maximum of 256 characters");
    CHECK(call_put(cache, KEY(key)) == DBC_INVALID_ARGUMENT);
    CHECK_TEXT(dbc_last_error(), "Key length 257 exceeds maximum of 256 characters");
  }
  CHECK(call_put(cache, KEY(repeat("a", 5000))) == DBC_INVALID_ARGUMENT);
  CHECK_TEXT(dbc_last_error(), "Key length 5000 exceeds maximum of 256 characters");
  dbc_free(cache);
}

TEST(step_02_256_characters_are_taken) {
  const char *characters[] = {"a", "\xc3\xa9", "\xe6\xbc\xa2", "\xf0\x9f\x98\x80"};
  for (int i = 0; i < 4; ++i) {
    const char *key = repeat(characters[i], 256);
    dbc_cache *cache = open_default(":memory:");
    put(cache, key, "v");
    CHECK(gets(cache, key, "v"));
    CHECK(dbc_clear_memory(cache) == DBC_OK);
    CHECK(gets(cache, key, "v"));
    CHECK(dbc_exists(cache, KEY(key), NULL) == DBC_OK);
    CHECK(dbc_delete(cache, KEY(key)) == DBC_OK);
    dbc_free(cache);
  }
}

// A size beyond all sense must be refused by its number alone: the bytes are not there.
TEST(absurd_key_sizes_are_refused) {
  const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, (size_t)1 << 40, (size_t)1 << 32, (size_t)1 << 31};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) check_refused("k", sizes[i], "");
}

TEST(absurd_sizes_in_a_batch_are_refused) {
  dbc_cache *cache = open_default(":memory:");
  const size_t wraps[] = {SIZE_MAX, 2}, ones[] = {1, 1}, values[] = {SIZE_MAX, 2};
  CHECK(dbc_put_many(cache, 2, "ab", wraps, "xy", ones, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_put_many(cache, 2, "ab", ones, "xy", values, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  dbc_result *result = NULL;
  CHECK(dbc_get_many(cache, 2, "ab", wraps, NULL, NULL, &result) == DBC_INVALID_ARGUMENT);
  CHECK(dbc_delete_many(cache, 2, "ab", wraps, NULL) == DBC_INVALID_ARGUMENT);
  CHECK(count_of(cache) == 0);
  dbc_free(cache);
}

TEST(step_02_invalid_utf8_is_refused) {
  const char *keys[] = {
      "\x80",              // a continuation without a lead
      "a\xbf",             // the same, later
      "\xc3",              // cut short
      "\xe6\xbc",          // cut short
      "\xf0\x9f\x98",      // cut short
      "\xc0\xaf",          // overlong, 2 bytes
      "\xc1\xbf",          // overlong, 2 bytes
      "\xe0\x80\xaf",      // overlong, 3 bytes
      "\xf0\x80\x80\xaf",  // overlong, 4 bytes
      "\xc0\x80",          // U+0000 in disguise
      "\xed\xa0\x80",      // the first surrogate
      "\xed\xbf\xbf",      // the last surrogate
      "\xf4\x90\x80\x80",  // beyond U+10FFFF
      "\xf5\x80\x80\x80",  // beyond U+10FFFF
      "\xf8\x88\x80\x80\x80",
      "\xfe",
      "\xff",
      "12345678\xff",  // after a run of ASCII
      "caf\xe9",       // Latin-1
  };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; ++i) check_refused(KEY(keys[i]), "UTF-8");
}

TEST(step_02_a_nul_inside_is_refused) {
  check_refused("a\0b", 3, "");
  check_refused("\0", 1, "");
  check_refused("key\0", 4, "");
  check_refused("123456789\0", 10, "");
}

TEST(step_02_all_other_characters_are_taken) {
  const char *keys[] = {"\x01",
                        "\x7f",
                        "\n",
                        "'",
                        "\"",
                        "\\",
                        "%s%n",
                        " ",
                        "a ",
                        " a",
                        "A",
                        "a",
                        "\xc2\x80",
                        "\xed\x9f\xbf",
                        "\xee\x80\x80",
                        "\xef\xbf\xbf",
                        "\xf4\x8f\xbf\xbf",
                        "\xef\xbb\xbfk",
                        "\xc3\xa9",
                        "e\xcc\x81",
                        "NULL",
                        "0",
                        "1",
                        "1.0",
                        "'; DROP TABLE item; --"};
  enum { kCount = sizeof keys / sizeof *keys };
  dbc_cache *cache = open_default(PATH);
  for (int i = 0; i < kCount; ++i) put(cache, keys[i], keys[i]);
  CHECK(count_of(cache) == kCount);
  for (int i = 0; i < kCount; ++i) CHECK(gets(cache, keys[i], keys[i]));
  dbc_free(cache);
  cache = open_default(PATH);
  for (int i = 0; i < kCount; ++i) CHECK(gets(cache, keys[i], keys[i]));
  for (int i = 0; i < kCount; ++i) CHECK(dbc_delete(cache, KEY(keys[i])) == DBC_OK);
  CHECK(count_of(cache) == 0);
  dbc_free(cache);
}

TEST(keys_need_no_terminating_zero) {
  dbc_cache *cache = open_default(":memory:");
  CHECK(dbc_put(cache, "abc", 2, "v", 1, 0, NULL, NULL) == DBC_OK);
  CHECK(gets(cache, "ab", "v") && gets(cache, "abc", NULL));
  dbc_free(cache);
}

TEST(last_error_stays_through_successes_and_is_cut) {
  dbc_cache *cache = open_default(":memory:");
  CHECK(call_get(cache, "", 0) == DBC_INVALID_ARGUMENT);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v") && gets(cache, "absent", NULL));
  CHECK_TEXT(dbc_last_error(), "Key cannot be empty");
  char path[3000];
  memset(path, 'p', sizeof path);
  path[sizeof path - 1] = '\0';
  dbc_cache *none = NULL;
  CHECK(dbc_open(path, "1", NULL, &none) != DBC_OK);
  CHECK(strlen(dbc_last_error()) <= 1023);
  dbc_free(cache);
}

TEST(last_error_is_empty_at_first) { CHECK_TEXT(dbc_last_error(), ""); }
