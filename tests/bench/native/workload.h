// Which items are asked for, and what they hold. Made before anything is measured.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace bench {

using Sequence = std::vector<uint32_t>;

inline Sequence uniform(uint64_t items, uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Sequence sequence(count);
  for (uint32_t &number : sequence) number = static_cast<uint32_t>(random() % items);
  return sequence;
}

// Zipf's law by rejection and inversion (Hoermann and Derflinger, 1996): exact, and without a table of all the items.
class Zipf {
 public:
  Zipf(uint64_t items, double skew) : items_(static_cast<double>(items)), skew_(skew) {
    low_ = integral(1.5) - 1;
    high_ = integral(items_ + 0.5);
    accept_ = 2 - inverse(integral(2.5) - std::pow(2, -skew_));
  }
  template <typename Random>
  uint64_t operator()(Random &random) {  // the rank, from 0
    std::uniform_real_distribution<double> between(low_, high_);
    while (true) {
      double at = between(random);
      double x = inverse(at);
      double rank = std::min(std::max(std::floor(x + 0.5), 1.0), items_);
      if (rank - x <= accept_ || at >= integral(rank + 0.5) - std::pow(rank, -skew_)) {
        return static_cast<uint64_t>(rank) - 1;
      }
    }
  }

 private:
  // The integral of x^-skew, and its inverse. (The skew is not 1.)
  double integral(double x) const { return std::pow(x, 1 - skew_) / (1 - skew_); }
  double inverse(double area) const { return std::pow(area * (1 - skew_), 1 / (1 - skew_)); }

  double items_, skew_, low_, high_, accept_;
};

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
