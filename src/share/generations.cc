#include "share/generations.h"

namespace dbc {
namespace {

// The next odd number, unless it is odd. Never a plain store: a word that is laid out anew meanwhile must not come
// back.
void make_odd(std::atomic<uint64_t> &word) { word.fetch_or(1, std::memory_order_seq_cst); }

// The next even number, unless it is even. Its parity cannot change in between, see the header.
void make_even(std::atomic<uint64_t> &word) {
  if (!Generations::stable(word.load(std::memory_order_relaxed))) word.fetch_add(1, std::memory_order_seq_cst);
}

}  // namespace

uint64_t Generations::begin(uint64_t hash) {
  if (!words_) return 1;
  make_odd(words_[index(hash)]);
  return next_stable(hash);
}

void Generations::end(uint64_t hash) {
  if (words_) make_even(words_[index(hash)]);
}

void Generations::begin_all() {
  for (size_t i = 0; words_ && i < kWords; ++i) make_odd(words_[i]);
}

void Generations::end_all() {
  for (size_t i = 0; words_ && i < kWords; ++i) make_even(words_[i]);
}

}  // namespace dbc
