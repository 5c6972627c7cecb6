// Processes are killed at random moments, writers and readers, with kill -9, while others go on. Whoever was killed,
// the file opens at once, is sound, holds every put that was acknowledged, and its counts are true.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../model/random_run.h"
#include "support.h"

namespace dbc::faults {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kProcesses = 4;
constexpr size_t kHandles = 2;  // each used by one thread
constexpr size_t kWriters = kProcesses * kHandles;
constexpr uint64_t kKeys = 25;  // of each writer, who alone puts them

// Shared by all processes. A cell is written before the put it announces, and after its return.
struct Board {
  std::atomic<uint64_t> begun[kWriters][kKeys];
  std::atomic<uint64_t> acknowledged[kWriters][kKeys];
  std::atomic<uint64_t> calls;
  std::atomic<uint64_t> wrong;  // answers that no writer can have given
};

std::string key_of(size_t writer, uint64_t number) {
  return "key " + std::to_string(writer) + "." + std::to_string(number);
}

// Tells its number, and fails where it is torn.
std::string value_of(uint64_t number) {
  std::string text = std::to_string(number) + " ";
  return text + std::string(number % 17 == 0 ? 9000 : number % 300, static_cast<char>('a' + number % 26));
}

dbc_cache *open_cache(const std::string &path) {
  dbc_options *options = dbc_options_new();
  dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, 0.002);
  dbc_options_set_double(options, DBC_BUSY_TIMEOUT_SECONDS, 60);
  dbc_cache *cache = nullptr;
  dbc_status status = dbc_open(path.c_str(), "1", options, &cache);
  dbc_options_free(options);
  if (status != DBC_OK) throw model::Mismatch(std::string("open: ") + dbc_last_error());
  return cache;
}

