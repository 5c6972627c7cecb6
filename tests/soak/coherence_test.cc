// No process answers with what another had replaced or deleted before the get began.
//
// The board is shared memory beside the cache. Every key has one writer, who numbers its operations on it: it says on
// the board that operation n has begun, does it, and says that it is done. A reader looks at the board, gets, and looks
// again: the value must be of an operation that was not over-written before (done <= value), and had begun. Operations
// divisible by 8 delete.
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "support.h"

// The library asks this program's statfs(): a network file system has nothing to share through.
static bool on_network = false;
extern "C" int statfs(const char *path, struct statfs *status) noexcept {
  if (syscall(SYS_statfs, path, status) != 0) return -1;
  if (on_network) status->f_type = 0x6969;  // NFS_SUPER_MAGIC
  return 0;
}

namespace dbc::testing {
namespace {

constexpr uint64_t kKeys = 1000;
constexpr int kWriters = 2, kReaders = 4;

bool deletes(uint64_t operation) { return operation % 8 == 0; }

struct Board {
  struct Key {
    std::atomic<uint64_t> begun{0}, done{0};  // operation 0: the key is not there
  };
  Key keys[kKeys];
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> writes{0}, gets{0}, memory_hits{0}, misses{0};
};

// The limits and times that take items out behind the readers' backs.
enum class Removals { kDeletesOnly, kAll };

Options options_for(Removals removals) {
  Options options;
  options.set(DBC_DURABILITY, DBC_DURABILITY_OFF).set_seconds(DBC_BUSY_TIMEOUT_SECONDS, 60);
  if (removals == Removals::kAll) {
    options.set(DBC_MAX_DISK_ITEMS, 700).set(DBC_MAX_MEMORY_ITEMS, 500);
    options.set_seconds(DBC_DISK_TTL_SECONDS, 0.5).set_seconds(DBC_MEMORY_TTL_SECONDS, 0.3);
    options.set_seconds(DBC_TOUCH_DELAY_SECONDS, 0.05);
  }
  return options;
}

int write(Board &board, const std::string &path, Removals removals, int writer) {
  Cache cache(path, options_for(removals));
  Random random(static_cast<uint64_t>(writer) + 1);
  for (uint64_t count = 1; !board.stop.load(); ++count) {
    // Half of them on a tenth of the keys.
    uint64_t key = random.below(2) ? random.below(kKeys / 10) : random.below(kKeys);
    key = key - key % kWriters + static_cast<uint64_t>(writer);
    uint64_t number = board.keys[key].begun.load() + 1;
    board.keys[key].begun.store(number);
    if (deletes(number)) {
      cache.remove(key_of(key));
    } else {
      cache.put(key_of(key), number);
    }
    board.keys[key].done.store(number);
    if (removals == Removals::kAll && count % 500 == 0) cache.purge_expired();
    if (removals == Removals::kAll && writer == 0 && count % 2000 == 0) {
      // Of its own keys it knows what a clear deletes: as if each had an operation for it, that no value can be of.
      for (uint64_t own = 0; own < kKeys; own += kWriters) {
        uint64_t number = board.keys[own].begun.load();
        board.keys[own].begun.store(number / 8 * 8 + 8);
      }
      cache.clear();
      for (uint64_t own = 0; own < kKeys; own += kWriters) board.keys[own].done.store(board.keys[own].begun.load());
    }
    board.writes.fetch_add(1);
    if (count % 8 == 0) usleep(1000);  // a cache is read more than it is written
  }
  return 0;
}

int read(Board &board, const std::string &path, Removals removals, int reader) {
  Cache cache(path, options_for(removals));
  Random random(static_cast<uint64_t>(reader) + 100);
  uint64_t misses = 0;
  while (!board.stop.load()) {
    uint64_t key = random.below(2) ? random.below(kKeys / 10) : random.below(kKeys);
    uint64_t done = board.keys[key].done.load();
    uint64_t value = cache.get(key_of(key));
    uint64_t begun = board.keys[key].begun.load();
    if (value == Cache::kAbsent) {
      ++misses;
      if (removals == Removals::kAll) continue;
      // Deleted by an operation that was the last one done, or that was under way.
      REQUIRE(begun / 8 * 8 >= done, key, done, begun);
    } else {
      REQUIRE(value >= done && value <= begun && !deletes(value), key, done, value, begun);
    }
  }
  board.misses.fetch_add(misses);
  board.gets.fetch_add(cache.stat(DBC_STAT_TOTAL_GETS));
  board.memory_hits.fetch_add(cache.stat(DBC_STAT_MEMORY_HITS));
  return 0;
}

void run(Removals removals, double seconds) {
  TemporaryDirectory directory;
  std::string path = directory / "cache.db";
  SharedObject<Board> board;
  std::list<Child> children;
  for (int i = 0; i < kWriters; ++i) children.emplace_back([&, i] { return write(*board, path, removals, i); });
  for (int i = 0; i < kReaders; ++i) children.emplace_back([&, i] { return read(*board, path, removals, i); });
  // Longer where a sanitizer or other work makes all slow: there must have been something to be coherent about.
  constexpr uint64_t kFewestWrites = 100;
  Deadline deadline(seconds), last(seconds + 60);
  while (!deadline.passed() || (board->writes <= kFewestWrites && !last.passed())) usleep(10'000);
  board->stop = true;
  for (Child &child : children) EXPECT_EQ(child.wait(), 0);
  std::printf("   %llu gets, %llu of them memory hits, %llu misses, against %llu writes: none stale\n",
              static_cast<unsigned long long>(board->gets), static_cast<unsigned long long>(board->memory_hits),
              static_cast<unsigned long long>(board->misses), static_cast<unsigned long long>(board->writes));
  // It was put to the test: there were many gets, from memory too, and writes in between.
  EXPECT_GT(board->gets.load(), 1000u);
  EXPECT_GT(board->memory_hits.load(), 100u);
  EXPECT_GT(board->writes.load(), kFewestWrites);
  EXPECT_GT(board->misses.load(), 10u);
  expect_sound(path);
}

TEST(Coherence, NoGetIsBehindTheBoard) { run(Removals::kDeletesOnly, 3); }
TEST(Coherence, NorWithEvictionsExpiriesAndClearsByOthers) { run(Removals::kAll, 2); }

TEST(Coherence, NorWhereNothingIsShared) {
  on_network = true;
  run(Removals::kDeletesOnly, 1);
  run(Removals::kAll, 1);
  on_network = false;
}

// Others that only read, and the writing of their access times, leave memory as it was: every get after the first is a
// hit.
TEST(Coherence, WithoutWritersEveryGetIsAMemoryHit) {
  constexpr uint64_t kRounds = 20;
  TemporaryDirectory directory;
  std::string path = directory / "cache.db";
  Child([&] {
    Cache cache(path);
    for (uint64_t key = 0; key < kKeys; ++key) cache.put(key_of(key), key);
    return 0;
  }).wait();
  std::list<Child> children;
  for (int i = 0; i < kReaders; ++i) {
    children.emplace_back([&] {
      Options options;
      options.set_seconds(DBC_TOUCH_DELAY_SECONDS, 0.01);
      Cache cache(path, options);
      for (uint64_t round = 0; round < kRounds; ++round) {
        for (uint64_t key = 0; key < kKeys; ++key) REQUIRE(cache.get(key_of(key)) == key);
      }
      REQUIRE(cache.stat(DBC_STAT_DISK_HITS) == kKeys, cache.stat(DBC_STAT_DISK_HITS));
      REQUIRE(cache.stat(DBC_STAT_MEMORY_HITS) == (kRounds - 1) * kKeys);
      return 0;
    });
  }
  for (Child &child : children) EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace dbc::testing
