// P11: several threads that put at once, each put acknowledged when it is in the file.
#include "cases.h"
#include "library.h"
#include "threads.h"
#include "workload.h"

namespace bench {

void group_commit() {
  const std::vector<std::string> keys = keys_of(0, kItems);
  const std::string value = letters(kValueSize);
  Library cache(path("group.db"), {});
  cache.fill(keys, value);
  cache.flush();
  constexpr uint64_t kMask = (1 << 18) - 1;
  const Sequence skewed = zipf(kItems, kSkew, 1 << 18, 13);
  auto putter = [&](uint64_t from) -> Worker {
    return [&, from](uint64_t i) { cache.put(keys[skewed[(from + i) & kMask]], value); };
  };
  repeat([&](int) {
    for (int threads : {1, 2, 4, 8}) {
      std::vector<Worker> workers;
      for (int i = 0; i < threads; ++i) workers.push_back(putter(static_cast<uint64_t>(i) << 15));
      double total = 0;
      for (double rate : side_by_side(workers, 0.5 * settings.scale, 1)) total += rate;
      record("P11 puts, threads: " + std::to_string(threads), "1/s", total);
      cache.flush();
    }
  });
}

}  // namespace bench
