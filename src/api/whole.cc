// Calls about the cache as a whole.
#include <algorithm>

#include "api/arguments.h"
#include "api/handle.h"

using dbc::Cache;
using dbc::Status;

namespace {

// The rows of dbc_stat, in its order.
struct Row {
  const char *name;
  uint64_t dbc::StatisticsSnapshot::*field;
};
constexpr Row kRows[] = {
    {"memory_hits", &dbc::StatisticsSnapshot::memory_hits},
    {"disk_hits", &dbc::StatisticsSnapshot::disk_hits},
    {"misses", &dbc::StatisticsSnapshot::misses},
    {"memory_evictions", &dbc::StatisticsSnapshot::memory_evictions},
    {"disk_evictions", &dbc::StatisticsSnapshot::disk_evictions},
    {"total_puts", &dbc::StatisticsSnapshot::total_puts},
    {"total_gets", &dbc::StatisticsSnapshot::total_gets},
    {"total_deletes", &dbc::StatisticsSnapshot::total_deletes},
    {"current_memory_items", &dbc::StatisticsSnapshot::current_memory_items},
    {"current_disk_items", &dbc::StatisticsSnapshot::current_disk_items},
    {"memory_bytes", &dbc::StatisticsSnapshot::memory_bytes},
    {"disk_bytes", &dbc::StatisticsSnapshot::disk_bytes},
    {"memory_expired", &dbc::StatisticsSnapshot::memory_expired},
    {"disk_expired", &dbc::StatisticsSnapshot::disk_expired},
    {"discarded", &dbc::StatisticsSnapshot::discarded},
};
static_assert(std::size(kRows) == DBC_STAT_COUNT);

}  // namespace

extern "C" {

dbc_status dbc_clear(dbc_cache *cache) {
  return dbc::call(cache, [](Cache &c) {
    c.clear();
    return Status::kOk;
  });
}

dbc_status dbc_clear_memory(dbc_cache *cache) {
  return dbc::call(cache, [](Cache &c) {
    c.clear_memory();
    return Status::kOk;
  });
}

dbc_status dbc_flush(dbc_cache *cache) {
  return dbc::call(cache, [](Cache &c) {
    c.flush();
    return Status::kOk;
  });
}

dbc_status dbc_purge_expired(dbc_cache *cache, const double *timestamp, uint64_t *removed) {
  if (removed) *removed = 0;
  return dbc::call(cache, [&](Cache &c) {
    dbc::check_timestamp(timestamp);
    uint64_t number = c.purge_expired(timestamp);
    if (removed) *removed = number;
    return Status::kOk;
  });
}

dbc_status dbc_count(dbc_cache *cache, uint64_t *items) {
  if (items) *items = 0;
  return dbc::call(cache, [&](Cache &c) {
    dbc::require(items, "items");
    *items = c.disk_totals().items;
    return Status::kOk;
  });
}

dbc_status dbc_total_size(dbc_cache *cache, uint64_t *bytes) {
  if (bytes) *bytes = 0;
  return dbc::call(cache, [&](Cache &c) {
    dbc::require(bytes, "bytes");
    *bytes = c.disk_totals().bytes;
    return Status::kOk;
  });
}

dbc_status dbc_stats(dbc_cache *cache, uint64_t *values, size_t capacity, size_t *count) {
  if (count) *count = 0;
  return dbc::call(cache, [&](Cache &c) {
    if (capacity > 0) dbc::require(values, "values");
    dbc::StatisticsSnapshot snapshot = c.statistics();
    for (size_t i = 0; i < std::min(capacity, std::size(kRows)); ++i) values[i] = snapshot.*kRows[i].field;
    if (count) *count = std::size(kRows);
    return Status::kOk;
  });
}

const char *dbc_stat_name(size_t index) { return index < std::size(kRows) ? kRows[index].name : nullptr; }

dbc_status dbc_dropped(dbc_cache *cache, uint64_t *versions, size_t capacity, size_t *count, int *overflowed) {
  if (count) *count = 0;
  if (overflowed) *overflowed = 0;
  return dbc::call(cache, [&](Cache &c) {
    dbc::require(count, "count");
    if (capacity > 0) dbc::require(versions, "versions");
    bool lost = false;
    *count = c.take_dropped(versions, capacity, &lost);
    if (overflowed) *overflowed = lost;
    return Status::kOk;
  });
}

}  // extern "C"
