// How large the WAL gets while everything goes on at once: puts, batches, gets from disk, scans, and another program
// that reads the file.
#include <atomic>
#include <filesystem>
#include <thread>

#include "cases.h"
#include "library.h"
#include "plain_table.h"
#include "threads.h"
#include "workload.h"

namespace bench {
namespace {

// A person with the sqlite3 shell: opens, reads for a while, goes.
void read_with_sqlite(const std::string &file) {
  sqlite3 *database = nullptr;
  int result = sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READONLY, nullptr);
  if (result == SQLITE_OK) {
    sqlite3_busy_timeout(database, 5000);
    result = sqlite3_exec(database, "SELECT count(*), sum(length(value)) FROM cache", nullptr, nullptr, nullptr);
  }
  std::string why = sqlite3_errmsg(database);
  sqlite3_close(database);
  require(result == SQLITE_OK, "reading the file with sqlite", why);
}

}  // namespace

void write_ahead_log() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const std::string value = letters(kValueSize), file = path("wal.db");
  Library writer(file, {}), batches(file, {}), reader(file, {});
  writer.fill(keys, value);
  constexpr uint64_t kMask = (1 << 18) - 1;
  const Sequence any = uniform(kItems, 1 << 18, 17);
  auto batch = [&](uint64_t i) {
    std::vector<std::string> chosen;
    for (uint64_t k = 0; k < kBatch; ++k) chosen.push_back(keys[any[(i * kBatch + k) & kMask]]);
    return chosen;
  };
  std::atomic<bool> stop{false};
  uintmax_t largest = 0;
  std::thread watcher([&] {
    while (!stop) {
      std::error_code gone;
      uintmax_t size = std::filesystem::file_size(file + "-wal", gone);
      if (!gone) largest = std::max(largest, size);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  const double duration = 30 * settings.scale;
  std::vector<double> rates = side_by_side({
                                               [&](uint64_t i) { writer.put(keys[any[i & kMask]], value); },
                                               [&](uint64_t i) {
                                                 batches.put_many(batch(i), value);
                                                 std::this_thread::sleep_for(std::chrono::milliseconds(50));
                                               },
                                               [&](uint64_t i) { reader.get(keys[any[(i + 77) & kMask]]); },
                                               [&](uint64_t i) { reader.get_many(batch(i + 5)); },
                                               [&](uint64_t) { read_with_sqlite(file); },
                                           },
                                           duration, 1);
  stop = true;
  watcher.join();
  fact("wal largest, MB", static_cast<double>(largest) / 1e6);
  fact("wal seconds", duration);
  fact("wal puts a second", rates[0] + rates[1] * kBatch);
  fact("wal gets a second", rates[2] + rates[3] * kBatch);
  fact("wal scans by another program", rates[4] * duration);
}

}  // namespace bench
