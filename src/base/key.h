// Key: the bytes of a checked key and their hash, borrowed for the length of a call.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/hash.h"

namespace dbc {

struct Key {
  explicit Key(std::string_view text_) : text(text_), hash(hash_bytes(text_)) {}
  Key(std::string_view text_, uint64_t hash_) : text(text_), hash(hash_) {}

  std::string_view text;
  uint64_t hash;
};

}  // namespace dbc
