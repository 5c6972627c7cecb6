// A worker of the soak run (soak.py), in C's terms: soak_worker FILE BOARD NUMBER. Threads that write, read and flush,
// and forks in the middle of it.
#include "board.h"

#include <fcntl.h>

#include "support.h"

namespace dbc::testing {
namespace {

using Number = std::atomic<uint64_t>;

class Board {
 public:
  explicit Board(const char *path) {
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    void *map = mmap(nullptr, kBoardNumbers * sizeof(Number), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (map == MAP_FAILED) throw Failure(std::string("no board ") + path);
    numbers_ = static_cast<Number *>(map);
  }
  bool stopped() const { return numbers_[0] != 0; }
  void count(size_t worker, SoakCount what) { ++numbers_[kCountsAt + 8 * worker + what]; }
  Number &begun(uint64_t key) { return numbers_[kKeysAt + 2 * key]; }
  Number &done(uint64_t key) { return numbers_[kKeysAt + 2 * key + 1]; }

 private:
  Number *numbers_;
};

std::string name_of(uint64_t key) { return std::string("soak:").append(std::to_string(key)); }

void read_one(Cache &cache, Board &board, size_t worker, Random &random) {
  uint64_t key = random.below(kSoakKeys);
  uint64_t done = board.done(key);
  dbc_value *value = nullptr;
  std::string name = name_of(key);
  dbc_status status = dbc_get(cache.handle(), name.data(), name.size(), nullptr, &value);
  board.count(worker, kGets);
  if (status == DBC_NOT_FOUND) return board.count(worker, kMisses);
  Cache::check(status);
  // As JSON, which the others write too: {"number": 12 ...
  std::string text(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
  dbc_value_release(value);
  size_t colon = text.find("\"number\":");
  REQUIRE(colon != std::string::npos, text);
  uint64_t number = std::stoull(text.substr(colon + 9));
  REQUIRE(number >= done && number <= board.begun(key) && number % 8 != 0, key, done, number);
}

void put_number(Cache &cache, const std::string &name, uint64_t number, size_t padding) {
  std::string text = "{\"number\":" + std::to_string(number) + ",\"padding\":\"" + std::string(padding, 'x') + "\"}";
  Cache::check(dbc_put(cache.handle(), name.data(), name.size(), text.data(), text.size(), DBC_TEXT, nullptr, nullptr));
}

void write_one(Cache &cache, Board &board, size_t worker, Random &random) {
  uint64_t key = random.below(kSoakKeys / kSoakWorkers) * kSoakWorkers + worker;
  uint64_t number = board.begun(key) + 1;
  board.begun(key) = number;
  if (number % 8 == 0) {
    cache.remove(name_of(key));
  } else {
    put_number(cache, name_of(key), number, random.below(20) == 0 ? 20'000 : random.below(300));
  }
  board.done(key) = number;
  board.count(worker, kPuts);
}

void clear(Cache &cache, Board &board, size_t worker) {
  for (uint64_t key = worker; key < kSoakKeys; key += kSoakWorkers) board.begun(key) = board.begun(key) / 8 * 8 + 8;
  cache.clear();
  for (uint64_t key = worker; key < kSoakKeys; key += kSoakWorkers) board.done(key) = board.begun(key).load();
  board.count(worker, kClears);
}

// A forked child goes on with the handle, and ends in one of the ways there are.
[[noreturn]] void live_as_child(Cache &cache, Board &board, size_t worker, Random &random) {
  int result = 1;
  try {
    alarm(120);
    for (int i = 0; i < 50; ++i) read_one(cache, board, worker, random);
    for (uint64_t i = 1; i < 8; ++i) put_number(cache, "child:" + std::to_string(getpid()), i, 10);
    uint64_t way = random.below(4);
    if (way == 0) kill(getpid(), SIGKILL);
    if (way == 1) cache.close();
    result = 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "soak: a child of worker %zu: %s\n", worker, error.what());
  }
  _exit(result);
}

int work(const char *path, Board &board, size_t worker) {
  Options options;
  options.set(DBC_MAX_DISK_ITEMS, 1200).set(DBC_MAX_MEMORY_ITEMS, 600).set(DBC_MAX_DISK_SIZE_BYTES, 4 << 20);
  options.set_seconds(DBC_DISK_TTL_SECONDS, 5).set_seconds(DBC_MEMORY_TTL_SECONDS, 2);
  options.set_seconds(DBC_TOUCH_DELAY_SECONDS, 0.1).set_seconds(DBC_BUSY_TIMEOUT_SECONDS, 60);
  Cache cache(path, options);
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  auto start = [&](auto work) {
    threads.emplace_back([&, work, seed = threads.size() + static_cast<size_t>(getpid()) * 8] {
      Random random(seed);
      try {
        for (uint64_t i = 1; !board.stopped() && !failed; ++i) work(random, i);
      } catch (const std::exception &error) {
        std::fprintf(stderr, "soak: worker %zu: %s\n", worker, error.what());
        failed = true;
      }
    });
  };
  start([&](Random &random, uint64_t i) {
    if (random.below(2000) == 0) {
      clear(cache, board, worker);
    } else {
      write_one(cache, board, worker, random);
    }
    if (i % 8 == 0) usleep(1000);
  });
  for (int i = 0; i < 2; ++i) {
    start([&](Random &random, uint64_t i) {
      read_one(cache, board, worker, random);
      if (i % 1000 == 0) usleep(1000);
    });
  }
  start([&](Random &random, uint64_t) {
    usleep(static_cast<useconds_t>(random.below(200'000)));
    random.below(2) ? cache.flush() : cache.purge_expired();
  });
  Random random(static_cast<uint64_t>(getpid()));
  while (!board.stopped() && !failed) {
    usleep(static_cast<useconds_t>(random.below(500'000)));
    pid_t child = fork();
    if (child == 0) live_as_child(cache, board, worker, random);
    int status = 0;
    if (waitpid(child, &status, 0) != child || (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))) {
      std::fprintf(stderr, "soak: a child of worker %zu ended with %d\n", worker, status);
      failed = true;
    }
    board.count(worker, kForks);
  }
  for (std::thread &thread : threads) thread.join();
  if (!failed) cache.close();
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace dbc::testing

int main(int count, char **arguments) {
  if (count != 4) return 2;
  try {
    dbc::testing::Board board(arguments[2]);
    return dbc::testing::work(arguments[1], board, std::stoul(arguments[3]));
  } catch (const std::exception &error) {
    std::fprintf(stderr, "soak: worker %s: %s\n", arguments[3], error.what());
    return 1;
  }
}