// The number in the value of a key; 0: a miss.
uint64_t read_number(dbc_cache *cache, const std::string &key) {
  dbc_value *value = nullptr;
  dbc_status status = dbc_get(cache, key.data(), key.size(), nullptr, &value);
  if (status == DBC_NOT_FOUND) return 0;
  if (status != DBC_OK) throw model::Mismatch(std::string("get: ") + dbc_last_error());
  std::string text(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
  dbc_value_release(value);
  uint64_t number = std::strtoull(text.c_str(), nullptr, 10);
  if (text != value_of(number)) throw model::Mismatch("a value that nobody put under " + key);
  return number;
}

// Puts its own keys, reads everybody's, for ever.
void work(const std::string &path, Board *board, size_t writer, uint64_t seed) {
  std::mt19937_64 random(seed);
  dbc_cache *cache = open_cache(path);
  while (true) {
    uint64_t number = random() % kKeys;
    if (random() % 2 == 0) {
      uint64_t next = board->begun[writer][number].load() + 1;
      board->begun[writer][number].store(next);
      std::string key = key_of(writer, number), value = value_of(next);
      dbc_status status = dbc_put(cache, key.data(), key.size(), value.data(), value.size(), 0, nullptr, nullptr);
      if (status != DBC_OK) throw model::Mismatch(std::string("put: ") + dbc_last_error());
      board->acknowledged[writer][number].store(next);
    } else {
      size_t other = random() % kWriters;
      uint64_t least = board->acknowledged[other][number].load();
      uint64_t found = read_number(cache, key_of(other, number));
      if (found < least || found > board->begun[other][number].load()) board->wrong.fetch_add(1);
    }
    board->calls.fetch_add(1);
  }
}

[[noreturn]] void run_process(const std::string &path, Board *board, size_t process, uint64_t seed) {
  std::array<std::thread, kHandles> threads;
  for (size_t i = 0; i < kHandles; ++i) {
    threads[i] = std::thread([=] {
      try {
        work(path, board, process * kHandles + i, seed + i);
      } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        _exit(3);
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  _exit(4);
}

class KillTest : public ::testing::Test {
 protected:
  KillTest() {
    void *map = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) std::abort();
    board_ = static_cast<Board *>(map);
  }
  ~KillTest() override {
    for (pid_t pid : pids_) {
      if (pid > 0) kill_process(pid);
    }
    munmap(board_, sizeof(Board));
  }

  void start(size_t process) {
    uint64_t seed = ++seed_ * 100;
    pid_t pid = fork();
    if (pid == 0) run_process(path_, board_, process, seed);
    ASSERT_GT(pid, 0);
    pids_[process] = pid;
  }

  void kill_process(pid_t pid) {
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it had ended by itself, status " << status;
  }

  // With nothing of the library in this process between forks: as a program that has just started. The others go on.
  void check(bool alone) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
      try {
        check_here(alone);
        _exit(0);
      } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        _exit(1);
      }
    }
    waitpid(pid, &status, 0);
    ASSERT_EQ(status, 0);
  }

  void check_here(bool alone) {
    auto acknowledged = std::make_unique<std::array<std::array<uint64_t, kKeys>, kWriters>>();
    for (size_t w = 0; w < kWriters; ++w) {
      for (uint64_t k = 0; k < kKeys; ++k) (*acknowledged)[w][k] = board_->acknowledged[w][k].load();
    }
    auto began = Clock::now();
    dbc_cache *cache = open_cache(path_);
    double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    slowest_->store(std::max(slowest_->load(), seconds));
    total_->store(total_->load() + seconds);
    uint64_t present = 0, bytes = 0;
    for (size_t w = 0; w < kWriters; ++w) {
      for (uint64_t k = 0; k < kKeys; ++k) {
        uint64_t found = read_number(cache, key_of(w, k));
        if (found < (*acknowledged)[w][k]) throw model::Mismatch("an acknowledged put is lost: " + key_of(w, k));
        if (found > board_->begun[w][k].load()) throw model::Mismatch("a put from nowhere: " + key_of(w, k));
        present += found != 0;
        if (found != 0) bytes += value_of(found).size();
      }
    }
    if (alone) {
      uint64_t items = 0, size = 0;
      model::expect_status(DBC_OK, dbc_count(cache, &items), "count");
      model::expect_status(DBC_OK, dbc_total_size(cache, &size), "total_size");
      model::expect_equal(present, items, "count");
      model::expect_equal(bytes, size, "total size");
      model::expect_sound(cache);
    }
    dbc_free(cache);
    sqlite3 *database = nullptr;
    std::string integrity;
    sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READONLY, nullptr);
    auto add = [](void *out, int, char **values, char **) {
      *static_cast<std::string *>(out) += values[0] ? values[0] : "";
      return 0;
    };
    sqlite3_busy_timeout(database, 60'000);
    sqlite3_exec(database, "PRAGMA integrity_check", add, &integrity, nullptr);
    sqlite3_close(database);
    model::expect_equal(std::string("ok"), integrity, "integrity");
  }

  static std::atomic<double> *shared_number() {
    void *map = mmap(nullptr, sizeof(std::atomic<double>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) std::abort();
    return static_cast<std::atomic<double> *>(map);
  }

  Folder folder_;
  const std::string path_ = folder_.path() + "/cache.db";
  Board *board_;
  std::atomic<double> *const slowest_ = shared_number(), *const total_ = shared_number();
  std::array<pid_t, kProcesses> pids_{};
  uint64_t seed_ = 0;
};

TEST_F(KillTest, TheRestGoesOn) {
  const int kills = run_is_long() ? 500 : 24;
  std::mt19937_64 random(1);
  for (size_t i = 0; i < kProcesses; ++i) start(i);
  int checks = 0;
  for (int done = 0; done < kills && !HasFailure();) {
    // At a random moment of a random call, some time after all have made some.
    uint64_t until = board_->calls.load() + 20 + random() % 200;
    auto deadline = Clock::now() + std::chrono::seconds(120);
    while (board_->calls.load() < until) {
      ASSERT_LT(Clock::now(), deadline) << "nobody makes progress after a kill";
      usleep(200);
    }
    usleep(static_cast<useconds_t>(random() % 2000));
    // Now and then all at once, so that nobody is left to remember.
    bool all = random() % 4 == 0;
    size_t first = random() % kProcesses;
    size_t count = all ? kProcesses : 1;
    for (size_t i = 0; i < count; ++i) kill(pids_[(first + i) % kProcesses], SIGKILL);
    for (size_t i = 0; i < count; ++i) {
      kill_process(pids_[(first + i) % kProcesses]);
      pids_[(first + i) % kProcesses] = 0;
    }
    done += static_cast<int>(count);
    check(all);
    ++checks;
    for (size_t i = 0; i < count; ++i) start((first + i) % kProcesses);
  }
  for (pid_t &pid : pids_) kill_process(std::exchange(pid, 0));
  check(true);
  EXPECT_EQ(board_->wrong.load(), 0u);
  std::printf("   %d kills, %llu calls; the file opened in %.1f ms on average, %.1f ms at worst\n", kills,
              static_cast<unsigned long long>(board_->calls.load()), 1e3 * total_->load() / (checks + 1),
              1e3 * slowest_->load());
}

}  // namespace
}  // namespace dbc::faults
