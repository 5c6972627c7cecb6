// Who is evicted: the smallest timestamp, then the smallest key, exactly, in both tiers.
#include "support.h"

static dbc_cache *memory_of(uint64_t items) { return open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_ITEMS, items})); }
static dbc_cache *disk_of(uint64_t items) { return open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, items})); }

// The keys in memory, of those given by their letters.
static const char *in_tier(dbc_cache *cache, int tier, const char *letters, double time) {
  static char found[64];
  size_t size = 0;
  for (; *letters; ++letters) {
    const char key[2] = {*letters, '\0'};
    if (tier_at(cache, key, &time) == tier) found[size++] = *letters;
  }
  found[size] = '\0';
  return found;
}

TEST(step_25_memory_evicts_the_oldest) {
  dbc_cache *cache = memory_of(3);
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  put_at(cache, "c", "1", AT(3));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);
  put_at(cache, "d", "1", AT(4));
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcd", 4), "bcd");
  CHECK_TEXT(in_tier(cache, DBC_TIER_DISK, "abcd", 4), "a");
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 1 && stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 3);
  CHECK(gets_at(cache, "b", "1", AT(5)));
  put_at(cache, "e", "1", AT(6));
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcde", 6), "bde");
  put_at(cache, "d", "2", AT(7));
  put_at(cache, "f", "1", AT(8));
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcdef", 8), "def");
  CHECK(count_of(cache) == 6);
  dbc_free(cache);
}

TEST(step_25_times_out_of_order) {
  dbc_cache *cache = memory_of(3);
  put_at(cache, "a", "1", AT(30));
  put_at(cache, "b", "1", AT(10));
  put_at(cache, "c", "1", AT(20));
  put_at(cache, "d", "1", AT(15));  // b goes
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcd", 30), "acd");
  CHECK(gets_at(cache, "a", "1", AT(12)));  // an older access counts as given
  put_at(cache, "e", "1", AT(40));
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcde", 40), "cde");
  put_at(cache, "f", "1", AT(5));  // older than all: evicted itself
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcdef", 40), "cde");
  CHECK(tier_at(cache, "f", AT(5)) == DBC_TIER_DISK);
  dbc_free(cache);
}

TEST(step_39_among_equal_times_the_smallest_key_goes) {
  dbc_cache *cache = memory_of(3);
  put_at(cache, "c", "1", AT(1));
  put_at(cache, "b", "1", AT(1));
  put_at(cache, "d", "1", AT(1));
  put_at(cache, "e", "1", AT(1));
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcde", 1), "cde");
  put_at(cache, "a", "1", AT(1));
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcde", 1), "cde");
  dbc_free(cache);
  cache = open_with("disk.db", "1.0.0", OPTIONS({DBC_MAX_DISK_ITEMS, 3}));
  put_at(cache, "c", "1", AT(1));
  put_at(cache, "b", "1", AT(1));
  put_at(cache, "d", "1", AT(1));
  put_at(cache, "e", "1", AT(1));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abcde", 1), "ab");
  put_at(cache, "a", "1", AT(1));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abcde", 1), "ab");
  dbc_free(cache);
}

// Byte order, which is code point order; a prefix comes first, and no collation has a say.
TEST(step_39_keys_are_ordered_by_code_point) {
  const char *keys[] = {"A", "B", "Ba", "a", "a ", "aa", "b", "\xc3\xa9", "\xef\xbf\xbd", "\xf0\x9f\x98\x80"};
  enum { kCount = sizeof keys / sizeof *keys };
  for (int tier = 0; tier < 2; ++tier) {
    dbc_cache *cache = open_with(tier ? "disk.db" : "memory.db", "1.0.0",
                                 OPTIONS({tier ? DBC_MAX_DISK_ITEMS : DBC_MAX_MEMORY_ITEMS, kCount}));
    for (int i = kCount - 1; i >= 0; --i) put_at(cache, keys[(i * 7) % kCount], "1", AT(1));
    for (int i = 0; i < kCount; ++i) {
      char filler[16];
      snprintf(filler, sizeof filler, "filler%d", i);
      put_at(cache, filler, "1", AT(2));
      for (int j = 0; j < kCount; ++j) {
        int gone = tier_at(cache, keys[j], AT(2)) != DBC_TIER_MEMORY;
        CHECK(gone == (j <= i));
      }
    }
    dbc_free(cache);
  }
}

TEST(step_26_memory_evicts_by_size) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_MEMORY_SIZE_BYTES, 10}));
  put_at(cache, "a", "1234", AT(1));
  put_at(cache, "b", "1234", AT(2));
  put_at(cache, "c", "12", AT(3));
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 10 && stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);
  put_at(cache, "d", "1", AT(4));
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcd", 4), "bcd");
  put_at(cache, "e", "123456789", AT(5));  // several go for one
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcde", 5), "de");
  CHECK(stat_of(cache, DBC_STAT_MEMORY_BYTES) == 10 && stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 3);
  put_at(cache, "d", "12", AT(6));  // an item that grows
  CHECK_TEXT(in_tier(cache, DBC_TIER_MEMORY, "abcde", 6), "d");
  CHECK(count_of(cache) == 5 && stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 0);
  dbc_free(cache);
}

TEST(step_27_disk_evicts_by_count) {
  dbc_cache *cache = disk_of(3);
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  put_at(cache, "c", "1", AT(3));
  put_at(cache, "a", "2", AT(4));
  CHECK(count_of(cache) == 3 && stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 0);
  put_at(cache, "d", "1", AT(5));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abcd", 5), "b");
  CHECK(gets_at(cache, "c", "1", AT(6)));  // the file learns of this late, the choice of a victim does not
  put_at(cache, "e", "1", AT(7));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abcde", 7), "ab");
  CHECK(stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 2 && count_of(cache) == 3);
  dbc_free(cache);
}

