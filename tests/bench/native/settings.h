// What every benchmark agrees on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

constexpr size_t kValueSize = 512;
constexpr uint64_t kItems = 100'000;
constexpr uint64_t kHotItems = 1000;
constexpr uint64_t kBatch = 1000;
constexpr double kSkew = 0.99;

struct Settings {
  std::string directory;
  int repetitions = 7;
  double scale = 1;  // of the numbers of calls and, for what is measured among many items, of those
};
inline Settings settings;

inline uint64_t scaled(uint64_t number) {
  return std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(number) * settings.scale));
}
// Among how many items "many" are measured.
inline uint64_t many_items() { return settings.scale >= 1 ? 1'000'000 : 100'000; }

inline std::string path(const std::string &name) { return settings.directory + "/" + name; }

inline void require(bool good, const std::string &what, const std::string &why) {
  if (!good) throw std::runtime_error(what + ": " + why);
}

// Numbers that follow each other give keys far apart, as the callers' keys are: no structure gains from their order.
inline std::string key_of(uint64_t number) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ull, kMask = (uint64_t{1} << 44) - 1;
  char text[32];
  std::snprintf(text, sizeof text, "key:%014llu", static_cast<unsigned long long>(number * kOdd & kMask));
  return text;
}
inline std::vector<std::string> keys_of(uint64_t first, uint64_t count) {
  std::vector<std::string> keys;
  keys.reserve(count);
  for (uint64_t i = first; i < first + count; ++i) keys.push_back(key_of(i));
  return keys;
}

}  // namespace bench
