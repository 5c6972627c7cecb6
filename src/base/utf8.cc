#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace dbc {

namespace {

// Neither a byte above 0x7f nor a zero, in one pass.
bool plain_ascii(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kHighBits = 0x8080808080808080u;
  // While all bytes are from 1 to 0x7f, taking one from each borrows nothing; the first zero becomes 0xff.
  auto plain = [](uint64_t word) { return ((word | (word - kOnes)) & kHighBits) == 0; };
  uint64_t word;
  const char *at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::memcpy(&word, at, 8);
    if (!plain(word)) return false;
  }
  for (; left > 0; ++at, --left) {
    if (static_cast<signed char>(*at) <= 0) return false;
  }
  return true;
}

}  // namespace

size_t count_code_points(std::string_view text) {
  const auto *at = reinterpret_cast<const unsigned char *>(text.data());
  const auto *end = at + text.size();
  size_t count = 0;
  while (at < end) {
    // Keys are mostly ASCII: eight bytes at a time while no high bit is set.
    uint64_t word;
    if (end - at >= 8 && (std::memcpy(&word, at, 8), (word & 0x8080808080808080u) == 0)) {
      at += 8;
      count += 8;
      continue;
    }
    unsigned char lead = *at++;
    ++count;
    if (lead < 0x80) continue;
    // The allowed range of the second byte rules out overlong forms, surrogates and what lies beyond U+10FFFF.
    int more;
    unsigned char low = 0x80, high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      more = 2;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      more = 3;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else {
      return kInvalidUtf8;
    }
    for (; more > 0; --more) {
      if (at == end || *at < low || *at > high) return kInvalidUtf8;
      ++at;
      low = 0x80;
      high = 0xBF;
    }
  }
  return count;
}

bool valid_key(std::string_view text) {
  if (!text.empty() && text.size() <= kMaxKeyCharacters && plain_ascii(text)) [[likely]]
    return true;
  return !text.empty() && text.size() <= 4 * kMaxKeyCharacters && count_code_points(text) <= kMaxKeyCharacters &&
         text.find('\0') == std::string_view::npos;
}

}  // namespace dbc
