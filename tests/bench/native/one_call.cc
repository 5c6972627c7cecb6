// One kind of call, again and again, for tools that count what a program does: under strace, under callgrind, or by
// itself, when it prints what SQLite was asked to do. What comes before and after the calls goes away by subtracting
// two runs.
//
//   one_call OPERATION CALLS FOLDER
#include <sqlite3.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "library.h"
#include "workload.h"

namespace bench {
namespace {

constexpr uint64_t kStored = 4000;

// What SQLite does on any connection that this program, the library included, opens.
class Counters {
 public:
  Counters() { sqlite3_auto_extension(reinterpret_cast<void (*)()>(&opened)); }
  struct Work {
    int64_t statements = 0, steps = 0, pages_read = 0, pages_written = 0;
  };
  // Since the last look. Only while nothing runs.
  static Work take() {
    std::lock_guard lock(mutex());
    Work work;
    work.statements = std::exchange(statements(), 0);
    for (sqlite3 *connection : connections()) {
      for (sqlite3_stmt *at = sqlite3_next_stmt(connection, nullptr); at; at = sqlite3_next_stmt(connection, at)) {
        work.steps += sqlite3_stmt_status(at, SQLITE_STMTSTATUS_VM_STEP, 1);
      }
      work.pages_read += status(connection, SQLITE_DBSTATUS_CACHE_HIT) + status(connection, SQLITE_DBSTATUS_CACHE_MISS);
      work.pages_written += status(connection, SQLITE_DBSTATUS_CACHE_WRITE);
    }
    return work;
  }

 private:
  static int status(sqlite3 *connection, int counter) {
    int current = 0, highest = 0;
    sqlite3_db_status(connection, counter, &current, &highest, 1);
    return current;
  }
  static int opened(sqlite3 *connection, const char **, const sqlite3_api_routines *) {
    std::lock_guard lock(mutex());
    connections().push_back(connection);
    sqlite3_trace_v2(
        connection, SQLITE_TRACE_STMT | SQLITE_TRACE_CLOSE,
        [](unsigned event, void *, void *closed, void *) {
          std::lock_guard inner(mutex());
          if (event == SQLITE_TRACE_STMT) ++statements();
          if (event == SQLITE_TRACE_CLOSE) std::erase(connections(), static_cast<sqlite3 *>(closed));
          return 0;
        },
        nullptr);
    return SQLITE_OK;
  }
  static std::vector<sqlite3 *> &connections() {
    static std::vector<sqlite3 *> all;
    return all;
  }
  static int64_t &statements() {
    static int64_t number = 0;
    return number;
  }
  static std::mutex &mutex() {
    static std::mutex one;
    return one;
  }
};

struct Operation {
  Options options;
  uint64_t items;  // that a call is about
  std::function<void(Library &, uint64_t)> call;
};

std::map<std::string, Operation> operations() {
  static const std::vector<std::string> keys = keys_of(0, kStored);
  static const std::string value = letters(kValueSize);
  static const Sequence any = uniform(kStored, 1 << 16, 1);
  auto key = [](uint64_t i) -> const std::string & { return keys[any[i & 0xffff]]; };
  auto batch = [](uint64_t i) {
    auto from = keys.begin() + static_cast<ptrdiff_t>(i % (kStored / kBatch) * kBatch);
    return std::vector<std::string>(from, from + kBatch);
  };
  // Access times are not written while it is counted: they would come at random moments.
  const Options usual{.memory_items = kStored, .touch_delay_seconds = 3600};
  const Options disk{.memory_items = 0, .touch_delay_seconds = 3600};
  const Options full{.memory_items = kStored, .disk_items = kStored, .touch_delay_seconds = 3600};
  return {
      {"get from memory", {usual, 1, [=](Library &cache, uint64_t i) { cache.get(key(i)); }}},
      {"get from disk", {disk, 1, [=](Library &cache, uint64_t i) { cache.get(key(i)); }}},
      {"get_many from disk, an item of 1000",
       {disk, kBatch, [=](Library &cache, uint64_t i) { cache.get_many(batch(i)); }}},
      {"put, overwriting", {usual, 1, [=](Library &cache, uint64_t i) { cache.put(key(i), value); }}},
      {"put, fresh", {usual, 1, [=](Library &cache, uint64_t i) { cache.put(key_of(kStored + i), value); }}},
      {"put, evicting", {full, 1, [=](Library &cache, uint64_t i) { cache.put(key_of(kStored + i), value); }}},
      {"put_many, overwriting, an item of 1000",
       {usual, kBatch, [=](Library &cache, uint64_t i) { cache.put_many(batch(i), value); }}},
      {"get from memory, and writing its access time",
       {usual, kStored,
        [=](Library &cache, uint64_t) {
          for (const std::string &one : keys) cache.get(one);
          cache.flush();
        }}},
  };
}

// By its name callgrind knows what to count.
extern "C" __attribute__((noinline)) void one_call_loop(const Operation &operation, Library &cache, uint64_t calls) {
  for (uint64_t i = 0; i < calls; ++i) operation.call(cache, i);
}

int run(const std::string &name, uint64_t calls, const std::string &folder) {
  std::map<std::string, Operation> all = operations();
  if (name == "list") {
    for (const auto &[known, operation] : all) {
      std::printf("%s\t%llu\n", known.c_str(), static_cast<unsigned long long>(operation.items));
    }
    return 0;
  }
  auto found = all.find(name);
  require(found != all.end(), name, "no such operation");
  const Operation &operation = found->second;
  Counters counters;
  Library cache(folder + "/cache.db", operation.options);
  cache.fill(keys_of(0, kStored), letters(kValueSize));
  cache.flush();
  // The first get of an item may ask the disk whether it is current, and the first of all opens what only reads need.
  for (uint64_t i = 0; i < kStored; ++i) cache.get(key_of(i));
  if (name.starts_with("put")) cache.flush();  // else the first eviction would pay for these
  Counters::take();
  one_call_loop(operation, cache, calls);
  Counters::Work work = Counters::take();
  const double items = static_cast<double>(calls * operation.items);
  auto each = [&](int64_t number) { return static_cast<double>(number) / items; };
  std::printf("{\"statements\": %.4f, \"steps\": %.2f, \"pages read\": %.4f, \"pages written\": %.4f}\n",
              each(work.statements), each(work.steps), each(work.pages_read), each(work.pages_written));
  return 0;
}

}  // namespace
}  // namespace bench

int main(int count, char **values) try {
  if (count != 4) {
    std::fprintf(stderr, "one_call OPERATION|list CALLS FOLDER\n");
    return 2;
  }
  return bench::run(values[1], std::strtoull(values[2], nullptr, 10), values[3]);
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
