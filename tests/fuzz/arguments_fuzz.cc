// The C ABI with arguments of all kinds: sizes, null pointers, text that is no UTF-8, numbers that no enum has.
// Whatever is passed, the answer is a status that the header names, outputs are zero after an error, and the cache goes
// on working.
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "fuzz.h"

namespace {

using fuzz::Input;
using fuzz::require;

void known(dbc_status status, const char *call) {
  require(status == DBC_OK || status == DBC_NOT_FOUND || status == DBC_UNCHANGED || status == DBC_INVALID_ARGUMENT ||
              status == DBC_NO_MEMORY || status == DBC_BUFFER_TOO_SMALL || status == DBC_CLOSED,
          call, dbc_last_error());
  if (status >= DBC_INVALID_ARGUMENT) require(*dbc_last_error() != '\0', call, "fails without a message");
}

double any_double(Input &input) {
  switch (input.byte() % 6) {
    case 0:
      return std::numeric_limits<double>::quiet_NaN();
    case 1:
      return input.byte() % 2 ? HUGE_VAL : -HUGE_VAL;
    case 2:
      return input.number<double>();
    default:
      return input.byte();
  }
}
uint64_t any_u64(Input &input) {
  switch (input.byte() % 4) {
    case 0:
      return UINT64_MAX - input.byte();
    case 1:
      return input.number<uint64_t>();
    default:
      return input.byte();
  }
}

// A key or value: its bytes, and the size to be told, which is the true one or one that no key or value has.
struct Bytes {
  std::string_view bytes;
  size_t size;
  const char *data() const { return bytes.data(); }
};
Bytes any_bytes(Input &input) {
  uint8_t kind = input.byte();
  if (kind % 16 == 0) return {std::string_view(), kind % 32 == 0 ? 0 : any_u64(input)};
  std::string_view bytes = input.take(kind % 16 == 1 ? 1100 : kind % 8);
  if (kind % 16 == 2) return {bytes, SIZE_MAX - input.byte()};
  return {bytes.data() ? bytes : std::string_view("k", 1), bytes.data() ? bytes.size() : 1};
}

dbc_options *any_options(Input &input) {
  dbc_options *options = input.byte() % 8 ? dbc_options_new() : nullptr;
  for (uint8_t count = input.byte() % 6; count > 0; --count) {
    auto option = static_cast<dbc_option>(input.byte() % 4 ? input.byte() % 24 : static_cast<int>(input.number<int>()));
    if (option == DBC_BUSY_TIMEOUT_SECONDS) continue;  // waiting is right, and slow
    known(input.byte() % 2 ? dbc_options_set_u64(options, option, any_u64(input))
                           : dbc_options_set_double(options, option, any_double(input)),
          "set option");
  }
  return options;
}

void call(dbc_cache *cache, Input &input) {
  Bytes key = any_bytes(input);
  double time = any_double(input);
  const double *timestamp = input.byte() % 2 ? &time : nullptr;
  bool out = input.byte() % 8 != 0;  // else the out-parameter is null
  dbc_cache *handle = input.byte() % 32 ? cache : nullptr;
  const int kind = input.byte() % 20;
  switch (kind) {
    case 0:
    case 1: {
      Bytes value = any_bytes(input);
      uint64_t version = 1;
      dbc_status status =
          dbc_put(handle, key.data(), key.size, value.data(), value.size,
                  input.byte() % 4 ? input.byte() % 2 : input.number<unsigned>(), timestamp, out ? &version : nullptr);
      known(status, "put");
      if (out) require((status == DBC_OK) == (version != 0), "put", "a version with an error, or none without");
      break;
    }
    case 2:
    case 3: {
      dbc_value *value = reinterpret_cast<dbc_value *>(1);
      auto get = kind == 2 ? dbc_get_changed : dbc_get_from_memory;
      dbc_status status = get(handle, key.data(), key.size, any_u64(input), timestamp, out ? &value : nullptr);
      known(status, "get");
      if (out) require((status == DBC_OK) == (value != nullptr), "get", "a value with an error, or none without");
      if (out && value) {
        require(dbc_value_data(value) != nullptr && dbc_value_version(value) != 0, "get", "a value without data");
        dbc_value_release(value);
      }
      break;
    }
    case 4: {
      std::array<char, 300> buffer;
      size_t size = 1;
      uint64_t version = 1;
      known(dbc_get_into(handle, key.data(), key.size, timestamp, input.byte() % 8 ? buffer.data() : nullptr,
                         input.byte() % buffer.size(), out ? &size : nullptr, &version),
            "get_into");
      break;
    }
    case 5:
      known(dbc_delete(handle, key.data(), key.size), "delete");
      break;
    case 6:
      known(dbc_discard(handle, key.data(), key.size, any_u64(input), input.number<int>()), "discard");
      break;
    case 7:
      known(dbc_exists(handle, key.data(), key.size, timestamp), "exists");
      break;
    case 8: {
      int tier = 9;
      dbc_status status = dbc_get_tier(handle, key.data(), key.size, timestamp, out ? &tier : nullptr);
      known(status, "tier");
      if (out) require(tier >= DBC_TIER_NONE && tier <= DBC_TIER_DISK, "tier", "none that there is");
      break;
    }
    case 9:
    case 10: {
      size_t count = input.byte() % 5;
      std::string keys, values;
      std::vector<size_t> key_sizes, value_sizes;
      for (size_t i = 0; i < count; ++i) {
        Bytes each = any_bytes(input), value = any_bytes(input);
        keys += each.bytes;
        values += value.bytes;
        key_sizes.push_back(each.bytes.size());
        value_sizes.push_back(value.bytes.size());
      }
      bool none = input.byte() % 16 == 0;  // no arrays, and any count
      if (none) count = any_u64(input);
      std::vector<uint64_t> versions(none ? 0 : count);
      if (input.byte() % 2) {
        known(dbc_put_many(handle, count, none ? nullptr : keys.data(), none ? nullptr : key_sizes.data(),
                           none ? nullptr : values.data(), none ? nullptr : value_sizes.data(), input.byte() % 2,
                           timestamp, out && !none ? versions.data() : nullptr),
              "put_many");
      } else {
        dbc_result *result = nullptr;
        dbc_status status = dbc_get_many(handle, count, none ? nullptr : keys.data(), none ? nullptr : key_sizes.data(),
                                         out && !none ? versions.data() : nullptr, timestamp, out ? &result : nullptr);
        known(status, "get_many");
        require(result == nullptr || status == DBC_OK, "get_many", "a result with an error");
        if (result) require(dbc_result_count(result) == count, "get_many", "rows are missing");
        dbc_result_free(result);
      }
      break;
    }
    case 11: {
      uint64_t removed = 0;
      known(dbc_purge_expired(handle, timestamp, out ? &removed : nullptr), "purge_expired");
      break;
    }
    case 12:
      known(input.byte() % 4 ? dbc_clear_memory(handle) : dbc_clear(handle), "clear");
      break;
    case 13: {
      uint64_t number = 0;
      known(input.byte() % 2 ? dbc_count(handle, out ? &number : nullptr)
                             : dbc_total_size(handle, out ? &number : nullptr),
            "count");
      break;
    }
    case 14: {
      uint64_t numbers[DBC_STAT_COUNT];
      size_t capacity = input.byte() % (DBC_STAT_COUNT + 1), count = 0;
      known(dbc_stats(handle, out ? numbers : nullptr, capacity, input.byte() % 2 ? &count : nullptr), "stats");
      break;
    }
    case 15: {
      std::array<uint64_t, 16> versions;
      size_t count = 0;
      int overflowed = 0;
      known(dbc_dropped(handle, input.byte() % 8 ? versions.data() : nullptr, input.byte() % versions.size(),
                        out ? &count : nullptr, input.byte() % 2 ? &overflowed : nullptr),
            "dropped");
      break;
    }
    case 16: {
      std::array<char, 200> report;
      uint64_t problems = 0;
      dbc_status status = dbc_check(handle, input.byte() % 4 ? input.byte() % 2 : input.number<unsigned>(),
                                    input.byte() % 8 ? report.data() : nullptr, input.byte() % report.size(),
                                    out ? &problems : nullptr);
      known(status, "check");
      require(problems == 0, "check", "finds problems");
      break;
    }
    case 17:
      known(dbc_flush(handle), "flush");
      break;
    case 18:
      known(dbc_set_log_level(handle, input.number<int>()), "set_log_level");
      break;
    default:
      dbc_status_name(input.number<int>());
      dbc_stat_name(any_u64(input));
      dbc_value_release(nullptr);
      dbc_result_free(nullptr);
      if (input.byte() % 16 == 0) known(dbc_close(handle), "close");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input input(data, size);
  dbc_options *options = any_options(input);
  std::string schema(input.byte() % 8 ? std::string_view("1") : input.take(70));
  dbc_cache *cache = nullptr;
  dbc_status status = dbc_open(":memory:", schema.c_str(), options, &cache);
  dbc_options_free(options);
  known(status, "open");
  require((status == DBC_OK) == (cache != nullptr), "open", "a handle with an error, or none without");
  while (!input.empty()) call(cache, input);
  if (cache) {
    // Whatever was tried: a plain put and get work, unless it was closed.
    dbc_status put = dbc_put(cache, "plain", 5, "", 0, 0, nullptr, nullptr);
    require(put == DBC_OK || put == DBC_CLOSED, "the last put", dbc_last_error());
    uint64_t problems = 0;
    if (put == DBC_OK) require(dbc_check(cache, 0, nullptr, 0, &problems) == DBC_OK && problems == 0, "the last check");
  }
  dbc_free(cache);
  return 0;
}
