// Values: every size and content, handles that outlive what they came from, and the copying get.
#include "support.h"

TEST(empty_values) {
  dbc_cache *cache = open_default(PATH);
  CHECK(dbc_put(cache, KEY("null"), NULL, 0, 0, NULL, NULL) == DBC_OK);
  CHECK(dbc_put(cache, KEY("empty"), "", 0, 0, NULL, NULL) == DBC_OK);
  CHECK(dbc_put(cache, KEY("text"), "", 0, DBC_TEXT, NULL, NULL) == DBC_OK);
  CHECK(dbc_put(cache, KEY("null text"), NULL, 0, DBC_TEXT, NULL, NULL) == DBC_OK);
  for (int round = 0; round < 2; ++round) {
    const char *keys[] = {"null", "empty", "text", "null text"};
    for (int i = 0; i < 4; ++i) {
      dbc_value *value = NULL;
      CHECK(dbc_get(cache, KEY(keys[i]), NULL, &value) == DBC_OK);
      CHECK(dbc_value_data(value) != NULL && dbc_value_size(value) == 0);
      CHECK(dbc_value_is_text(value) == (i >= 2));
      dbc_value_release(value);
    }
    CHECK(dbc_clear_memory(cache) == DBC_OK);
  }
  CHECK(size_of(cache) == 0 && count_of(cache) == 4);
  dbc_free(cache);
}

TEST(a_null_value_with_a_size_is_refused) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "v");
  CHECK(refused(dbc_put(cache, KEY("k"), NULL, 5, 0, NULL, NULL), DBC_INVALID_ARGUMENT, "value"));
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

TEST(unknown_flags_are_refused) {
  dbc_cache *cache = open_default(PATH);
  const size_t one = 1;
  CHECK(refused(dbc_put(cache, KEY("k"), "v", 1, 2u, NULL, NULL), DBC_INVALID_ARGUMENT, "flag"));
  CHECK(refused(dbc_put(cache, KEY("k"), "v", 1, DBC_TEXT | 0x80000000u, NULL, NULL), DBC_INVALID_ARGUMENT, "flag"));
  CHECK(refused(dbc_put_many(cache, 1, "k", &one, "v", &one, 2u, NULL, NULL), DBC_INVALID_ARGUMENT, "flag"));
  CHECK(count_of(cache) == 0);
  dbc_free(cache);
}

TEST(step_41_a_value_larger_than_the_disk_is_refused) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_SIZE_BYTES, 100}));
  char data[250] = {0};
  put(cache, "k", "before");
  CHECK(dbc_put(cache, KEY("k"), data, 250, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK_TEXT(dbc_last_error(), "Item size (250 bytes) exceeds max_disk_size_bytes (100 bytes)");
  CHECK(dbc_put(cache, KEY("k"), data, 101, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);
  CHECK_TEXT(dbc_last_error(), "Item size (101 bytes) exceeds max_disk_size_bytes (100 bytes)");
  CHECK(gets(cache, "k", "before"));
  CHECK(dbc_clear_memory(cache) == DBC_OK && gets(cache, "k", "before"));
  CHECK(dbc_put(cache, KEY("k"), data, 100, 0, NULL, NULL) == DBC_OK);
  CHECK(size_of(cache) == 100);
  dbc_free(cache);
}

TEST(absurd_value_sizes_are_refused) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_SIZE_BYTES, INT64_MAX}));
  const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 40};
  for (int i = 0; i < 3; ++i) {
    dbc_status status = dbc_put(cache, KEY("k"), "v", sizes[i], 0, NULL, NULL);
    CHECK(status == DBC_INVALID_ARGUMENT || status == DBC_NO_MEMORY || status == DBC_FULL);
  }
  put(cache, "k", "v");
  dbc_free(cache);
}

