// What was measured: series of samples, one a repetition, so that two of them can be compared repetition by repetition.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "settings.h"

namespace bench {

void record(const std::string &name, const char *unit, double sample);
inline void record(const std::string &name, double microseconds) { record(name, "us", microseconds); }
// A number that belongs to no repetition.
void fact(const std::string &name, double value);
// What could not be measured, and why.
void unavailable(const std::string &name, const std::string &reason);
void print_results();

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs call(0 .. calls-1), and records the mean of what one took; `each` divides it further (items of a batch).
template <typename Call>
void measure(const std::string &name, uint64_t calls, Call &&call, double each = 1) {
  calls = scaled(calls);
  double start = seconds();
  for (uint64_t i = 0; i < calls; ++i) call(i);
  record(name, (seconds() - start) * 1e6 / static_cast<double>(calls) / each);
}

template <typename Body>
void repeat(Body &&body) {
  for (int repetition = 0; repetition < settings.repetitions; ++repetition) body(repetition);
}

}  // namespace bench
