// Forks while other threads are in the middle of puts, gets and flushes: parent, children and grandchildren go on with
// the handle.
#include "support.h"

namespace dbc::testing {
namespace {

// ThreadSanitizer does not support threads that are started in the child of a process with threads, as the library's
// are; and a lock of AddressSanitizer's allocator that another thread held at the fork stays locked in the child.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)

constexpr int kMostChildren = 1000, kParentKeys = 60, kPutters = 2;

struct Board {
  // Of the parent's keys: which number was put last, told once the put had returned.
  std::atomic<uint64_t> done[kParentKeys];
  // Of each child and each grandchild: how many puts had returned.
  std::atomic<uint64_t> puts[2 * kMostChildren];
  std::atomic<uint64_t> gets;
};

std::string descendant_key(int descendant, uint64_t number) {
  return "d" + std::to_string(descendant) + ":" + std::to_string(number);
}

void expect_current(Cache &cache, Board &board, Random &random, int gets) {
  for (int i = 0; i < gets; ++i) {
    uint64_t key = random.below(kParentKeys);
    uint64_t done = board.done[key];
    uint64_t value = cache.get(key_of(key));
    REQUIRE(done == 0 || (value != Cache::kAbsent && value >= done), key, done, value);
  }
  board.gets += static_cast<uint64_t>(gets);
}

void put_own(Cache &cache, Board &board, int descendant, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t number = board.puts[descendant];
    cache.put(descendant_key(descendant, number), number);
    board.puts[descendant] = number + 1;
  }
}

// What a descendant does with the handle it has inherited, and how it ends: in turn by exit(), by _exit(), killed.
[[noreturn]] void live(Cache &cache, Board &board, int descendant) {
  int result = 1;
  try {
    alarm(120);  // a lock that nobody will release shows as a failure
    Random random(static_cast<uint64_t>(descendant) + 7);
    expect_current(cache, board, random, 5);
    put_own(cache, board, descendant, 3);
    bool is_child = descendant < kMostChildren;
    if (is_child) {
      std::fflush(nullptr);
      pid_t grandchild = fork();
      REQUIRE(grandchild >= 0);
      if (grandchild == 0) live(cache, board, descendant + kMostChildren);
      expect_current(cache, board, random, 20);
      put_own(cache, board, descendant, 3);
      int status = 0;
      REQUIRE(waitpid(grandchild, &status, 0) == grandchild);
      REQUIRE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), status);
      REQUIRE(cache.get(descendant_key(descendant + kMostChildren, 0)) == 0);
    }
    cache.flush();
    if (descendant % 3 == 2) {
      // In the middle of what two threads do.
      for (int i = 0; i < 2; ++i) {
        std::thread([&, i] {
          Random own(static_cast<uint64_t>(i));
          for (;;) i == 0 ? put_own(cache, board, descendant, 1) : expect_current(cache, board, own, 1);
        }).detach();
      }
      usleep(static_cast<useconds_t>(random.below(20'000)));
      kill(getpid(), SIGKILL);
    }
    if (descendant % 6 == 0) cache.close();
    result = 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "in descendant %d: %s\n", descendant, error.what());
  }
  std::fflush(nullptr);
  if (descendant % 3 == 0) exit(result);
  _exit(result);
}

int fork_under_load(const std::string &path, Board &board, int forks) {
  constexpr int kAtOnce = 3;
  Options options;
  options.set(DBC_MAX_MEMORY_ITEMS, 40).set(DBC_DURABILITY, DBC_DURABILITY_OFF);
  options.set_seconds(DBC_BUSY_TIMEOUT_SECONDS, 60).set_seconds(DBC_TOUCH_DELAY_SECONDS, 0.01);
  Cache cache(path, options);
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::set<pid_t> children;
  // Also when something fails: nobody goes on.
  struct Ending {
    Ending(std::atomic<bool> &stop_, std::set<pid_t> &children_) : stop(stop_), children(children_) {}
    ~Ending() {
      stop = true;
      for (std::thread &thread : threads) thread.join();
      for (pid_t child : children) {
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
      }
    }
    std::atomic<bool> &stop;
    std::set<pid_t> &children;
    std::vector<std::thread> threads;
  };
  std::optional<Ending> ending(std::in_place, stop, children);
  auto start = [&](auto work) {
    ending->threads.emplace_back([&, work] {
      try {
        while (!stop) work();
      } catch (const std::exception &error) {
        std::fprintf(stderr, "in the parent: %s\n", error.what());
        ++failures;
      }
    });
  };
  for (int putter = 0; putter < kPutters; ++putter) {
    start([&, putter] {
      for (uint64_t key = static_cast<uint64_t>(putter); key < kParentKeys; key += kPutters) {
        cache.put(key_of(key), board.done[key] + 1);
        ++board.done[key];
      }
    });
  }
  start([&] {
    static thread_local Random random(3);
    expect_current(cache, board, random, 10);
  });
  start([&] {
    cache.flush();
    usleep(500);
  });
  auto wait_for_one = [&] {
    int status = 0;
    pid_t child = waitpid(-1, &status, 0);
    REQUIRE(children.erase(child) == 1);
    REQUIRE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), status);
  };
  for (int i = 0; i < forks; ++i) {
    if (children.size() == kAtOnce) wait_for_one();
    std::fflush(nullptr);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) live(cache, board, i);
    children.insert(child);
    uint64_t before = board.done[0];
    REQUIRE(wait_for([&] { return failures > 0 || board.done[0] > before; }));  // the parent goes on
  }
  while (!children.empty()) wait_for_one();
  ending.reset();
  REQUIRE(failures == 0);
  // Nothing is lost of what was acknowledged, whoever wrote it.
  uint64_t lost = 0, puts = 0;
  for (int descendant = 0; descendant < 2 * kMostChildren; ++descendant) {
    for (uint64_t number = 0; number < board.puts[descendant]; ++number, ++puts) {
      if (cache.get(descendant_key(descendant, number)) != number) ++lost;
    }
  }
  for (int key = 0; key < kParentKeys; ++key) {
    REQUIRE(cache.get(key_of(static_cast<uint64_t>(key))) == board.done[key]);
    puts += board.done[key];
  }
  REQUIRE(lost == 0, lost);
  std::printf("   %d forks, and one in each child; %llu puts, %llu gets\n", forks,
              static_cast<unsigned long long>(puts), static_cast<unsigned long long>(board.gets.load()));
  std::fflush(nullptr);
  cache.close();
  return 0;
}

