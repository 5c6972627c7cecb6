// The library through its C ABI, as any program sees it.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "dbc.h"
#include "settings.h"

namespace bench {

struct Options {
  uint64_t memory_items = 10'000;
  uint64_t disk_items = 100'000'000;
  uint64_t disk_bytes = uint64_t{1} << 40;
  double touch_delay_seconds = 1;
  uint64_t durability = DBC_DURABILITY_NORMAL;
  bool write_behind = false;
  bool compress = false;
};

class Library {
 public:
  Library(const std::string &file, const Options &wanted) {
    dbc_options *options = dbc_options_new();
    try {
      auto set = [&](int option, uint64_t value) {
        check(dbc_options_set_u64(options, static_cast<dbc_option>(option), value), "option");
      };
      set(DBC_MAX_MEMORY_ITEMS, wanted.memory_items);
      set(DBC_MAX_MEMORY_SIZE_BYTES, uint64_t{1} << 40);
      set(DBC_MAX_DISK_ITEMS, wanted.disk_items);
      set(DBC_MAX_DISK_SIZE_BYTES, wanted.disk_bytes);
      set(DBC_MAX_ITEM_SIZE_BYTES, uint64_t{1} << 30);
      set(DBC_DURABILITY, wanted.durability);
      if (wanted.write_behind) set(kWriteMode, 1);
      if (wanted.compress) set(kCompression, 1);
      for (dbc_option option : {DBC_MEMORY_TTL_SECONDS, DBC_DISK_TTL_SECONDS}) {
        check(dbc_options_set_double(options, option, std::numeric_limits<double>::infinity()), "option");
      }
      check(dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, wanted.touch_delay_seconds), "option");
      check(dbc_open(file.c_str(), "1", options, &cache_), "open");
    } catch (...) {
      dbc_options_free(options);
      throw;
    }
    dbc_options_free(options);
  }
  ~Library() { dbc_free(cache_); }
  Library(const Library &) = delete;
  Library &operator=(const Library &) = delete;

  // Whether this build knows an option, and if not, what it says.
  static std::string refusal(int option) {
    dbc_options *options = dbc_options_new();
    dbc_status status = dbc_options_set_u64(options, static_cast<dbc_option>(option), 1);
    dbc_options_free(options);
    return status == DBC_OK ? "" : dbc_last_error();
  }
  static constexpr int kWriteMode = 15, kCompression = 19;

  void put(const std::string &key, const std::string &value) {
    check(dbc_put(cache_, key.data(), key.size(), value.data(), value.size(), 0, nullptr, nullptr), "put");
  }
  // The pinned value, and its release: no copy.
  void get(const std::string &key) {
    dbc_value *value = nullptr;
    check(dbc_get(cache_, key.data(), key.size(), nullptr, &value), "get");
    dbc_value_release(value);
  }
  void get(const std::string &key, double timestamp) {
    dbc_value *value = nullptr;
    check(dbc_get(cache_, key.data(), key.size(), &timestamp, &value), "get");
    dbc_value_release(value);
  }
  void get(const std::string &key, char *buffer, size_t capacity) {
    size_t size = 0;
    check(dbc_get_into(cache_, key.data(), key.size(), nullptr, buffer, capacity, &size, nullptr), "get");
  }
  void get_many(const std::vector<std::string> &keys) {
    pack(keys, nullptr);
    dbc_result *result = nullptr;
    check(dbc_get_many(cache_, keys.size(), keys_.data(), key_sizes_.data(), nullptr, nullptr, &result), "get_many");
    dbc_result_free(result);
  }
  // Packs, as every caller must, and stores.
  void put_many(const std::vector<std::string> &keys, const std::string &value) {
    pack(keys, &value);
    check(dbc_put_many(cache_, keys.size(), keys_.data(), key_sizes_.data(), values_.data(), value_sizes_.data(), 0,
                       nullptr, nullptr),
          "put_many");
  }
  void fill(const std::vector<std::string> &keys, const std::string &value) {
    for (size_t i = 0; i < keys.size(); i += kBatch) {
      put_many({keys.begin() + static_cast<ptrdiff_t>(i),
                keys.begin() + static_cast<ptrdiff_t>(std::min<size_t>(i + kBatch, keys.size()))},
               value);
    }
  }
  void flush() { check(dbc_flush(cache_), "flush"); }
  void clear_memory() { check(dbc_clear_memory(cache_), "clear_memory"); }
  void close() { check(dbc_close(cache_), "close"); }
  uint64_t stat(dbc_stat which) {
    uint64_t values[DBC_STAT_COUNT] = {};
    check(dbc_stats(cache_, values, DBC_STAT_COUNT, nullptr), "stats");
    return values[which];
  }

 private:
  static void check(dbc_status status, const char *what) {
    if (status == DBC_OK) return;
    throw std::runtime_error(std::string(what) + ": " + dbc_status_name(status) +
                             (status < DBC_INVALID_ARGUMENT ? "" : std::string(", ") + dbc_last_error()));
  }
  void pack(const std::vector<std::string> &keys, const std::string *value) {
    keys_.clear(), key_sizes_.clear(), values_.clear(), value_sizes_.clear();
    for (const std::string &key : keys) {
      keys_ += key;
      key_sizes_.push_back(key.size());
      if (value) values_ += *value, value_sizes_.push_back(value->size());
    }
  }

  dbc_cache *cache_ = nullptr;
  std::string keys_, values_;  // of a batch; the room is kept from one to the next
  std::vector<size_t> key_sizes_, value_sizes_;
};

}  // namespace bench
