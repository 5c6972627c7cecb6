// dbc_check: what it finds, and what a repair leaves. Damage is done with the sqlite3 shell, or with bytes in the file.
#include "support.h"

static char report[8192];

static uint64_t problems_of(dbc_cache *cache, unsigned flags) {
  uint64_t problems = 12345;
  memset(report, 'x', sizeof report);
  dbc_status status = dbc_check(cache, flags, report, sizeof report, &problems);
  if (status != DBC_OK) CHECK_TEXT(dbc_last_error(), "(no error)");
  CHECK(memchr(report, '\0', sizeof report) != NULL);
  CHECK((problems == 0) == (report[0] == '\0'));
  return problems;
}

static dbc_cache *with_items(int count) {
  dbc_cache *cache = open_default(PATH);
  char key[16], value[32];
  for (int i = 0; i < count; ++i) {
    snprintf(key, sizeof key, "key%03d", i);
    snprintf(value, sizeof value, "the value of %d", i);
    put_at(cache, key, value, AT(100 + i));
  }
  return cache;
}

// Damages the file with a statement, sees that the check names it, repairs, and sees that all is well then.
static void damage_and_repair(const char *sql, const char *named, uint64_t items_left, uint64_t discarded) {
  dbc_cache *cache = with_items(20);
  CHECK(dbc_flush(cache) == DBC_OK && dbc_clear_memory(cache) == DBC_OK);
  query(PATH, sql);
  CHECK(problems_of(cache, 0) > 0);
  if (!strstr(report, named)) CHECK_TEXT(report, named);
  CHECK(problems_of(cache, 0) > 0);  // a check alone mends nothing
  CHECK(problems_of(cache, DBC_CHECK_REPAIR) > 0);
  CHECK(strstr(report, named) != NULL);
  CHECK(problems_of(cache, 0) == 0);
  CHECK(count_of(cache) == items_left && stat_of(cache, DBC_STAT_DISCARDED) == discarded);
  CHECK(files_like("*.corrupt-*") == 0);
  CHECK_TEXT(query(PATH, "pragma integrity_check"), "ok");
  // Every item that is left can be evicted, and nothing else is.
  dbc_free(cache);
  cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 1}));
  CHECK(stat_of(cache, DBC_STAT_DISK_EVICTIONS) == items_left - 1);
  CHECK(problems_of(cache, 0) == 0);
  dbc_free(cache);
}

TEST(a_sound_cache_has_no_problems) {
  dbc_cache *cache = open_default(PATH);
  CHECK(problems_of(cache, 0) == 0 && problems_of(cache, DBC_CHECK_REPAIR) == 0);
  dbc_free(cache);
  cache = with_items(300);
  CHECK(problems_of(cache, 0) == 0);
  put_at(cache, "key007", "another value", AT(7));              // back in time
  put_at(cache, "key008", "another value", AT(1000));           // forward, which the order does not follow at once
  CHECK(gets_at(cache, "key009", "the value of 9", AT(2000)));  // a touch
  CHECK(gets_at(cache, "key010", "the value of 10", AT(1)));    // a touch back in time
  CHECK(problems_of(cache, 0) == 0);
  CHECK(dbc_flush(cache) == DBC_OK);
  CHECK(problems_of(cache, 0) == 0);
  CHECK(dbc_delete(cache, KEY("key009")) == DBC_OK);
  CHECK(problems_of(cache, 0) == 0);
  dbc_free(cache);
  cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 50}));
  CHECK(problems_of(cache, 0) == 0);
  dbc_free(cache);
  cache = open_with(PATH, "2.0.0", NULL);
  CHECK(problems_of(cache, 0) == 0 && count_of(cache) == 0);
  dbc_free(cache);
}

