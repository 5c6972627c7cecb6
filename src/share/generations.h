// Generations: one word per class of keys (by hash), shared by all who use a file, that tells whether what was read or
// written under an earlier word may have changed since.
//
// A writer makes the words of the keys it changes odd before its commit and even, and larger, after it. An item in
// memory remembers the word it was loaded under; it is surely current while the word is still the same and even.
// Otherwise the disk must be asked (the versions decide), so classes with many keys, and words that a dead writer left
// odd, cost time and never truth. With each word goes which keys of the class its last few writes changed, as tags of a
// few bits: where none of them can have been the item's key, the disk need not be asked (see spared()). Words only
// grow, and only writers who hold the file's WriterLock make them odd or even (laying out a damaged SharedFile anew
// adds even numbers, without the lock).
//
// A batch calls begin() for all its keys, commits, and calls end() for all of them, in any order, however many share a
// word: the first begin() and the first end() of a word count, the others change nothing. Hence no end() before the
// commit is over.
//
// The tags are believed only while they carry the check of the word they were left with, so a writer that died, a word
// that moved otherwise and damage in the shared memory all lead to the disk.
//
// Where no memory can be shared, the words are this handle's own, and a CommitWatch says that others have committed:
// then everything in memory is in doubt, as if all words had moved.
//
// Thread safety: word() from anywhere; begin() and end() under the writer lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "share/commit_watch.h"

namespace dbc {

class Generations {
 public:
  static constexpr size_t kWords = 65536;
  static constexpr size_t kMemory = 2 * kWords;  // the words, then the tags that go with them: 1 MiB

  // `words`: kMemory of them, zero at first, outliving this object; null when there is nothing to share through: then
  // every word reads as 1, odd, and everything is asked from disk. `watch`: for words that are not shared.
  explicit Generations(std::atomic<uint64_t> *words, CommitWatch *watch = nullptr) : words_(words), watch_(watch) {}

  // The word at this moment. With a watch it waits and may throw: not under a lock, nor inside SQLite.
  uint64_t word(uint64_t hash) const {
    if (watch_) [[unlikely]]
      watch_->look();
    return last_word(hash);
  }
  // The same without another look at the watch: at least as new as any word() that was given before. Never waits.
  uint64_t last_word(uint64_t hash) const {
    // Both parts only grow, so equal sums mean that neither has moved.
    uint64_t doubts = watch_ ? 2 * watch_->seen() : 0;
    return words_ ? words_[index(hash)].load(std::memory_order_seq_cst) + doubts : 1;
  }

  // May word() have to wait?
  bool may_wait() const { return watch_ != nullptr; }

  void prefetch(uint64_t hash) const {
    if (words_) __builtin_prefetch(&words_[index(hash)]);
  }

  // Of an item that remembers this, the disk must be asked, whatever the word is.
  static constexpr uint64_t kDoubtful = 1;

  static bool stable(uint64_t word) { return (word & 1) == 0; }

  // Is it certain that no write changed the key between the words `since` and `now`, which has just been read?
  bool spared(uint64_t hash, uint64_t since, uint64_t now) const;

  // Before a commit: makes the word odd (it stays odd if a dead writer left it so). Returns the word that end() will
  // leave; with no words 1, as word() does.
  uint64_t begin(uint64_t hash);
  // After the commit, or after it failed: makes the word even.
  void end(uint64_t hash);
  // Between the two: the word that end() will leave.
  uint64_t next_stable(uint64_t hash) const { return (last_word(hash) | 1) + 1; }
  // Around a commit that changes any number of keys (clear): all words.
  void begin_all();
  void end_all();

 private:
  static size_t index(uint64_t hash) { return hash % kWords; }
  std::atomic<uint64_t> *const words_;
  CommitWatch *const watch_;
};

}  // namespace dbc
