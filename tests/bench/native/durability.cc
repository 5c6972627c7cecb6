// What each durability costs a put.
#include <memory>

#include "cases.h"
#include "library.h"
#include "results.h"
#include "workload.h"

namespace bench {

void durability() {
  const std::vector<std::string> keys = keys_of(0, 20'000);
  const std::string value = letters(kValueSize);
  struct Mode {
    const char *name;
    uint64_t durability;
    uint64_t calls;
    std::unique_ptr<Library> cache;
  };
  Mode modes[] = {{"normal", DBC_DURABILITY_NORMAL, 5000, {}},
                  {"full", DBC_DURABILITY_FULL, 500, {}},
                  {"off", DBC_DURABILITY_OFF, 5000, {}}};
  for (Mode &mode : modes) {
    mode.cache = std::make_unique<Library>(path(std::string("durability-") + mode.name + ".db"),
                                           Options{.durability = mode.durability});
    mode.cache->fill(keys, value);
    mode.cache->flush();
  }
  const Sequence skewed = zipf(keys.size(), kSkew, 1 << 16, 14);
  repeat([&](int) {
    for (Mode &mode : modes) {
      measure(std::string("durability put, ") + mode.name, mode.calls,
              [&](uint64_t i) { mode.cache->put(keys[skewed[i & 0xffff]], value); });
      const uint64_t batches = 5;
      measure(
          std::string("durability put_many, ") + mode.name, batches,
          [&](uint64_t i) {
            auto from = keys.begin() + static_cast<ptrdiff_t>(i * kBatch);
            mode.cache->put_many({from, from + kBatch}, value);
          },
          kBatch);
      mode.cache->flush();
    }
  });
}

}  // namespace bench