TEST(a_cache_in_memory_is_checked_too) {
  dbc_cache *cache = open_default(":memory:");
  put(cache, "k", "v");
  CHECK(problems_of(cache, 0) == 0 && problems_of(cache, DBC_CHECK_REPAIR) == 0);
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

TEST(a_repair_without_problems_changes_nothing) {
  dbc_cache *cache = with_items(20);
  char before[256];
  snprintf(before, sizeof before, "%s", query(PATH, "select count(*), max(version) from item"));
  CHECK(problems_of(cache, DBC_CHECK_REPAIR) == 0);
  CHECK(tier_at(cache, "key001", AT(200)) == DBC_TIER_MEMORY);
  CHECK_TEXT(query(PATH, "select count(*), max(version) from item"), before);
  dbc_free(cache);
}

TEST(finds_a_value_that_was_changed) {
  damage_and_repair("update item set data = 'another' where key = 'key003'", "(key='key003'): the size", 19, 1);
}
TEST(finds_a_value_that_fails_its_checksum) {
  damage_and_repair("update item set data = replace(data, 'value', 'VALUE') where key = 'key003'",
                    "(key='key003'): the checksum", 19, 1);
}
TEST(finds_a_value_under_another_key) {
  damage_and_repair("update item set key = 'other' where key = 'key003'", "(key='other'): the checksum", 19, 1);
}
TEST(finds_a_key_that_is_none) {
  damage_and_repair("update item set key = '' where key = 'key003'", "the key is none", 19, 1);
  damage_and_repair("update item set key = cast(x'ff' as text) where key = 'key005'", "(key='?'): the key is none", 19,
                    1);
  damage_and_repair("update item set key = x'616263' where key = 'key006'", "a column is not of its type", 19, 1);
}
TEST(finds_a_version_that_was_never_given) {
  damage_and_repair("update item set version = 9223372036854775807 where key = 'key003'", "never given", 19, 1);
  damage_and_repair("update item set version = 0 where key = 'key003'", "never given", 19, 1);
}
TEST(finds_a_version_that_came_twice) {
  damage_and_repair("update item set version = (select max(version) from item) where key = 'key003'", "of another item",
                    19, 1);
}
TEST(finds_an_unknown_schema_version) {
  damage_and_repair("update item set schema_id = 77 where key in ('key003', 'key004')", "the schema version is unknown",
                    18, 2);
}
TEST(finds_a_time_that_is_none) {
  damage_and_repair("update item set timestamp = 9e999 where key = 'key003'", "not finite", 19, 1);
  damage_and_repair("insert into usage select id, version, 9e999, recorded from item where key = 'key003'",
                    "holds no time", 20, 0);
}
TEST(finds_usage_of_no_item) {
  damage_and_repair("insert into usage values(4711, 1, 1.0, 1.0)", "item 4711: usage: the row belongs to no item", 20,
                    0);
}
TEST(finds_an_access_before_the_item) {
  damage_and_repair("insert into usage select id, version, 1.0, 1.0 from item where key = 'key003'",
                    "earlier than the item", 20, 0);
}
TEST(finds_an_order_that_lacks_an_item) {
  damage_and_repair("delete from eviction_order where key = 'key003'", "(key='key003'): the order of eviction lacks",
                    20, 0);
  damage_and_repair("delete from eviction_order", "lacks the item", 20, 0);
}
TEST(finds_an_order_that_names_an_absent_item) {
  damage_and_repair("insert into eviction_order values(1.0, 'nobody', 4711)",
                    "(key='nobody'): the order of eviction names", 20, 0);
  damage_and_repair("delete from item where key = 'key003'", "(key='key003'): the order of eviction names", 19, 0);
}
TEST(finds_an_order_later_than_the_item) {
  damage_and_repair(
      "update eviction_order set recorded = 5000 where key = 'key003'; "
      "update item set recorded = 5000 where key = 'key003'",
      "under a later time", 20, 0);
}
// By the shared counts the library goes; a foreign hand does not see them.
TEST(finds_wrong_shared_totals) {
  damage_and_repair("delete from item where key = 'key003'; delete from eviction_order where key = 'key003'",
                    "in the shared file: 20 items, 290 bytes, but there are 19 items, 276 bytes", 19, 0);
}
TEST(finds_wrong_totals) {
  damage_and_repair("update schema_version set items = 21", "in the table of schema versions: 21 items", 20, 0);
  damage_and_repair("update schema_version set bytes = bytes + 1000000", "totals of schema version '1.0.0'", 20, 0);
  damage_and_repair("update schema_version set items = 'many'", "no numbers", 20, 0);
}

// An index is damaged by bytes of its pages: no statement does it.
TEST(rebuilds_an_index) {
  dbc_cache *cache = with_items(20);
  dbc_free(cache);
  int page = atoi(query(PATH, "select rootpage from sqlite_schema where name = 'sqlite_autoindex_item_1'"));
  int page_size = atoi(query(PATH, "pragma page_size"));
  size_t size = 0;
  char *data = read_file(PATH, &size), *leaf = data + (size_t)(page - 1) * (size_t)page_size;
  char *key = memmem(leaf, (size_t)page_size, "key003", 6);
  CHECK(key != NULL);
  memcpy(key, "kez003", 6);
  write_file(PATH, data, size);
  free(data);
  cache = open_default(PATH);
  CHECK(problems_of(cache, 0) > 0 && strstr(report, "index sqlite_autoindex_item_1"));
  CHECK(problems_of(cache, DBC_CHECK_REPAIR) > 0);
  CHECK(problems_of(cache, 0) == 0 && count_of(cache) == 20);
  CHECK(gets_at(cache, "key003", "the value of 3", AT(150)));
  CHECK_TEXT(query(PATH, "pragma integrity_check"), "ok");
  dbc_free(cache);
}

// A page of the items' table that is no page of a table any more. Read-only checks find it and leave the file alone.
static dbc_cache *beyond_repair(dbc_options *options) {
  dbc_cache *cache = with_items(300);
  dbc_free(cache);
  int page = atoi(query(PATH, "select rootpage from sqlite_schema where name = 'item'"));
  int page_size = atoi(query(PATH, "pragma page_size"));
  size_t size = 0;
  char *data = read_file(PATH, &size);
  // A child of the root, so that opening does not see it.
  unsigned char *root = (unsigned char *)data + (size_t)(page - 1) * (size_t)page_size;
  CHECK(root[0] == 5);
  unsigned cell = (unsigned)root[12] << 8 | root[13];
  unsigned child =
      (unsigned)root[cell] << 24 | (unsigned)root[cell + 1] << 16 | (unsigned)root[cell + 2] << 8 | root[cell + 3];
  memset(data + (size_t)(child - 1) * (size_t)page_size, 0xEE, (size_t)page_size);
  write_file(PATH, data, size);
  free(data);
  return open_with(PATH, "1.0.0", options);
}

TEST(what_is_beyond_repair_is_moved_aside) {
  dbc_cache *cache = beyond_repair(NULL);
  CHECK(problems_of(cache, 0) > 0 && strstr(report, "structure: "));
  CHECK(files_like("*.corrupt-*") == 0);
  CHECK(problems_of(cache, DBC_CHECK_REPAIR) > 0);
  CHECK(strstr(report, "structure: ") && strstr(report, "the file was moved aside and a fresh one started"));
  CHECK(files_like("*.corrupt-*") > 0 && count_of(cache) == 0);
  CHECK(problems_of(cache, 0) == 0);
  put(cache, "k", "v");
  CHECK(gets(cache, "k", "v"));
  dbc_free(cache);
}

TEST(what_is_beyond_repair_is_an_error_by_option) {
  dbc_cache *cache = beyond_repair(OPTIONS({DBC_ON_CORRUPT, DBC_ON_CORRUPT_FAIL}));
  size_t size = 0;
  char *data = read_file(PATH, &size);
  uint64_t problems = 12345;
  CHECK(refused(dbc_check(cache, DBC_CHECK_REPAIR, report, sizeof report, &problems), DBC_CORRUPT, PATH));
  CHECK(problems == 0 && report[0] == '\0');
  CHECK(unchanged(PATH, data, size));
  free(data);
  CHECK(files_like("*.corrupt-*") == 0);
  dbc_free(cache);
}

// The generations have not moved, so memory takes its item for current; the library cannot know of a foreign hand.
TEST(finds_what_memory_holds_and_the_disk_does_not) {
  dbc_cache *cache = with_items(3);
  CHECK(gets_at(cache, "key001", "the value of 1", AT(150)) && tier_at(cache, "key001", AT(150)) == DBC_TIER_MEMORY);
  CHECK(dbc_flush(cache) == DBC_OK);
  query(PATH,
        "delete from eviction_order where key = 'key001'; delete from usage where id = (select id from item where key "
        "= 'key001'); delete from item where key = 'key001'");
  CHECK(problems_of(cache, 0) == 3);  // and the counts, in the table and shared
  CHECK(strstr(report, "memory: the disk does not hold item 'key001'"));
  CHECK(problems_of(cache, DBC_CHECK_REPAIR) == 3);
  CHECK(problems_of(cache, 0) == 0 && gets_at(cache, "key001", NULL, AT(150)));
  dbc_free(cache);
}

TEST(the_report_is_cut_to_its_capacity) {
  dbc_cache *cache = open_default(PATH);
  put(cache, "\xC3\xA4\xC3\xB6\xC3\xBC", "v");  // two bytes a character
  CHECK(dbc_flush(cache) == DBC_OK);            // later the counts would be written anew, and be right again
  query(PATH, "update schema_version set items = 7, bytes = 8; update item set size = 2");
  uint64_t all = problems_of(cache, 0);
  CHECK(all == 3);
  char whole[sizeof report], buffer[sizeof report];
  strcpy(whole, report);
  CHECK(strstr(whole, "\xC3\xA4\xC3\xB6\xC3\xBC") != NULL);
  for (size_t capacity = 1; capacity <= strlen(whole) + 2; ++capacity) {
    memset(buffer, 'x', sizeof buffer);
    uint64_t problems = 0;
    CHECK(dbc_check(cache, 0, buffer, capacity, &problems) == DBC_OK && problems == all);
    size_t length = strlen(buffer);
    CHECK(length < capacity && strncmp(buffer, whole, length) == 0);
    CHECK(length + 2 >= capacity || length == strlen(whole));
    CHECK(((unsigned char)whole[length] & 0xC0) != 0x80);  // whole characters
    for (size_t i = capacity; i < sizeof buffer; ++i) CHECK(buffer[i] == 'x');
  }
  uint64_t problems = 0;
  CHECK(dbc_check(cache, 0, NULL, 0, &problems) == DBC_OK && problems == all);
  dbc_free(cache);
}

TEST(many_problems_are_counted_though_not_all_are_told) {
  dbc_cache *cache = with_items(0);
  for (int i = 0; i < 20; ++i) {
    char keys[500 * 8];
    size_t sizes[500], value_sizes[500] = {0};
    for (int k = 0; k < 500; ++k) {
      snprintf(keys + 7 * k, 8, "k%06d", 500 * i + k);
      sizes[k] = 7;
    }
    CHECK(dbc_put_many(cache, 500, keys, sizes, NULL, value_sizes, 0, NULL, NULL) == DBC_OK);
  }
  query(PATH, "update item set checksum = 0");
  CHECK(problems_of(cache, 0) == 10000);
  CHECK(strlen(report) == sizeof report - 1);
  CHECK(problems_of(cache, DBC_CHECK_REPAIR) == 10000 && count_of(cache) == 0);
  dbc_free(cache);
}

TEST(check_arguments) {
  dbc_cache *cache = open_default(PATH);
  uint64_t problems = 12345;
  CHECK(refused(dbc_check(NULL, 0, report, sizeof report, &problems), DBC_INVALID_ARGUMENT, "cache"));
  CHECK(problems == 0);
  CHECK(refused(dbc_check(cache, 0, report, sizeof report, NULL), DBC_INVALID_ARGUMENT, "problems"));
  CHECK(refused(dbc_check(cache, 0, NULL, 1, &problems), DBC_INVALID_ARGUMENT, "report"));
  CHECK(refused(dbc_check(cache, 2, report, sizeof report, &problems), DBC_INVALID_ARGUMENT, "unknown bits: 2"));
  CHECK(refused(dbc_check(cache, 0x80000001u, report, sizeof report, &problems), DBC_INVALID_ARGUMENT, "unknown bits"));
  CHECK(dbc_close(cache) == DBC_OK);
  CHECK(refused(dbc_check(cache, 0, report, sizeof report, &problems), DBC_CLOSED, "closed"));
  dbc_free(cache);
}

// Neither does the repair of a sound file: there is nothing to write.
TEST(a_check_waits_for_no_writer_and_a_repair_does) {
  dbc_options *options = with_double(dbc_options_new(), DBC_BUSY_TIMEOUT_SECONDS, 0.05);
  // Nothing in the background, lest the shell finds the file locked.
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_TOUCH_DELAY_SECONDS, 3600));
  put(cache, "k", "v");
  FILE *shell_in = popen("sqlite3 " PATH " >/dev/null", "w");
  CHECK(shell_in != NULL && fputs("begin immediate;\n.shell touch locked\n", shell_in) >= 0 && fflush(shell_in) == 0);
  for (int i = 0; i < 1000 && !exists("locked"); ++i) usleep(10000);
  CHECK(exists("locked"));
  uint64_t problems = 12345;
  CHECK(problems_of(cache, 0) == 0 && problems_of(cache, DBC_CHECK_REPAIR) == 0);
  CHECK(fputs("update item set checksum = 1;\ncommit;\nbegin immediate;\n.shell touch again\n", shell_in) >= 0 &&
        fflush(shell_in) == 0);
  for (int i = 0; i < 1000 && !exists("again"); ++i) usleep(10000);
  CHECK(exists("again"));
  CHECK(refused(dbc_check(cache, DBC_CHECK_REPAIR, NULL, 0, &problems), DBC_BUSY, "try again"));
  CHECK(fputs("rollback;\n", shell_in) >= 0 && pclose(shell_in) == 0);
  CHECK(problems_of(cache, DBC_CHECK_REPAIR) == 1 && problems_of(cache, 0) == 0);
  dbc_free(cache);
}
