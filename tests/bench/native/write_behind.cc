// P8: a put that is acknowledged once it is in the buffer.
#include "cases.h"
#include "library.h"
#include "results.h"
#include "workload.h"

namespace bench {

void write_behind() {
  if (std::string why = Library::refusal(Library::kWriteMode); !why.empty()) {
    unavailable("P8", "write-behind is not available: " + why);
    return;
  }
  const std::vector<std::string> keys = keys_of(0, kItems);
  const Sequence skewed = zipf(kItems, kSkew, 1 << 20, 11), any = uniform(kItems, 1 << 20, 12);
  const std::string value = letters(kValueSize);
  Library cache(path("behind.db"), {.write_behind = true});
  cache.fill(keys, value);
  cache.flush();

  constexpr uint64_t kMask = (1 << 20) - 1, kRoom = 500, kSustained = 100'000;
  repeat([&](int repetition) {
    uint64_t at = static_cast<uint64_t>(repetition) * kSustained;
    double spent = 0;
    const uint64_t rounds = scaled(100);
    for (uint64_t round = 0; round < rounds; ++round) {
      double start = seconds();
      for (uint64_t i = 0; i < kRoom; ++i) cache.put(keys[any[(at + round * kRoom + i) & kMask]], value);
      spent += seconds() - start;
      cache.flush();
    }
    record("P8 put, room in the buffer", spent * 1e6 / static_cast<double>(rounds * kRoom));
    auto sustained = [&](const char *name, const Sequence &sequence) {
      const uint64_t calls = scaled(kSustained);
      double start = seconds();
      for (uint64_t i = 0; i < calls; ++i) cache.put(keys[sequence[(at + i) & kMask]], value);
      cache.flush();
      record(name, "1/s", static_cast<double>(calls) / (seconds() - start));
    };
    sustained("P8 sustained puts, zipf", skewed);
    sustained("P8 sustained puts, uniform", any);
  });
}

}  // namespace bench
