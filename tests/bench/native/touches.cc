// P6: what it costs that a get moves the item in the order on disk, until the new order is in the file; and that no
// get waits for it to get there.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <unordered_map>

#include "cases.h"
#include "library.h"
#include "plain_table.h"
#include "results.h"
#include "workload.h"

namespace bench {
namespace {

void amortised_cost(const std::vector<std::string> &keys, const std::string &value) {
  // Nothing is written but by flush(): the whole cost falls into what is timed. All is in memory: a get costs little
  // else.
  Library cache(path("touches.db"), {.memory_items = kItems, .touch_delay_seconds = 3600});
  cache.fill(keys, value);
  cache.flush();
  PlainTable table(path("touches-plain.db"));
  table.fill(keys, value);
  constexpr uint64_t kCalls = kItems, kMask = (1 << 20) - 1;
  const Sequence any = uniform(kItems, 1 << 20, 8);
  const uint64_t calls = scaled(kCalls);
  repeat([&](int repetition) {
    uint64_t at = static_cast<uint64_t>(repetition) * kCalls;
    auto key = [&](uint64_t i) -> const std::string & { return keys[any[(at + i) & kMask]]; };
    double start = seconds();
    for (uint64_t i = 0; i < calls; ++i) cache.get(key(i));
    cache.flush();
    double whole = (seconds() - start) * 1e6 / static_cast<double>(calls);
    // The same gets when all of them are noted already: there is nothing to write for a second one.
    for (uint64_t i = 0; i < calls; ++i) cache.get(key(i));
    start = seconds();
    for (uint64_t i = 0; i < calls; ++i) cache.get(key(i));
    double bare = (seconds() - start) * 1e6 / static_cast<double>(calls);
    cache.flush();
    record("P6 get and flush", whole);
    record("P6 get that moves nothing", bare);
    record("P6 extra cost of a move", whole - bare);
    measure("P6 update of the time", 5000, [&](uint64_t i) { table.touch(key(i)); });
  });
}

void latency_beside_flushes(const std::vector<std::string> &keys, const std::string &value) {
  Library cache(path("latency.db"), {.memory_items = kItems});
  cache.fill(keys, value);
  const Sequence any = uniform(kItems, 1 << 20, 9);
  // The floor: what the machine itself does to calls that wait for nobody.
  std::unordered_map<std::string, std::string> map;
  for (const std::string &key : keys) map[key] = value;
  const uint64_t calls = scaled(1'000'000);
  std::vector<float> times(calls);
  char buffer[kValueSize];
  auto get = [&](const std::string &key) { cache.get(key); };
  auto find = [&](const std::string &key) {
    std::memcpy(buffer, map.find(key)->second.data(), kValueSize);
    asm volatile("" : : "r"(buffer) : "memory");
  };
  auto sample = [&](auto &&call) {
    for (uint64_t i = 0; i < calls; ++i) {
      auto before = std::chrono::steady_clock::now();
      call(keys[any[i & ((1 << 20) - 1)]]);
      times[i] = std::chrono::duration<float, std::micro>(std::chrono::steady_clock::now() - before).count();
    }
    std::sort(times.begin(), times.end());
    return std::pair<double, double>(times[calls / 2], times[calls - 1 - calls / 1000]);
  };
  repeat([&](int) {
    auto [floor_median, floor_tail] = sample(find);
    auto [quiet_median, quiet_tail] = sample(get);
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> flushes{0};
    std::thread flusher([&] {
      for (; !stop; ++flushes) cache.flush();
    });
    auto [median, tail] = sample(get);
    auto [busy_floor_median, busy_floor_tail] = sample(find);
    stop = true;
    flusher.join();
    record("P6 map, median", floor_median);
    record("P6 map, p99.9", floor_tail);
    record("P6 map beside flushes, median", busy_floor_median);
    record("P6 map beside flushes, p99.9", busy_floor_tail);
    record("P6 memory hit, median", quiet_median);
    record("P6 memory hit, p99.9", quiet_tail);
    record("P6 memory hit beside flushes, median", median);
    record("P6 memory hit beside flushes, p99.9", tail);
    record("P6 flushes meanwhile", "1", static_cast<double>(flushes));
    require(flushes > 0, "P6", "no flush ran");
  });
}

}  // namespace

void touches() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const std::string value = letters(kValueSize);
  amortised_cost(keys, value);
  latency_beside_flushes(keys, value);
}

}  // namespace bench
