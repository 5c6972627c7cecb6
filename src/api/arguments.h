// Checks of what callers pass in. Each throws Error(kInvalidArgument) naming the argument and the limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/item.h"
#include "base/key.h"
#include "base/status.h"

namespace dbc {

Key check_key(const char *key, size_t key_size);
std::string_view check_value(const void *value, size_t value_size, uint64_t max_disk_size_bytes);
void check_flags(unsigned flags);
void check_timestamp(const double *timestamp);

// A refused item of a batch: says which.
[[noreturn]] void refuse_item(size_t index, const Error &error);
// The packed keys of a batch, in order.
std::vector<Key> check_keys(size_t count, const char *keys, const size_t *key_sizes);

}  // namespace dbc
