// Writers of several processes take turns, wait no longer than they want to, and hold the file to one set of limits.
#include <bit>

#include "support.h"

namespace dbc::testing {
namespace {

// Counts of durations, exact to 3 percent.
class Histogram {
 public:
  void add(std::chrono::nanoseconds time) { counts_[bucket(static_cast<uint64_t>(time.count()))].fetch_add(1); }
  // The duration, in microseconds, that the fraction `part` of all does not exceed.
  double quantile(double part) const {
    uint64_t all = 0, below = 0;
    for (const auto &count : counts_) all += count;
    for (size_t i = 0; i < kBuckets; ++i) {
      below += counts_[i];
      if (below > 0 && static_cast<double>(below) >= part * static_cast<double>(all)) return upper_end(i) / 1000;
    }
    return 0;
  }

 private:
  static constexpr size_t kBuckets = 64 * 32;
  static size_t bucket(uint64_t number) {
    if (number < 32) return number;
    auto shift = static_cast<size_t>(std::bit_width(number)) - 6;
    return (shift + 1) * 32 + (number >> shift) - 32;
  }
  static double upper_end(size_t i) {
    if (i < 32) return static_cast<double>(i);
    return static_cast<double>(i % 32 + 33) * std::exp2(static_cast<double>(i / 32 - 1));
  }
  std::atomic<uint32_t> counts_[kBuckets]{};
};

struct Race {
  std::atomic<int> ready{0};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> puts{0};            // of all
  std::atomic<uint64_t> puts_of[8]{};       // of each
  std::atomic<uint64_t> most_overtaken{0};  // by how many puts of others while one was waited for
  Histogram times;
};

TEST(Writers, TakeTurns) {
  constexpr int kWriters = 8;
  TemporaryDirectory directory;
  std::string path = directory / "cache.db";
  SharedObject<Race> race;
  std::list<Child> children;
  for (int writer = 0; writer < kWriters; ++writer) {
    children.emplace_back([&, writer] {
      Options options;
      options.set_seconds(DBC_BUSY_TIMEOUT_SECONDS, 60);
      Cache cache(path, options);
      race->ready++;
      while (race->ready < kWriters) usleep(1000);
      for (uint64_t i = 0; !race->stop; ++i) {
        std::string key = std::to_string(writer) + key_of(i % 1000);
        uint64_t before = race->puts;
        Clock::time_point start = Clock::now();
        cache.put(key, i, 256);
        race->times.add(Clock::now() - start);
        race->puts++;
        race->puts_of[writer]++;
        uint64_t overtaken = race->puts - before;
        uint64_t most = race->most_overtaken;
        while (overtaken > most && !race->most_overtaken.compare_exchange_weak(most, overtaken)) {
        }
      }
      return 0;
    });
  }
  ASSERT_TRUE(wait_for([&] { return race->ready == kWriters; }));
  Clock::time_point start = Clock::now();
  Deadline deadline(5);
  while (!deadline.passed()) usleep(10'000);
  double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  race->stop = true;
  uint64_t puts = race->puts;
  for (Child &child : children) EXPECT_EQ(child.wait(), 0);

  double median = race->times.quantile(0.5), slowest = race->times.quantile(1);
  std::printf("   %.0f puts a second; median %.0f us, 99%% %.0f us, slowest %.0f us; overtaken by %llu at most\n",
              static_cast<double>(puts) / seconds, median, race->times.quantile(0.99), slowest,
              static_cast<unsigned long long>(race->most_overtaken));
  uint64_t least = puts, most = 0;
  for (const auto &count : race->puts_of) {
    least = std::min<uint64_t>(least, count);
    most = std::max<uint64_t>(most, count);
  }
  std::printf("   the writers' shares: %llu to %llu puts\n", static_cast<unsigned long long>(least),
              static_cast<unsigned long long>(most));
  EXPECT_GE(least, puts / kWriters / 4);
  // In a short run, on a machine that does much else, times say little; a writer that starves is overtaken by nearly
  // all.
  EXPECT_LE(race->most_overtaken, puts / 3);
  if (long_run()) {
    EXPECT_LE(slowest, 100 * median);
  }
  expect_sound(path);
}

// ---- One set of limits for the file.

TEST(Limits, HoldForTheFileAtEveryMoment) {
  constexpr int kWriters = 4;
  constexpr uint64_t kItems = 100, kBytes = 10'000;
  TemporaryDirectory directory;
  std::string path = directory / "cache.db";
  auto open = [&] {
    Options options;
    options.set(DBC_MAX_DISK_ITEMS, kItems).set(DBC_MAX_DISK_SIZE_BYTES, kBytes).set(DBC_MAX_MEMORY_ITEMS, 20);
    options.set(DBC_DURABILITY, DBC_DURABILITY_OFF).set_seconds(DBC_BUSY_TIMEOUT_SECONDS, 60);
    return std::make_unique<Cache>(path, options);
  };
  SharedObject<std::atomic<bool>> stop, exists;
  SharedObject<std::atomic<int>> finished;
  SharedObject<std::atomic<uint64_t>> looks, full_by_count, full_by_size;
  std::list<Child> children;
  for (int writer = 0; writer < kWriters; ++writer) {
    children.emplace_back([&, writer] {
      std::unique_ptr<Cache> cache = open();
      exists->store(true);
      Random random(static_cast<uint64_t>(writer));
      for (uint64_t i = 0; !stop->load(); ++i) {
        // Small ones for a while, which reach the count, then large ones, which reach the size.
        size_t size = 8 + random.below(i / 300 % 2 ? 1000 : 8);
        cache->put(key_of(random.below(1000)), i, size);
        REQUIRE(cache->count() <= kItems, cache->count());
        REQUIRE(cache->bytes() <= kBytes, cache->bytes());
        if (i % 100 == 0) cache->remove(key_of(random.below(1000)));
      }
      finished->fetch_add(1);
      while (finished->load() < kWriters) usleep(1000);
      // All are still, and agree.
      uint64_t count = cache->count(), bytes = cache->bytes();
      usleep(100'000);
      REQUIRE(cache->count() == count && cache->bytes() == bytes);
      return static_cast<int>(count % 100);
    });
  }
  ASSERT_TRUE(wait_for([&] { return exists->load(); }));
  // Looks in with plain SQLite.
  Child checker([&] {
    Sql sql(path);
    while (!stop->load()) {
      std::vector<std::string> scan = sql.row(kScan);
      uint64_t items = std::stoull(scan[0]), bytes = std::stoull(scan[1]);
      REQUIRE(items <= kItems, items);
      REQUIRE(bytes <= kBytes, bytes);
      if (items == kItems) full_by_count->fetch_add(1);
      if (items < kItems && bytes > kBytes * 9 / 10) full_by_size->fetch_add(1);
      looks->fetch_add(1);
      usleep(200);
    }
    return 0;
  });
  Deadline deadline(3);
  while (!deadline.passed()) usleep(10'000);
  stop->store(true);
  EXPECT_EQ(checker.wait(), 0);
  int first = children.front().wait();
  EXPECT_LT(first, 100);
  for (auto child = std::next(children.begin()); child != children.end(); ++child) EXPECT_EQ(child->wait(), first);
  std::printf("   %llu looks; at the limit of items in %llu, of bytes in %llu\n",
              static_cast<unsigned long long>(looks->load()), static_cast<unsigned long long>(full_by_count->load()),
              static_cast<unsigned long long>(full_by_size->load()));
  EXPECT_GT(looks->load(), 50u);
  EXPECT_GT(full_by_count->load(), 0u);
  EXPECT_GT(full_by_size->load(), 0u);
  expect_sound(path);
}

// ---- The busy timeout.

class BusyTest : public ::testing::Test {
 protected:
  BusyTest() {
    // Writes all the time, so that it is usually stopped in the middle of it.
    holder_.emplace([this] {
      Options options;
      options.set(DBC_DURABILITY, DBC_DURABILITY_OFF);
      Cache cache(path_, options);
      for (uint64_t i = 0;; ++i) {
        cache.put("holder", i, 100'000);
        *written_ = i + 1;
      }
      return 0;
    });
    EXPECT_TRUE(wait_for([&] { return *written_ > 10; }));
  }

  // Stops the holder until that was while it held the lock: until `blocked` says so.
  template <typename Blocked>
  bool stop_holding(Blocked blocked) {
    for (int i = 0; i < 1000; ++i) {
      holder_->signal(SIGSTOP);
      if (blocked()) return true;
      holder_->signal(SIGCONT);
      usleep(static_cast<useconds_t>(i) * 7 % 1000);
    }
    return false;
  }

  // Runs in a process of its own, so that this one has no cache while it forks.
  template <typename Function>
  int in_child(Function function) {
    return Child(function).wait();
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_ / "cache.db";
  SharedObject<std::atomic<uint64_t>> written_;
  std::optional<Child> holder_;
};

Options with_timeout(double seconds) {
  Options options;
  options.set_seconds(DBC_BUSY_TIMEOUT_SECONDS, seconds);
  return options;
}

bool is_busy(dbc_status status, const char *limit) {
  if (status == DBC_OK) return false;
  if (status == DBC_BUSY && std::strstr(dbc_last_error(), limit)) return true;
  throw Failure(std::string(dbc_status_name(status)) + ": " + dbc_last_error());
}

TEST_F(BusyTest, BehindAStoppedHolderWritesFailInTimeAndReadsGoOn) {
  EXPECT_EQ(in_child([&] {
              Cache cache(path_, with_timeout(0.25));
              cache.put("mine", 1);
              REQUIRE(stop_holding([&] { return is_busy(cache.try_put("probe", 2), "0.25"); }));
              // Nothing has changed, and the tiers agree on it.
              REQUIRE(cache.get("mine") == 1);
              dbc_clear_memory(cache.handle());
              REQUIRE(cache.get("mine") == 1 && cache.get("holder") != Cache::kAbsent);
              uint64_t count = cache.count();
              Clock::time_point start = Clock::now();
              REQUIRE(is_busy(dbc_delete(cache.handle(), "mine", 4), "0.25"));
              REQUIRE(is_busy(dbc_clear(cache.handle()), "0.25"));
              REQUIRE(Clock::now() - start >= std::chrono::milliseconds(500));
              REQUIRE(cache.count() == count);
              holder_->signal(SIGCONT);
              REQUIRE(wait_for([&] { return cache.try_put("mine", 3) == DBC_OK; }));
              REQUIRE(cache.get("mine") == 3);
              return 0;
            }),
            0);
  // It was not harmed.
  uint64_t before = *written_;
  EXPECT_TRUE(wait_for([&] { return *written_ > before + 10; }));
  holder_->kill_and_wait();
  expect_sound(path_);
}

TEST_F(BusyTest, WithoutTimeAWriteTriesOnce) {
  EXPECT_EQ(in_child([&] {
              std::unique_ptr<Cache> cache;
              // Opening is a write too.
              REQUIRE(wait_for([&] {
                try {
                  cache = std::make_unique<Cache>(path_, with_timeout(0));
                  return true;
                } catch (const Failure &) {
                  return false;
                }
              }));
              REQUIRE(stop_holding([&] { return is_busy(cache->try_put("mine", 1), "0.0"); }));
              holder_->signal(SIGCONT);
              REQUIRE(wait_for([&] { return cache->try_put("mine", 2) == DBC_OK; }));
              return 0;
            }),
            0);
}

// Who waits gets the lock from a holder that dies, at once, and not only from one that lets go.
TEST_F(BusyTest, AKilledHolderBlocksNobody) {
  EXPECT_EQ(in_child([&] {
              Cache probe(path_, with_timeout(0.1)), patient(path_, with_timeout(300));
              REQUIRE(stop_holding([&] { return is_busy(probe.try_put("mine", 1), "0.1"); }));
              std::atomic<bool> done{false};
              std::thread waiter([&] {
                if (patient.try_put("mine", 2) == DBC_OK) done = true;
              });
              usleep(50'000);
              bool early = done;
              holder_->signal(SIGKILL);
              waiter.join();
              REQUIRE(!early && done);
              REQUIRE(probe.get("mine") == 2);
              return 0;
            }),
            0);
  holder_->wait();
  expect_sound(path_);
}

}  // namespace
}  // namespace dbc::testing
