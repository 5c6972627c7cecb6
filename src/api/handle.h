// What the opaque handles of dbc.h are, and how a call gets from a handle to the cache behind it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "api/guard.h"
#include "base/fork.h"
#include "base/gate.h"
#include "cache/cache.h"
#include "disk/sqlite_store.h"

namespace dbc {

// The cache of one process. A forked child abandons its parent's, with its locks and connections, and makes one of its own.
struct Session {
  Session(const CacheOptions &cache_options, const StoreOptions &store_options);

  const uint64_t fork_count;
  Gate gate;  // whoever is inside a call
  Cache cache;
};

}  // namespace dbc

struct dbc_options {
  dbc::CacheOptions cache;
  dbc::StoreOptions store;
};

struct dbc_cache {
  static constexpr uint64_t kAlive = 0x6462635f6f70656eull;

  dbc_cache(const dbc::CacheOptions &cache_options, const dbc::StoreOptions &store_options);
  ~dbc_cache();

  // This process's session, made anew after a fork.
  dbc::Session &session() {
    dbc::Session *present = session_.load(std::memory_order_acquire);
    return present->fork_count == dbc::fork_count() ? *present : session_of_child();
  }
  void close();

  std::atomic<uint64_t> magic{kAlive};  // tells a handle from memory that is none, as far as that can be told

 private:
  dbc::Session &session_of_child();

  const dbc::CacheOptions cache_options_;
  const dbc::StoreOptions store_options_;
  std::atomic<bool> closed_{false};
  std::atomic<dbc::Session *> session_;
};

struct dbc_result {
  std::vector<int32_t> statuses;
  std::vector<int32_t> tiers;
  std::vector<const void *> data;
  std::vector<size_t> sizes;
  std::vector<uint64_t> versions;
  std::vector<double> timestamps;
  std::vector<dbc::ItemRef> items;
};

namespace dbc {

inline dbc_value *to_value(ItemRef item) { return reinterpret_cast<dbc_value *>(item.detach()); }
inline Item *to_item(dbc_value *value) { return reinterpret_cast<Item *>(value); }
inline const Item *to_item(const dbc_value *value) { return reinterpret_cast<const Item *>(value); }

inline void require_handle(const dbc_cache *cache) {
  require(cache, "cache");
  if (cache->magic.load(std::memory_order_relaxed) != dbc_cache::kAlive) refuse("cache is not an open handle");
}

// Runs body(Cache &), which returns a Status, while the cache cannot be closed.
template <typename Body>
dbc_status call(dbc_cache *cache, Body &&body) noexcept {
  return guarded([&] {
    require_handle(cache);
    Session &session = cache->session();
    Gate::Pass pass(session.gate);
    if (!pass.admitted()) throw Error(Status::kClosed, "the cache is closed");
    return body(session.cache);
  });
}

}  // namespace dbc