TEST(step_06_values_of_all_bytes_and_many_sizes) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_ITEM_SIZE_BYTES, 4096}));
  const size_t sizes[] = {1, 2, 7, 8, 9, 255, 256, 4095, 4096, 4097, 65536, 100000, 5 * MIB};
  enum { kCount = sizeof sizes / sizeof *sizes };
  unsigned char *data = malloc(5 * MIB);
  for (size_t i = 0; i < 5 * MIB; ++i) data[i] = (unsigned char)(i * 7 + i / 251);
  char key[8];
  for (int i = 0; i < kCount; ++i) {
    snprintf(key, sizeof key, "k%d", i);
    CHECK(dbc_put(cache, KEY(key), data + i, sizes[i] - (size_t)(sizes[i] == 5 * MIB ? i : 0), 0, NULL, NULL) ==
          DBC_OK);
  }
  for (int round = 0; round < 3; ++round) {
    if (round == 1) CHECK(dbc_clear_memory(cache) == DBC_OK);
    if (round == 2) dbc_free(cache), cache = open_default(PATH);
    for (int i = 0; i < kCount; ++i) {
      snprintf(key, sizeof key, "k%d", i);
      dbc_value *value = NULL;
      CHECK(dbc_get(cache, KEY(key), NULL, &value) == DBC_OK);
      CHECK(dbc_value_size(value) == sizes[i] - (size_t)(sizes[i] == 5 * MIB ? i : 0));
      CHECK(memcmp(dbc_value_data(value), data + i, dbc_value_size(value)) == 0);
      CHECK((uintptr_t)dbc_value_data(value) % 8 == 0);
      CHECK(dbc_value_is_text(value) == 0);
      dbc_value_release(value);
    }
  }
  free(data);
  dbc_free(cache);
}

TEST(text_is_marked_and_comes_back_as_it_was) {
  const struct {
    const char *data;
    size_t size;
  } texts[] = {{"{\"name\": \"Ada\"}", 15}, {"\xe6\xbc\xa2", 3}, {"a\0b", 3}, {"\xff\xfe", 2}, {"trailing\0", 9}};
  for (int i = 0; i < 5; ++i) {
    dbc_cache *cache = open_default(PATH);
    // What is no text may be refused; what is taken must come back byte for byte.
    dbc_status status = dbc_put(cache, KEY("k"), texts[i].data, texts[i].size, DBC_TEXT, NULL, NULL);
    CHECK(status == DBC_OK || (i >= 2 && status == DBC_INVALID_ARGUMENT));
    dbc_free(cache);
    if (status != DBC_OK) continue;
    cache = open_default(PATH);
    dbc_value *value = NULL;
    CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_OK);
    CHECK(dbc_value_size(value) == texts[i].size);
    CHECK(memcmp(dbc_value_data(value), texts[i].data, texts[i].size) == 0);
    CHECK(dbc_value_is_text(value) == 1);
    dbc_value_release(value);
    dbc_free(cache);
  }
}

TEST(values_outlive_all_they_came_from) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, 2}, {DBC_MAX_DISK_ITEMS, 3}));
  const char *keys[] = {"evicted", "replaced", "deleted", "cleared", "closed"};
  dbc_value *values[5];
  for (int i = 0; i < 5; ++i) {
    put_at(cache, keys[i], keys[i], AT(i));
    CHECK(dbc_get(cache, KEY(keys[i]), AT(i), &values[i]) == DBC_OK);
    if (i == 1) put_at(cache, "replaced", "other", AT(i));
    if (i == 2) CHECK(dbc_delete(cache, KEY("deleted")) == DBC_OK);
    if (i == 3) CHECK(dbc_clear(cache) == DBC_OK);
  }
  for (int i = 0; i < 4; ++i) put_at(cache, keys[i], "filler", AT(10 + i));
  CHECK(dbc_close(cache) == DBC_OK);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 5; ++i) {
      CHECK(dbc_value_size(values[i]) == strlen(keys[i]));
      CHECK(memcmp(dbc_value_data(values[i]), keys[i], strlen(keys[i])) == 0);
      CHECK(dbc_value_version(values[i]) != 0 && dbc_value_timestamp(values[i]) >= 0);
    }
    if (round == 0) dbc_free(cache);
  }
  for (int i = 0; i < 5; ++i) dbc_value_release(values[i]);
}

TEST(values_are_counted) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "value");
  dbc_value *value = NULL;
  CHECK(dbc_get(cache, KEY("k"), NULL, &value) == DBC_OK);
  dbc_value_retain(value);
  dbc_value_release(value);
  dbc_free(cache);
  CHECK(memcmp(dbc_value_data(value), "value", 5) == 0);
  dbc_value_release(value);
}

TEST(a_memory_hit_copies_nothing) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "k", "value");
  dbc_value *first = NULL, *second = NULL;
  CHECK(dbc_get(cache, KEY("k"), NULL, &first) == DBC_OK && dbc_get(cache, KEY("k"), NULL, &second) == DBC_OK);
  CHECK(dbc_value_data(first) == dbc_value_data(second));
  dbc_value_release(first);
  dbc_value_release(second);
  dbc_free(cache);
}

