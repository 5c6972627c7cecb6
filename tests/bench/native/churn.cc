// How large the file gets when everything in it is replaced again and again, by items of all sizes.
#include <filesystem>

#include "cases.h"
#include "library.h"
#include "results.h"
#include "workload.h"

namespace bench {

void churn() {
  const uint64_t limit = scaled(32 << 20);
  constexpr int kTurnovers = 10;
  const std::string file = path("churn.db"), bytes = letters(100'000);
  Library cache(file, {.memory_items = 100, .disk_bytes = limit});
  std::mt19937_64 random(16);
  uint64_t put = 0, next = 0;
  double largest = 0, longest = 0;
  for (int turnover = 1; turnover <= kTurnovers; ++turnover) {
    for (; put < limit * static_cast<uint64_t>(turnover); ++next) {
      // From 100 bytes to 100 kB, every order of magnitude as often.
      size_t size = static_cast<size_t>(std::pow(10, 2 + 3 * std::uniform_real_distribution<double>()(random)));
      double start = seconds();
      cache.put(key_of(next), bytes.substr(0, size));
      longest = std::max(longest, seconds() - start);
      put += size;
    }
    cache.flush();
    double ratio = static_cast<double>(std::filesystem::file_size(file)) / static_cast<double>(limit);
    largest = std::max(largest, ratio);
    record("churn file size by turnover", "x limit", ratio);
  }
  fact("churn largest file, x max_disk_size_bytes", largest);
  fact("churn longest put, ms", longest * 1e3);
  fact("churn limit, bytes", static_cast<double>(limit));
}

}  // namespace bench