TEST(step_27_the_item_just_put_may_be_the_victim) {
  dbc_cache *cache = disk_of(2);
  put_at(cache, "a", "1", AT(10));
  put_at(cache, "b", "1", AT(20));
  put_at(cache, "c", "1", AT(5));
  CHECK(gets_at(cache, "c", NULL, AT(20)) && count_of(cache) == 2);
  CHECK(stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 1 && stat_of(cache, DBC_STAT_TOTAL_PUTS) == 3);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 2);
  put_at(cache, "c", "1", AT(15));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abc", 20), "a");
  put_at(cache, "b", "2", AT(1));  // moved back in time, still within the limit
  CHECK(gets_at(cache, "b", "2", AT(1)));
  put_at(cache, "d", "1", AT(12));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abcd", 20), "ab");
  dbc_free(cache);
}

TEST(step_28_disk_evicts_by_size) {
  dbc_cache *cache = open_with(PATH, "1.0.0", OPTIONS({DBC_MAX_DISK_SIZE_BYTES, 10}));
  put_at(cache, "a", "1234", AT(1));
  put_at(cache, "b", "1234", AT(2));
  put_at(cache, "c", "12", AT(3));
  CHECK(size_of(cache) == 10);
  put_at(cache, "d", "123456", AT(4));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abcd", 4), "ab");
  CHECK(size_of(cache) == 8 && count_of(cache) == 2 && stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 2);
  put_at(cache, "c", "1234567890", AT(5));
  CHECK_TEXT(in_tier(cache, DBC_TIER_NONE, "abcd", 5), "abd");
  CHECK(size_of(cache) == 10);
  put_at(cache, "empty", "", AT(6));
  CHECK(count_of(cache) == 2 && size_of(cache) == 10);
  dbc_free(cache);
}

TEST(step_32_what_leaves_the_disk_leaves_memory) {
  dbc_cache *cache = disk_of(2);
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(2));
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 2);
  put_at(cache, "c", "1", AT(3));
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 2 && stat_of(cache, DBC_STAT_MEMORY_BYTES) == 2);
  CHECK(gets_at(cache, "a", NULL, AT(3)));
  CHECK(stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 1);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0);  // a cascade is no eviction
  dbc_free(cache);
}

TEST(step_32_a_purge_and_a_delete_leave_memory_too) {
  dbc_options *options = with_double(dbc_options_new(), DBC_MEMORY_TTL_SECONDS, INFINITY);
  dbc_cache *cache = open_with(PATH, "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, 10));
  put_at(cache, "a", "1", AT(1));
  put_at(cache, "b", "1", AT(8));
  put_at(cache, "c", "1", AT(9));
  uint64_t removed = 0;
  CHECK(dbc_purge_expired(cache, AT(12), &removed) == DBC_OK && removed == 1);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 2);
  CHECK(dbc_delete(cache, KEY("b")) == DBC_OK);
  CHECK(stat_of(cache, DBC_STAT_CURRENT_MEMORY_ITEMS) == 1);
  CHECK(stat_of(cache, DBC_STAT_MEMORY_EVICTIONS) == 0 && stat_of(cache, DBC_STAT_DISK_EVICTIONS) == 0);
  dbc_free(cache);
}

// Against the plainest model there is: 3000 random puts and gets with random times, many of them equal.
TEST(step_39_the_order_is_exact_under_random_use) {
  enum { kKeys = 40, kMemory = 7, kDisk = 19, kRounds = 3000 };
  dbc_options *options = OPTIONS({DBC_MAX_MEMORY_ITEMS, kMemory}, {DBC_MAX_DISK_ITEMS, kDisk});
  with_double(options, DBC_MEMORY_TTL_SECONDS, INFINITY);
  dbc_cache *cache = open_with(":memory:", "1.0.0", with_double(options, DBC_DISK_TTL_SECONDS, INFINITY));
  int tier[kKeys] = {0};
  double time[kKeys] = {0};
  unsigned random = 12345;
  for (int round = 0; round < kRounds; ++round) {
    random = random * 1103515245u + 12345u;
    int index = (int)(random >> 16) % kKeys;
    random = random * 1103515245u + 12345u;
    double now = (double)((random >> 16) % 25);
    char key[8];
    snprintf(key, sizeof key, "k%02d", index);
    if (random & 0x8000) {
      put_at(cache, key, key, &now);
      tier[index] = DBC_TIER_MEMORY, time[index] = now;
    } else {
      CHECK(gets_at(cache, key, tier[index] == DBC_TIER_NONE ? NULL : key, &now));
      if (tier[index] != DBC_TIER_NONE) tier[index] = DBC_TIER_MEMORY, time[index] = now;
    }
    for (int level = DBC_TIER_DISK; level >= DBC_TIER_MEMORY; --level) {
      int victim = -1, count = 0;
      for (int i = kKeys - 1; i >= 0; --i) {
        if (tier[i] == DBC_TIER_NONE || (level == DBC_TIER_MEMORY && tier[i] != DBC_TIER_MEMORY)) continue;
        ++count;
        if (victim < 0 || time[i] <= time[victim]) victim = i;
      }
      if (count > (level == DBC_TIER_DISK ? kDisk : kMemory)) {
        tier[victim] = level == DBC_TIER_DISK ? DBC_TIER_NONE : DBC_TIER_DISK;
      }
    }
    for (int i = 0; i < kKeys; ++i) {
      snprintf(key, sizeof key, "k%02d", i);
      CHECK(tier_at(cache, key, &now) == tier[i]);
    }
  }
  dbc_free(cache);
}
