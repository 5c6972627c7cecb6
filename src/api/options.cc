// Options: the table of what each one is called, takes and allows.
#include <cmath>
#include <limits>
#include <new>
#include <string>

#include "api/handle.h"

namespace dbc {
namespace {

// SQLite's integers are signed.
constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();

struct Unsigned {
  dbc_option option;
  const char *name;
  uint64_t least, most;
  void (*set)(dbc_options &options, uint64_t value);
};

constexpr Unsigned kUnsigned[] = {
    {DBC_MAX_MEMORY_ITEMS, "max_memory_items", 0, kMost,
     [](dbc_options &o, uint64_t v) { o.cache.max_memory_items = v; }},
    {DBC_MAX_MEMORY_SIZE_BYTES, "max_memory_size_bytes", 0, kMost,
     [](dbc_options &o, uint64_t v) { o.cache.max_memory_size_bytes = v; }},
    {DBC_MAX_DISK_ITEMS, "max_disk_items", 1, kMost, [](dbc_options &o, uint64_t v) { o.cache.max_disk_items = v; }},
    {DBC_MAX_DISK_SIZE_BYTES, "max_disk_size_bytes", 1, kMost,
     [](dbc_options &o, uint64_t v) { o.cache.max_disk_size_bytes = v; }},
    {DBC_MAX_ITEM_SIZE_BYTES, "max_item_size_bytes", 0, kMost,
     [](dbc_options &o, uint64_t v) { o.cache.max_item_size_bytes = v; }},
    {DBC_MEMORY_VALUES, "memory_values", 0, 1, [](dbc_options &o, uint64_t v) { o.cache.memory_values = v != 0; }},
    {DBC_DURABILITY, "durability", DBC_DURABILITY_NORMAL, DBC_DURABILITY_OFF,
     [](dbc_options &o, uint64_t v) { o.store.durability = static_cast<Durability>(v); }},
    {DBC_LOG_LEVEL, "log_level", 0, DBC_LOG_OFF,
     [](dbc_options &o, uint64_t v) { o.cache.log_level = static_cast<int>(v); }},
    {DBC_ON_CORRUPT, "on_corrupt", DBC_ON_CORRUPT_RESTART, DBC_ON_CORRUPT_FAIL,
     [](dbc_options &o, uint64_t v) { o.store.fail_on_corrupt = v == DBC_ON_CORRUPT_FAIL; }},
    {DBC_COMPRESSION, "compression", DBC_COMPRESSION_NONE, DBC_COMPRESSION_ZSTD,
     [](dbc_options &o, uint64_t v) {
       if (v != DBC_COMPRESSION_NONE && !has_zstd()) {
         refuse("compression needs zstd, which this build of libdbc lacks: leave it off, or build with libzstd");
       }
       o.store.compression = static_cast<Compression>(v);
     }},
    {DBC_FILE_MODE, "file_mode", 0, 0777,
     [](dbc_options &o, uint64_t v) { o.store.file_mode = static_cast<unsigned>(v); }},
    {DBC_WRITE_MODE, "write_mode", DBC_WRITE_THROUGH, DBC_WRITE_BEHIND,
     [](dbc_options &o, uint64_t v) { o.cache.write_behind = v == DBC_WRITE_BEHIND; }},
    {DBC_WRITE_BEHIND_ITEMS, "write_behind_items", 1, 1'000'000,
     [](dbc_options &o, uint64_t v) { o.cache.write_behind_items = v; }},
    {DBC_WRITE_BEHIND_SIZE_BYTES, "write_behind_size_bytes", 1, kMost,
     [](dbc_options &o, uint64_t v) { o.cache.write_behind_size_bytes = v; }},
};

struct Real {
  dbc_option option;
  const char *name;
  double least, most;
  bool above_least;  // the least itself is not allowed
  void (*set)(dbc_options &options, double value);
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr Real kReal[] = {
    {DBC_MEMORY_TTL_SECONDS, "memory_ttl_seconds", 0, kInfinity, true,
     [](dbc_options &o, double v) { o.cache.memory_ttl_seconds = v; }},
    {DBC_DISK_TTL_SECONDS, "disk_ttl_seconds", 0, kInfinity, true,
     [](dbc_options &o, double v) { o.cache.disk_ttl_seconds = v; }},
    {DBC_BUSY_TIMEOUT_SECONDS, "busy_timeout_seconds", 0, 86400, false,
     [](dbc_options &o, double v) { o.store.busy_timeout_seconds = v; }},
    {DBC_TOUCH_DELAY_SECONDS, "touch_delay_seconds", 0, 3600, true,
     [](dbc_options &o, double v) { o.store.touch_delay_seconds = v; }},
    {DBC_WRITE_BEHIND_DELAY_SECONDS, "write_behind_delay_seconds", 0, 3600, true,
     [](dbc_options &o, double v) { o.cache.write_behind_delay_seconds = v; }},
};

std::string number(double value) {
  if (std::isinf(value)) return "infinity";
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

template <typename Table>
const auto *find(const Table &table, dbc_option option) {
  for (const auto &row : table) {
    if (row.option == option) return &row;
  }
  return static_cast<decltype(&table[0])>(nullptr);
}

// The option is not in the table of the setter that was called.
template <typename OtherTable>
[[noreturn]] void refuse_option(const OtherTable &others, dbc_option option, const char *setter) {
  if (const auto *row = find(others, option)) refuse(std::string(row->name) + " is set with " + setter);
  refuse("unknown option " + std::to_string(static_cast<int>(option)));
}

}  // namespace
}  // namespace dbc

extern "C" {

dbc_options *dbc_options_new(void) { return new (std::nothrow) dbc_options; }

void dbc_options_free(dbc_options *options) { delete options; }

dbc_status dbc_options_set_u64(dbc_options *options, dbc_option option, uint64_t value) {
  return dbc::guarded([&] {
    dbc::require(options, "options");
    const auto *row = dbc::find(dbc::kUnsigned, option);
    if (!row) dbc::refuse_option(dbc::kReal, option, "dbc_options_set_double");
    if (value < row->least || value > row->most) {
      dbc::refuse(std::string(row->name) + " must be from " + std::to_string(row->least) + " to " +
                  std::to_string(row->most) + ", got " + std::to_string(value));
    }
    row->set(*options, value);
    return dbc::Status::kOk;
  });
}

dbc_status dbc_options_set_double(dbc_options *options, dbc_option option, double value) {
  return dbc::guarded([&] {
    dbc::require(options, "options");
    const auto *row = dbc::find(dbc::kReal, option);
    if (!row) dbc::refuse_option(dbc::kUnsigned, option, "dbc_options_set_u64");
    bool high_enough = row->above_least ? value > row->least : value >= row->least;
    if (std::isnan(value) || !high_enough || value > row->most) {
      dbc::refuse(std::string(row->name) + " must be " + (row->above_least ? "greater than " : "at least ") +
                  dbc::number(row->least) + " and at most " + dbc::number(row->most) + ", got " +
                  (std::isnan(value) ? "NaN" : dbc::number(value)));
    }
    row->set(*options, value);
    return dbc::Status::kOk;
  });
}

dbc_status dbc_options_set_log(dbc_options *options, dbc_log_callback callback, void *context,
                               dbc_finalizer finalizer) {
  dbc_status status = dbc::guarded([&] {
    dbc::require(options, "options");
    // The sink first: replacing the old one runs its finalizer.
    options->cache.log_sink = std::make_shared<dbc::LogSink>(callback, context, finalizer);
    return dbc::Status::kOk;
  });
  if (status != DBC_OK && finalizer) finalizer(context);
  return status;
}

}  // extern "C"
