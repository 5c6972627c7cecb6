// Generations: one word per class of keys (by hash), shared by all who use a file, that tells whether what was read or
// written under an earlier word may have changed since.
//
// A writer makes the words of the keys it changes odd before its commit and even, and larger, after it. An item in
// memory remembers the word it was loaded under; it is surely current while the word is still the same and even.
// Otherwise the disk must be asked (the versions decide), so classes with many keys, and words that a dead writer left
// odd, cost time and never truth. Words only grow, and only writers who hold the file's WriterLock make them odd or
// even (laying out a damaged SharedFile anew adds even numbers, without the lock).
//
// A batch calls begin() for all its keys, commits, and calls end() for all of them, in any order, however many share a
// word: the first begin() and the first end() of a word count, the others change nothing. Hence no end() before the
// commit is over.
//
// Thread safety: word() from anywhere; begin() and end() under the writer lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace dbc {

class Generations {
 public:
  static constexpr size_t kWords = 65536;  // 512 KiB

  // `words`: kWords of them, zero at first, outliving this object; null when there is nothing to share through: then
  // every word reads as 1, odd, and everything is asked from disk.
  explicit Generations(std::atomic<uint64_t> *words) : words_(words) {}

  uint64_t word(uint64_t hash) const { return words_ ? words_[index(hash)].load(std::memory_order_seq_cst) : 1; }

  static bool stable(uint64_t word) { return (word & 1) == 0; }

  // Before a commit: makes the word odd (it stays odd if a dead writer left it so). Returns the word that end() will
  // leave; with no words 1, as word() does.
  uint64_t begin(uint64_t hash);
  // After the commit, or after it failed: makes the word even.
  void end(uint64_t hash);
  // Between the two: the word that end() will leave.
  uint64_t next_stable(uint64_t hash) const { return (word(hash) | 1) + 1; }
  // Around a commit that changes any number of keys (clear): all words.
  void begin_all();
  void end_all();

 private:
  static size_t index(uint64_t hash) { return hash % kWords; }
  std::atomic<uint64_t> *words_;
};

}  // namespace dbc
