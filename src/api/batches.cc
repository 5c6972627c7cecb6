// Calls about many items, packed.
#include <algorithm>
#include <memory>
#include <vector>

#include "api/arguments.h"
#include "api/handle.h"

using dbc::Cache;
using dbc::Key;
using dbc::Status;

namespace {

std::vector<Cache::NewItem> check_items(const Cache &cache, size_t count, const char *keys, const size_t *key_sizes,
                                        const void *values, const size_t *value_sizes) {
  std::vector<Key> checked = dbc::check_keys(count, keys, key_sizes);
  std::vector<Cache::NewItem> items;
  if (count == 0) return items;
  dbc::require(value_sizes, "value_sizes");
  items.reserve(count);
  const char *at = static_cast<const char *>(values);
  for (size_t i = 0; i < count; ++i) {
    try {
      items.push_back({checked[i], dbc::check_value(at, value_sizes[i], cache.max_disk_size_bytes())});
    } catch (const dbc::Error &error) {
      dbc::refuse_item(i, error);
    }
    if (at) at += value_sizes[i];
  }
  return items;
}

// With room for all, so that filling it cannot fail: by then the call may have removed what had expired.
std::unique_ptr<dbc_result> make_result(size_t count) {
  auto result = std::make_unique<dbc_result>();
  result->statuses.resize(count);
  result->tiers.resize(count);
  result->data.resize(count);
  result->sizes.resize(count);
  result->versions.resize(count);
  result->timestamps.resize(count);
  result->items.reserve(count);
  return result;
}

void fill_result(dbc_result *result, std::vector<Cache::Found> answers) noexcept {
  for (size_t i = 0; i < answers.size(); ++i) {
    Cache::Found &found = answers[i];
    result->statuses[i] = static_cast<int32_t>(found.status);
    result->tiers[i] = static_cast<int32_t>(found.tier);
    result->versions[i] = found.version;
    result->timestamps[i] = found.timestamp;
    if (!found.item) continue;
    result->data[i] = found.item->value().data();
    result->sizes[i] = found.item->value().size();
    result->items.push_back(std::move(found.item));
  }
}

}  // namespace

extern "C" {

dbc_status dbc_put_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes, const void *values,
                        const size_t *value_sizes, unsigned flags, const double *timestamp, uint64_t *versions) {
  if (versions) std::fill_n(versions, count, 0);
  return dbc::call(cache, [&](Cache &c) {
    dbc::check_flags(flags);
    std::vector<Cache::NewItem> items = check_items(c, count, keys, key_sizes, values, value_sizes);
    dbc::check_timestamp(timestamp);
    std::vector<uint64_t> unasked;
    if (!versions) unasked.resize(count);
    c.put_many(items, (flags & DBC_TEXT) != 0, timestamp, versions ? versions : unasked.data());
    return Status::kOk;
  });
}

dbc_status dbc_get_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                        const uint64_t *held_versions, const double *timestamp, dbc_result **result) {
  if (result) *result = nullptr;
  return dbc::call(cache, [&](Cache &c) {
    dbc::require(result, "result");
    std::vector<Key> checked = dbc::check_keys(count, keys, key_sizes);
    dbc::check_timestamp(timestamp);
    std::unique_ptr<dbc_result> made = make_result(count);
    fill_result(made.get(), c.get_many(checked, held_versions, timestamp));
    *result = made.release();
    return Status::kOk;
  });
}

dbc_status dbc_delete_many(dbc_cache *cache, size_t count, const char *keys, const size_t *key_sizes,
                           uint64_t *removed) {
  if (removed) *removed = 0;
  return dbc::call(cache, [&](Cache &c) {
    uint64_t number = c.remove_many(dbc::check_keys(count, keys, key_sizes));
    if (removed) *removed = number;
    return Status::kOk;
  });
}

size_t dbc_result_count(const dbc_result *result) { return result ? result->statuses.size() : 0; }
const int32_t *dbc_result_statuses(const dbc_result *result) { return result ? result->statuses.data() : nullptr; }
const int32_t *dbc_result_tiers(const dbc_result *result) { return result ? result->tiers.data() : nullptr; }
const void *const *dbc_result_data(const dbc_result *result) { return result ? result->data.data() : nullptr; }
const size_t *dbc_result_sizes(const dbc_result *result) { return result ? result->sizes.data() : nullptr; }
const uint64_t *dbc_result_versions(const dbc_result *result) { return result ? result->versions.data() : nullptr; }
const double *dbc_result_timestamps(const dbc_result *result) { return result ? result->timestamps.data() : nullptr; }
void dbc_result_free(dbc_result *result) { delete result; }

}  // extern "C"
