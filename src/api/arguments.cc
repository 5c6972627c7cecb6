#include "api/arguments.h"

#include <cmath>
#include <string>

#include "api/guard.h"
#include "base/utf8.h"

namespace dbc {
namespace {

[[noreturn]] void refuse_key(const char *key, size_t key_size) {
  if (key_size == 0) refuse("Key cannot be empty");
  if (!key) refuse("key must not be NULL");
  std::string limit = " exceeds maximum of " + std::to_string(kMaxKeyCharacters) + " characters";
  // A size that is no key's is not read to be counted: it may be a mistake, with nothing behind it.
  if (key_size > (1u << 20)) refuse("Key length of " + std::to_string(key_size) + " bytes" + limit);
  std::string_view text(key, key_size);
  size_t characters = count_code_points(text);
  if (characters == kInvalidUtf8) refuse("Key is not valid UTF-8");
  if (characters > kMaxKeyCharacters) refuse("Key length " + std::to_string(characters) + limit);
  refuse("Key must not contain U+0000");
}

}  // namespace

Key check_key(const char *key, size_t key_size) {
  // One pass for the good; the bad are looked at again to say why.
  if (key && valid_key({key, key_size})) [[likely]]
    return Key(std::string_view(key, key_size));
  refuse_key(key, key_size);
}

std::string_view check_value(const void *value, size_t value_size, uint64_t max_disk_size_bytes) {
  if (value_size > max_disk_size_bytes) {
    refuse("Item size (" + std::to_string(value_size) + " bytes) exceeds max_disk_size_bytes (" +
           std::to_string(max_disk_size_bytes) + " bytes)");
  }
  if (value_size > kMaxValueBytes) {
    refuse("Item size (" + std::to_string(value_size) + " bytes) exceeds the largest value of SQLite (" +
           std::to_string(kMaxValueBytes) + " bytes)");
  }
  if (!value && value_size > 0) refuse("value must not be NULL when value_size is not 0");
  return {static_cast<const char *>(value), value_size};
}

void check_flags(unsigned flags) {
  if ((flags & ~DBC_TEXT) != 0) refuse("flags has unknown bits: " + std::to_string(flags));
}

void check_timestamp(const double *timestamp) {
  if (timestamp && !std::isfinite(*timestamp)) refuse("timestamp must be finite");
}

void refuse_item(size_t index, const Error &error) { refuse("item " + std::to_string(index) + ": " + error.what()); }

std::vector<Key> check_keys(size_t count, const char *keys, const size_t *key_sizes) {
  std::vector<Key> checked;
  if (count == 0) return checked;
  require(keys, "keys");
  require(key_sizes, "key_sizes");
  checked.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    try {
      checked.push_back(check_key(keys, key_sizes[i]));
    } catch (const Error &error) {
      refuse_item(i, error);
    }
    keys += key_sizes[i];
  }
  return checked;
}

}  // namespace dbc
