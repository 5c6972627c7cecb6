// Which items are asked for, and what they hold. Made before anything is measured.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "zipf.h"

namespace bench {

using Sequence = std::vector<uint32_t>;

inline Sequence uniform(uint64_t items, uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Sequence sequence(count);
  for (uint32_t &number : sequence) number = static_cast<uint32_t>(random() % items);
  return sequence;
}

inline Sequence zipf(uint64_t items, double skew, uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Zipf law(items, skew);
  Sequence sequence(count);
  for (uint32_t &number : sequence) number = static_cast<uint32_t>(law(random));
  return sequence;
}

// Letters at random: what is not to be compressed to nothing by peers that compress.
inline std::string letters(size_t size, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::string text(size, ' ');
  for (char &letter : text) letter = static_cast<char>('A' + random() % 58);
  return text;
}

}  // namespace bench
