// Calls about one item.
#include <cstring>
#include <optional>
#include <utility>

#include "api/arguments.h"
#include "api/handle.h"

using dbc::Cache;
using dbc::ItemRef;
using dbc::Key;
using dbc::Status;

namespace {

// Memory first, where the look itself is the pass. Only who has to go further enters the session's gate.
Status get(dbc_cache *cache, const Key &key, uint64_t held_version, const double *timestamp, ItemRef *item) {
  dbc::check_timestamp(timestamp);
  Cache::Glance glance;
  if (dbc::Session *session = cache->present_session()) {
    Status status = session->cache.get_from_memory(key, held_version, timestamp, &glance, item);
    if (status == Status::kOk || status == Status::kUnchanged) [[likely]]
      return status;
  }
  return dbc::in_session(cache, [&](Cache &c) { return c.get(key, held_version, timestamp, glance, item); });
}

}  // namespace

extern "C" {

dbc_status dbc_put(dbc_cache *cache, const char *key, size_t key_size, const void *value, size_t value_size,
                   unsigned flags, const double *timestamp, uint64_t *version) {
  if (version) *version = 0;
  return dbc::call(cache, [&](Cache &c) {
    dbc::check_flags(flags);
    Cache::NewItem item{dbc::check_key(key, key_size), dbc::check_value(value, value_size, c.max_disk_size_bytes())};
    dbc::check_timestamp(timestamp);
    uint64_t written = 0;
    c.put(item, (flags & DBC_TEXT) != 0, timestamp, &written);
    if (version) *version = written;
    return Status::kOk;
  });
}

dbc_status dbc_get_changed(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version,
                           const double *timestamp, dbc_value **value) {
  if (value) *value = nullptr;
  return dbc::guarded([&] {
    dbc::require_handle(cache);
    dbc::require(value, "value");
    ItemRef item;
    Status status = get(cache, dbc::check_key(key, key_size), held_version, timestamp, &item);
    *value = dbc::to_value(std::move(item));
    return status;
  });
}

dbc_status dbc_get_from_memory(dbc_cache *cache, const char *key, size_t key_size, uint64_t held_version,
                               const double *timestamp, dbc_value **value) {
  if (value) *value = nullptr;
  return dbc::guarded([&] {
    dbc::require_handle(cache);
    dbc::require(value, "value");
    Key checked = dbc::check_key(key, key_size);
    dbc::check_timestamp(timestamp);
    dbc::Session *session = cache->present_session();
    if (!session) return Status::kNotFound;
    Cache::Glance glance;
    ItemRef item;
    Status status = session->cache.get_from_memory(checked, held_version, timestamp, &glance, &item);
    if (status == Status::kClosed) {
      if (session->gate.closed() && cache->is_present(*session)) dbc::refuse_closed();
      return Status::kNotFound;  // replaced, or about to be closed: the whole get will tell
    }
    *value = dbc::to_value(std::move(item));
    return status;
  });
}

dbc_status dbc_get(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp, dbc_value **value) {
  return dbc_get_changed(cache, key, key_size, 0, timestamp, value);
}

dbc_status dbc_get_into(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp, void *buffer,
                        size_t capacity, size_t *size, uint64_t *version) {
  if (size) *size = 0;
  if (version) *version = 0;
  return dbc::guarded([&] {
    dbc::require_handle(cache);
    dbc::require(size, "size");
    if (capacity > 0) dbc::require(buffer, "buffer");
    ItemRef item;
    Status status = get(cache, dbc::check_key(key, key_size), 0, timestamp, &item);
    if (status != Status::kOk) return status;
    std::string_view bytes = item->value();
    *size = bytes.size();
    if (version) *version = item->version();
    if (bytes.size() > capacity) {
      dbc::fail(Status::kBufferTooSmall, "buffer of " + std::to_string(capacity) +
                                             " bytes is too small for a value of " + std::to_string(bytes.size()) +
                                             " bytes");
      return Status::kBufferTooSmall;
    }
    if (!bytes.empty()) std::memcpy(buffer, bytes.data(), bytes.size());
    return Status::kOk;
  });
}

dbc_status dbc_delete(dbc_cache *cache, const char *key, size_t key_size) {
  return dbc::call(cache,
                   [&](Cache &c) { return c.remove(dbc::check_key(key, key_size)) ? Status::kOk : Status::kNotFound; });
}

dbc_status dbc_discard(dbc_cache *cache, const char *key, size_t key_size, uint64_t version, int was_memory_hit) {
  std::optional<dbc::Tier> tier_of_hit;
  // If the session that has answered the get is to be replaced, the fresh one does not know of that get.
  if (dbc::is_handle(cache) && cache->present_session()) {
    tier_of_hit = was_memory_hit != 0 ? dbc::Tier::kMemory : dbc::Tier::kDisk;
  }
  return dbc::call(cache, [&](Cache &c) {
    if (version == 0) dbc::refuse("version must not be 0");
    Key checked = dbc::check_key(key, key_size);
    // Nor does one that has to do it again.
    c.discard(checked, version, std::exchange(tier_of_hit, std::nullopt));
    return Status::kOk;
  });
}

dbc_status dbc_exists(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp) {
  return dbc::call(cache, [&](Cache &c) {
    Key checked = dbc::check_key(key, key_size);
    dbc::check_timestamp(timestamp);
    return c.exists(checked, timestamp) ? Status::kOk : Status::kNotFound;
  });
}

dbc_status dbc_get_tier(dbc_cache *cache, const char *key, size_t key_size, const double *timestamp, int *tier) {
  if (tier) *tier = DBC_TIER_NONE;
  return dbc::call(cache, [&](Cache &c) {
    dbc::require(tier, "tier");
    Key checked = dbc::check_key(key, key_size);
    dbc::check_timestamp(timestamp);
    *tier = static_cast<int>(c.tier(checked, timestamp));
    return Status::kOk;
  });
}

}  // extern "C"
