// UTF-8 checks for keys.
#pragma once

#include <cstddef>
#include <string_view>

namespace dbc {

inline constexpr size_t kInvalidUtf8 = static_cast<size_t>(-1);

// The number of code points, or kInvalidUtf8 (truncated, overlong, surrogate, beyond U+10FFFF).
size_t count_code_points(std::string_view text);

inline constexpr size_t kMaxKeyCharacters = 256;

// 1 to kMaxKeyCharacters characters of UTF-8 without U+0000.
bool valid_key(std::string_view text);

}  // namespace dbc
