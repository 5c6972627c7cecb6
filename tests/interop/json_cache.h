// What the runner of the table and the worker share: JSON as given there, turned into calls of dbc.h.
#pragma once
#include <dbc.h>

#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace interop {

using Json = nlohmann::json;

struct Release {
  void operator()(dbc_value *value) const { dbc_value_release(value); }
  void operator()(dbc_result *result) const { dbc_result_free(result); }
  void operator()(dbc_options *options) const { dbc_options_free(options); }
};
using Value = std::unique_ptr<dbc_value, Release>;
using Result = std::unique_ptr<dbc_result, Release>;
using Options = std::unique_ptr<dbc_options, Release>;

inline double seconds_of(const Json &seconds) {
  if (seconds.is_number()) return seconds;
  if (seconds == "nan") return NAN;
  if (seconds == "inf") return std::numeric_limits<double>::infinity();
  if (seconds == "-inf") return -std::numeric_limits<double>::infinity();
  throw std::invalid_argument("no time: " + seconds.dump());
}

inline dbc_status set_option(dbc_options *options, const std::string &name, const Json &value) {
  static const struct {
    const char *name;
    dbc_option option;
    std::vector<std::string> words;  // of an enum, by number
  } kNumbers[] = {
      {"max_memory_items", DBC_MAX_MEMORY_ITEMS, {}},
      {"max_memory_size_bytes", DBC_MAX_MEMORY_SIZE_BYTES, {}},
      {"max_disk_items", DBC_MAX_DISK_ITEMS, {}},
      {"max_disk_size_bytes", DBC_MAX_DISK_SIZE_BYTES, {}},
      {"max_item_size_bytes", DBC_MAX_ITEM_SIZE_BYTES, {}},
      {"memory_values", DBC_MEMORY_VALUES, {}},
      {"durability", DBC_DURABILITY, {"normal", "full", "off"}},
      {"on_corrupt", DBC_ON_CORRUPT, {"restart", "fail"}},
      {"write_mode", DBC_WRITE_MODE, {"through", "behind"}},
      {"compression", DBC_COMPRESSION, {"none", "zstd"}},
  };
  static const struct {
    const char *name;
    dbc_option option;
  } kSeconds[] = {
      {"memory_ttl_seconds", DBC_MEMORY_TTL_SECONDS},
      {"disk_ttl_seconds", DBC_DISK_TTL_SECONDS},
      {"busy_timeout_seconds", DBC_BUSY_TIMEOUT_SECONDS},
      {"touch_delay_seconds", DBC_TOUCH_DELAY_SECONDS},
  };
  for (const auto &row : kSeconds) {
    if (name == row.name) return dbc_options_set_double(options, row.option, seconds_of(value));
  }
  for (const auto &row : kNumbers) {
    if (name != row.name) continue;
    if (row.words.empty()) return dbc_options_set_u64(options, row.option, value);
    for (size_t i = 0; i < row.words.size(); ++i) {
      if (value == row.words[i]) return dbc_options_set_u64(options, row.option, i);
    }
  }
  throw std::invalid_argument("no option: " + name + " = " + value.dump());
}

// DBC_OK and a cache, or the status of the first call that failed.
inline dbc_status open_cache(const std::string &path, const std::string &schema_version, const Json &options,
                             dbc_cache **cache) {
  Options made(dbc_options_new());
  for (const auto &[name, value] : options.items()) {
    dbc_status status = set_option(made.get(), name, value);
    if (status != DBC_OK) return status;
  }
  return dbc_open(path.c_str(), schema_version.c_str(), made.get(), cache);
}

inline dbc_status stats_of(dbc_cache *cache, Json *stats) {
  uint64_t values[DBC_STAT_COUNT];
  dbc_status status = dbc_stats(cache, values, DBC_STAT_COUNT, nullptr);
  if (status != DBC_OK) return status;
  for (size_t i = 0; i < DBC_STAT_COUNT; ++i) (*stats)[dbc_stat_name(i)] = values[i];
  return status;
}

}  // namespace interop
