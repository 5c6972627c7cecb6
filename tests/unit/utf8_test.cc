#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace dbc {
namespace {

// Straight from the definition: decodes one code point after the other and encodes it again.
size_t count_by_definition(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    size_t length = 0;
    if (lead < 0x80) length = 1;
    if ((lead & 0xE0) == 0xC0) length = 2;
    if ((lead & 0xF0) == 0xE0) length = 3;
    if ((lead & 0xF8) == 0xF0) length = 4;
    if (length == 0 || at + length > text.size()) return kInvalidUtf8;
    uint32_t point = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
      if ((byte(at + i) & 0xC0) != 0x80) return kInvalidUtf8;
      point = point << 6 | (byte(at + i) & 0x3Fu);
    }
    const size_t shortest = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (length != shortest || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return kInvalidUtf8;
    at += length;
  }
  return count;
}

TEST(Utf8, CountsCodePointsNotBytes) {
  EXPECT_EQ(count_code_points(""), 0u);
  EXPECT_EQ(count_code_points("user:1"), 6u);
  EXPECT_EQ(count_code_points("gr\xC3\xBC\xC3\x9F"), 4u);
  EXPECT_EQ(count_code_points("\xE2\x82\xAC"), 1u);
  EXPECT_EQ(count_code_points("\xF0\x9F\x98\x80"), 1u);
  EXPECT_EQ(count_code_points(std::string("a\0b", 3)), 3u);
  EXPECT_EQ(count_code_points("12345678"
                              "12345678"
                              "\xC3\xBC"
                              "12345678"),
            25u);
}

TEST(Utf8, AcceptsTheEdgesOfEveryRange) {
  for (const char *text : {"\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
                           "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(count_code_points(text), 1u);
  }
}

TEST(Utf8, RefusesWhatIsNotUtf8) {
  for (const char *text :
       {"\x80", "\xC3", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "1234567\x80", "12345678\xC3",
        "\xC3"
        "a"}) {
    EXPECT_EQ(count_code_points(text), kInvalidUtf8) << testing::PrintToString(std::string(text));
  }
}

TEST(Utf8, AgreesWithTheDefinitionOnAllShortTexts) {
  // Every text of up to two bytes, and every one of up to four whose bytes stand at the edges of the ranges.
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const std::string text{static_cast<char>(first), static_cast<char>(second)};
      ASSERT_EQ(count_code_points(text), count_by_definition(text)) << first << " " << second;
    }
  }
  const std::string edges = "\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xDF\xE0\xEC\xED\xEE\xEF\xF0\xF1\xF3\xF4\xF5\xFF";
  for (char first : edges) {
    for (char second : edges) {
      for (char third : edges) {
        for (char fourth : edges) {
          const std::string text{first, second, third, fourth};
          ASSERT_EQ(count_code_points(text), count_by_definition(text)) << testing::PrintToString(text);
          ASSERT_EQ(count_code_points("1234567" + text), count_by_definition("1234567" + text));
        }
      }
    }
  }
}

// Every byte at every place of keys short and long: most keys never get beyond the first look, which is not to let by
// what the second would refuse.
TEST(Utf8, AKeyIsValidByDefinition) {
  for (size_t size : {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 255, 256, 257, 1024, 1025}) {
    std::string key(size, 'k');
    auto by_definition = [&] {
      const size_t points = count_by_definition(key);
      return !key.empty() && points != kInvalidUtf8 && points <= kMaxKeyCharacters && key.find('\0') == key.npos;
    };
    EXPECT_EQ(valid_key(key), by_definition()) << size;
    for (size_t at = 0; at < size; at += size > 64 ? 13 : 1) {
      for (int byte = 0; byte < 256; ++byte) {
        key[at] = static_cast<char>(byte);
        ASSERT_EQ(valid_key(key), by_definition()) << byte << " at " << at << " of " << size;
        if (at + 1 >= size) continue;
        key[at + 1] = '\x01';  // which a borrow from a zero before it would reach
        ASSERT_EQ(valid_key(key), by_definition()) << byte << " at " << at << " of " << size << ", then 1";
        key[at + 1] = '\xbf';
        ASSERT_EQ(valid_key(key), by_definition()) << byte << " at " << at << " of " << size << ", then 0xbf";
        key[at + 1] = 'k';
      }
      key[at] = 'k';
    }
  }
}

}  // namespace
}  // namespace dbc
