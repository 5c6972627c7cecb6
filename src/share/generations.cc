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

// The last changes of a class: a tag of each key, the last one lowest, above a check of these tags and of the word that
// the last of the changes left.
constexpr unsigned kTagBits = 12;
constexpr unsigned kTags = 4;
constexpr unsigned kCheckBits = 16;
constexpr uint64_t kAnyKey = (1 << kTagBits) - 1;  // what was changed is not known
constexpr uint64_t kAllUnknown = (uint64_t{1} << kTagBits * kTags) - 1;
constexpr uint64_t kNothingKnown = 0;
static_assert(kTagBits * kTags + kCheckBits == 64);

// Not of the bits that choose the word.
uint64_t tag_of(uint64_t hash) { return (hash >> 16) % kAnyKey; }

uint64_t with_check(uint64_t tags, uint64_t word) {
  uint64_t mixed = (tags ^ word * 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93;
  return tags << kCheckBits | mixed >> (64 - kCheckBits) | 1;  // never kNothingKnown
}

// The tags in `changes` if they go with the word, else all unknown.
uint64_t tags_at(uint64_t changes, uint64_t word) {
  uint64_t tags = changes >> kCheckBits;
  return changes == with_check(tags, word) ? tags : kAllUnknown;
}

}  // namespace

bool Generations::spared(uint64_t hash, uint64_t since, uint64_t now) const {
  if (!words_ || watch_ || !stable(since) || !stable(now)) return false;
  uint64_t writes = (now - since) / 2;
  if (writes > kTags) return false;
  uint64_t tags = tags_at(words_[kWords + index(hash)].load(std::memory_order_seq_cst), now);
  // They may be those of a write that has begun since; then it moved the word before.
  if (words_[index(hash)].load(std::memory_order_seq_cst) != now) return false;
  for (; writes > 0; --writes, tags >>= kTagBits) {
    uint64_t tag = tags & kAnyKey;
    if (tag == kAnyKey || tag == tag_of(hash)) return false;
  }
  return true;
}

uint64_t Generations::begin(uint64_t hash) {
  if (!words_) return 1;
  std::atomic<uint64_t> &changes = words_[kWords + index(hash)];
  uint64_t before = words_[index(hash)].fetch_or(1, std::memory_order_seq_cst);
  if (stable(before)) {
    uint64_t tags = tags_at(changes.load(std::memory_order_relaxed), before);
    changes.store(with_check((tags << kTagBits | tag_of(hash)) & kAllUnknown, before + 2), std::memory_order_seq_cst);
  } else {
    // The word counts one write for several keys, or a dead writer's with this one.
    changes.store(kNothingKnown, std::memory_order_seq_cst);
  }
  return next_stable(hash);
}

void Generations::end(uint64_t hash) {
  if (words_) make_even(words_[index(hash)]);
}

void Generations::begin_all() {
  for (size_t i = 0; words_ && i < kWords; ++i) {
    make_odd(words_[i]);
    // The tags of a dead writer would go with the word that end_all() leaves.
    words_[kWords + i].store(kNothingKnown, std::memory_order_release);
  }
}

void Generations::end_all() {
  for (size_t i = 0; words_ && i < kWords; ++i) make_even(words_[i]);
}

}  // namespace dbc
