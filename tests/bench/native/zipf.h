// Few items that are asked for most of the time, and many that hardly are.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace bench {

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

}  // namespace bench