TEST(Fork, UnderLoadNothingIsLostOrStale) {
  TemporaryDirectory directory;
  std::string path = directory / "cache.db";
  SharedObject<Board> board;
  int forks = std::min(static_cast<int>(20 * duration_of(1).count()), kMostChildren);
  Child parent([&] { return fork_under_load(path, *board, forks); });
  EXPECT_EQ(parent.wait(), 0);
  expect_sound(path);
}

#endif

// A child that never uses the handle: its end takes nothing from the parent.
TEST(Fork, AChildThatOnlyEndsChangesNothing) {
  TemporaryDirectory directory;
  std::string path = directory / "cache.db";
  Child parent([&] {
    Cache cache(path);
    for (uint64_t i = 0; i < 20; ++i) {
      cache.put(key_of(i), i);
      Child child([] { return 0; });
      REQUIRE(child.wait() == 0);
      REQUIRE(cache.get(key_of(i)) == i);
    }
    // Another process still finds the parent's locks: it must not take the WAL away under it.
    Child other([&] {
      Child([&] {
        execlp("sqlite3", "sqlite3", path.c_str(), "SELECT count(*) FROM cache", static_cast<char *>(nullptr));
        return 1;
      }).wait();
      return 0;
    });
    REQUIRE(other.wait() == 0);
    for (uint64_t i = 0; i < 20; ++i) cache.put(key_of(i), i + 100);
    cache.close();
    return 0;
  });
  EXPECT_EQ(parent.wait(), 0);
  expect_sound(path);
}

}  // namespace
}  // namespace dbc::testing
