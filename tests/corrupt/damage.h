// Damage: what happens to files, by chance, but the same for the same seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace corrupt {

// SplitMix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // From 0 to `end` - 1; 0 when there is nothing to choose from.
  size_t below(size_t end) { return end == 0 ? 0 : next() % end; }
  bool one_in(size_t number) { return below(number) == 0; }

 private:
  uint64_t state_;
};

inline uint32_t big_endian(const char *at) {
  const auto *bytes = reinterpret_cast<const unsigned char *>(at);
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}
inline void set_big_endian(char *at, uint32_t number) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<char>(number >> (24 - 8 * i));
}

// Makes the checksums of a WAL right again, so that SQLite believes what was changed in it.
inline void mend_wal_checksums(std::string *wal) {
  constexpr size_t kHeader = 32, kFrameHeader = 24;
  if (wal->size() < kHeader) return;
  bool big = (big_endian(wal->data()) & 1) != 0;
  size_t page = big_endian(wal->data() + 8);
  if (page < 512 || page > 65536) return;
  uint32_t sums[2] = {0, 0};
  auto add = [&](const char *from, size_t size) {
    for (size_t i = 0; i + 8 <= size; i += 8) {
      uint32_t words[2];
      for (int k = 0; k < 2; ++k) {
        words[k] = big_endian(from + i + 4 * static_cast<size_t>(k));
        if (!big) words[k] = __builtin_bswap32(words[k]);
      }
      sums[0] += words[0] + sums[1];
      sums[1] += words[1] + sums[0];
    }
  };
  auto store = [&](char *at) {
    set_big_endian(at, sums[0]);
    set_big_endian(at + 4, sums[1]);
  };
  add(wal->data(), 24);
  store(wal->data() + 24);
  for (size_t at = kHeader; at + kFrameHeader + page <= wal->size(); at += kFrameHeader + page) {
    std::memcpy(wal->data() + at + 8, wal->data() + 16, 8);  // the salts
    add(wal->data() + at, 8);
    add(wal->data() + at + kFrameHeader, page);
    store(wal->data() + at + 16);
  }
}

// `size_may_shrink`: not for a file that somebody has mapped.
inline void damage(std::string *file, Random &random, bool size_may_shrink) {
  constexpr size_t kPage = 4096;
  std::string &bytes = *file;
  if (bytes.empty()) {
    bytes.append(1 + random.below(5000), static_cast<char>(random.next()));
    return;
  }
  size_t pages = bytes.size() / kPage;
  auto page_at = [&] { return random.below(pages) * kPage; };
  auto fill = [&](size_t at, size_t size) {
    size = std::min(size, bytes.size() - at);
    size_t kind = random.below(3);
    for (size_t i = 0; i < size; ++i)
      bytes[at + i] = kind == 0 ? 0 : kind == 1 ? '\xFF' : static_cast<char>(random.next());
  };
  switch (random.below(10)) {
    case 0:  // bits anywhere
      for (size_t i = 1 + random.below(32); i > 0; --i)
        bytes[random.below(bytes.size())] ^= static_cast<char>(1 << random.below(8));
      break;
    case 1:  // a bit where the structure is: the first bytes of a page
      for (size_t i = 1 + random.below(4); i > 0; --i) {
        size_t at = page_at() + random.below(random.one_in(2) ? 12 : 200);
        if (at < bytes.size()) bytes[at] ^= static_cast<char>(1 << random.below(8));
      }
      break;
    case 2:
      fill(random.below(bytes.size()), 1 + random.below(random.one_in(2) ? 16 : 4096));
      break;
    case 3:  // numbers that are limits
      for (size_t i = 1 + random.below(4); i > 0 && bytes.size() >= 8; --i) {
        static constexpr uint32_t kNumbers[] = {0,    1,          2,          3,          0x7F,   0x80,
                                                0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000};
        size_t at =
            random.one_in(3) ? random.below(std::min<size_t>(100, bytes.size() - 4)) : random.below(bytes.size() - 4);
        set_big_endian(bytes.data() + at, kNumbers[random.below(std::size(kNumbers))]);
      }
      break;
    case 4:
      if (pages > 1) {
        size_t a = page_at(), b = page_at();
        std::string kept = bytes.substr(a, kPage);
        bytes.replace(a, kPage, bytes.substr(b, kPage));
        bytes.replace(b, kPage, kept);
      }
      break;
    case 5:
      if (pages > 0) std::memset(bytes.data() + page_at(), 0, kPage);
      break;
    case 6:  // a page over another
      if (pages > 1) {
        std::string page = bytes.substr(page_at(), kPage);
        bytes.replace(page_at(), kPage, page);
      }
      break;
    case 7:
      if (size_may_shrink) bytes.resize(random.one_in(2) ? random.below(bytes.size()) : page_at());
      break;
    case 8:
      bytes.append(1 + random.below(3 * kPage), static_cast<char>(random.next()));
      break;
    default:  // text that is looked for: keys and words of the schema
      for (size_t i = 1 + random.below(3); i > 0; --i) {
        static constexpr const char *kWords[] = {"key0",    "item",  "usage", "eviction_order",
                                                 "value #", "1.0.0", "CREATE"};
        size_t at = bytes.find(kWords[random.below(std::size(kWords))], random.below(bytes.size()));
        if (at != std::string::npos) bytes[at + random.below(4)] ^= static_cast<char>(1 << random.below(8));
      }
  }
}

}  // namespace corrupt