TEST(step_14_a_value_tells_its_last_access) {
  dbc_cache *cache = open_default(PATH);
  put_at(cache, "k", "v", AT(100));
  dbc_value *value = NULL, *again = NULL;
  CHECK(dbc_get(cache, KEY("k"), AT(110), &value) == DBC_OK);
  CHECK(dbc_value_timestamp(value) == 110);
  CHECK(dbc_get(cache, KEY("k"), AT(120), &again) == DBC_OK);
  CHECK(dbc_value_timestamp(value) == 120);
  dbc_value_release(value);
  dbc_value_release(again);
  dbc_free(cache);
}

TEST(versions_grow_and_belong_to_one_state) {
  dbc_cache *cache = open_default(PATH), *other = open_default(PATH);
  uint64_t last = 0;
  for (int i = 0; i < 10; ++i) {
    uint64_t version = put(i % 2 ? cache : other, i % 3 ? "a" : "b", "v");
    CHECK(version > last);
    last = version;
  }
  CHECK(dbc_delete(cache, KEY("a")) == DBC_OK);
  uint64_t version = put(cache, "a", "v");
  CHECK(version > last);
  dbc_value *value = NULL;
  CHECK(dbc_get(other, KEY("a"), NULL, &value) == DBC_OK);
  CHECK(dbc_value_version(value) == version);
  dbc_value_release(value);
  CHECK(gets(cache, "a", "v"));
  CHECK(dbc_get(cache, KEY("a"), NULL, &value) == DBC_OK);
  CHECK(dbc_value_version(value) == version);  // a get makes no new version
  dbc_value_release(value);
  dbc_free(cache);
  dbc_free(other);
}

TEST(get_into_copies) {
  dbc_cache *cache = open_default(PATH);
  uint64_t put_version = put(cache, "k", "hello"), version = 0;
  put(cache, "empty", "");
  for (int round = 0; round < 2; ++round) {
    char buffer[8] = "-------";
    size_t size = 0;
    CHECK(dbc_get_into(cache, KEY("k"), NULL, buffer, 7, &size, &version) == DBC_OK);
    CHECK(size == 5 && version == put_version);
    CHECK_TEXT(buffer, "hello--");
    CHECK(dbc_get_into(cache, KEY("k"), NULL, buffer, 5, &size, &version) == DBC_OK && size == 5);
    memset(buffer, '-', 7);
    size = 0;
    CHECK(dbc_get_into(cache, KEY("k"), NULL, buffer, 4, &size, NULL) == DBC_BUFFER_TOO_SMALL);
    CHECK(size == 5);
    CHECK_TEXT(buffer, "-------");
    size = 0;
    CHECK(dbc_get_into(cache, KEY("k"), NULL, NULL, 0, &size, NULL) == DBC_BUFFER_TOO_SMALL && size == 5);
    CHECK(dbc_get_into(cache, KEY("empty"), NULL, NULL, 0, &size, NULL) == DBC_OK && size == 0);
    size = version = 7;
    CHECK(dbc_get_into(cache, KEY("absent"), NULL, buffer, 7, &size, &version) == DBC_NOT_FOUND);
    CHECK(size == 0 && version == 0);
    CHECK(stat_of(cache, DBC_STAT_TOTAL_GETS) == (uint64_t)(round + 1) * 6);
    CHECK(stat_of(cache, DBC_STAT_MISSES) == (uint64_t)(round + 1));
    CHECK(dbc_clear_memory(cache) == DBC_OK);
  }
  dbc_free(cache);
}

// The bytes in the file are changed behind the cache's back: it may lose the item, but must not serve it.
TEST(step_41_wrong_bytes_are_never_served) {
  char value[200];
  for (int i = 0; i < 199; ++i) value[i] = (char)('A' + i * i % 53 % 26);
  value[199] = '\0';
  dbc_cache *cache = open_default(PATH);
  put(cache, "damaged", value);
  put(cache, "sound", "v");
  dbc_free(cache);
  size_t size = 0;
  char *file = read_file(PATH, &size);
  char *found = memmem(file, size, value, 199);
  CHECK(found != NULL);
  found[100] ^= 1;
  write_file(PATH, file, size);
  free(file);
  cache = open_default(PATH);
  CHECK(gets(cache, "damaged", NULL));
  CHECK(stat_of(cache, DBC_STAT_DISCARDED) == 1 && stat_of(cache, DBC_STAT_MISSES) == 1);
  CHECK(gets(cache, "sound", "v"));
  CHECK(count_of(cache) == 1 && size_of(cache) == 1);
  dbc_free(cache);
}
