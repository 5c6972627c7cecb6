// P2: memory hits on two threads, and beside a writer at full speed. What two processors that share caches and memory
// cost each other shows in the same runs with a map that nobody writes.
#include <atomic>
#include <cstring>
#include <thread>
#include <unordered_map>

#include "cases.h"
#include "library.h"
#include "plain_table.h"
#include "threads.h"
#include "workload.h"

namespace bench {

namespace {

// Two threads take turns in adding one to a number.
double way_of_a_line() {
  constexpr uint64_t kTurns = 200'000;
  alignas(64) std::atomic<uint64_t> number{0};
  auto take_turns = [&](uint64_t from) {
    for (uint64_t i = from; i < kTurns; i += 2) {
      while (number.load() != i) {
      }
      number.store(i + 1);
    }
  };
  double start = seconds();
  std::thread thread(take_turns, 1);
  take_turns(0);
  thread.join();
  return (seconds() - start) * 1e6 / kTurns;
}

}  // namespace

void threads_in_memory() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const Sequence hot = uniform(kHotItems, 1 << 16, 1), any = uniform(kItems, 1 << 16, 2);
  const std::string value = letters(kValueSize);
  std::unordered_map<std::string, std::string> map;
  for (const std::string &key : keys) map[key] = value;
  Library cache(path("threads.db"), {.memory_items = kItems});
  cache.fill(keys, value);
  cache.flush();
  PlainTable table(path("threads-plain.db"));
  table.fill(keys, value);

  constexpr uint64_t kMask = (1 << 16) - 1;
  Worker get = [&](uint64_t i) { cache.get(keys[hot[i & kMask]]); };
  // In an order of its own, so that no two threads ask for the same at the same time again and again.
  const Sequence other = uniform(kHotItems, 1 << 16, 3);
  Worker get_other = [&](uint64_t i) { cache.get(keys[other[i & kMask]]); };
  Worker get_apart = [&](uint64_t i) { cache.get(keys[kHotItems + other[i & kMask]]); };
  Worker put = [&](uint64_t i) { cache.put(keys[any[i & kMask]], value); };
  Worker put_plain = [&](uint64_t i) { table.put(keys[any[i & kMask]], value); };
  auto find = [&](uint64_t i) {
    static thread_local char buffer[kValueSize];
    std::memcpy(buffer, map.find(keys[hot[i & kMask]])->second.data(), kValueSize);
    asm volatile("" : : "r"(buffer) : "memory");
  };
  const double duration = 0.3 * settings.scale;
  auto rates = [&](std::vector<Worker> workers, uint64_t block) { return side_by_side(workers, duration, block); };
  repeat([&](int) {
    record("P2 gets, one thread", "1/s", rates({get}, 1000)[0]);
    std::vector<double> two = rates({get, get_other}, 1000);
    record("P2 gets, two threads", "1/s", two[0] + two[1]);
    two = rates({get, get_apart}, 1000);
    record("P2 gets, two threads apart", "1/s", two[0] + two[1]);
    record("P2 a cache line's way to another processor", "us", way_of_a_line());
    record("P2 map, one thread", "1/s", rates({find}, 1000)[0]);
    two = rates({find, find}, 1000);
    record("P2 map, two threads", "1/s", two[0] + two[1]);

    record("P2 gets alone", "1/s", rates({get}, 1)[0]);
    two = rates({get, put}, 1);
    record("P2 gets beside a writer", "1/s", two[0]);
    record("P2 puts beside a reader", "1/s", two[1]);
    record("P2 gets beside a writer of the plain table", "1/s", rates({get, put_plain}, 1)[0]);
    cache.flush();
  });
}

}  // namespace bench
