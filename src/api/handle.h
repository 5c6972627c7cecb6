// What the opaque handles of dbc.h are, and how a call gets from a handle to the cache behind it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "api/ending.h"
#include "api/guard.h"
#include "base/fork.h"
#include "base/gate.h"
#include "cache/cache.h"
#include "disk/sqlite_store.h"

namespace dbc {

// The cache of one process, on one file. Another takes its place in a forked child, which abandons its parent's, with
// its locks, and when the file was found damaged and a fresh one has to be started.
struct Session {
  Session(const CacheOptions &cache_options, const StoreOptions &store_options);

  bool of_this_process() const { return fork_count == dbc::fork_count(); }
  bool outdated() const { return !of_this_process() || cache.outdated(); }

  // Lets no call in any more; those that are inside go on. Memory first: whom that refuses asks the gate, so nobody is
  // let in anywhere after having been refused.
  void shut() {
    cache.close_memory();
    gate.close();
  }

  const uint64_t fork_count;
  Gate gate;  // whoever is inside a call
  Ending end;
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

  dbc::Session &session() {
    dbc::Session *present = present_session();
    return present ? *present : *replace_session();
  }
  // Null when another has to take its place first, which may take long.
  dbc::Session *present_session() const {
    dbc::Session *present = session_.load(std::memory_order_acquire);
    return present->outdated() ? nullptr : present;
  }
  bool is_present(const dbc::Session &session) const { return session_.load() == &session; }
  // Closes a replaced session, unless calls are inside of it, or another closes it already.
  static void close_if_left(dbc::Session &session);
  void close();
  // For the session that is there, if it is of this process, and for those that take its place. Opens nothing.
  void set_log_level(int level);

  std::atomic<uint64_t> magic{kAlive};  // tells a handle from memory that is none, as far as that can be told

 private:
  std::unique_ptr<dbc::Session> open_session() const;
  dbc::Session *replace_session();
  dbc::Session *replaced_session(size_t index, dbc::Session **present = nullptr);
  static void close_session(dbc::Session &session);

  const dbc::CacheOptions cache_options_;
  const dbc::StoreOptions store_options_;
  std::atomic<int> log_level_;  // instead of the one in cache_options_
  std::atomic<bool> closed_{false};
  std::atomic<dbc::Session *> session_;
  // Sessions of this process that were replaced. Calls may be inside of them still, or just about to find that they are
  // not let in any more, so they go with the handle.
  std::mutex replaced_mutex_;
  std::vector<std::unique_ptr<dbc::Session>> replaced_;
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

inline bool is_handle(const dbc_cache *cache) {
  return cache && cache->magic.load(std::memory_order_relaxed) == dbc_cache::kAlive;
}
inline void require_handle(const dbc_cache *cache) {
  require(cache, "cache");
  if (!is_handle(cache)) refuse("cache is not an open handle");
}

[[noreturn]] inline void refuse_closed() { throw Error(Status::kClosed, "the cache is closed"); }

// A call that is inside of a session, if it was let in. The last to leave one that was replaced meanwhile closes it.
class Visit {
 public:
  Visit(dbc_cache &cache, Session &session) : after_{cache, session}, pass_(session.gate) {}
  bool admitted() const { return pass_.admitted(); }

 private:
  struct After {
    dbc_cache &cache;
    Session &session;
    ~After() {
      if (session.gate.closed() && !cache.is_present(session)) [[unlikely]] dbc_cache::close_if_left(session);
    }
  };
  After after_;  // runs when the pass is given back
  Gate::Pass pass_;
};

// Runs body(Cache &), which returns a Status, while the cache cannot be closed. When the file turns out to be damaged,
// or is replaced, it runs again.
template <typename Body>
Status in_session(dbc_cache *cache, Body &&body) {
  for (int damaged = 0;;) {
    Session &session = cache->session();
    Visit visit(*cache, session);
    if (!visit.admitted()) {
      if (cache->is_present(session)) refuse_closed();
      continue;  // replaced meanwhile
    }
    try {
      return body(session.cache);
    } catch (const ReplacedError &) {
      if (!session.outdated()) throw;
    } catch (const Error &error) {
      if (error.status() != Status::kCorrupt) throw;
      session.cache.report_damage();
      // Once more, on the fresh file that the next session starts. It takes the damaged one for another if the damage
      // has also changed which cache that says it is; but then its own report of it holds.
      if (++damaged > 2 || !session.outdated()) throw;
    }
  }
}

// The same for all that a function of dbc.h does with a cache.
template <typename Body>
dbc_status call(dbc_cache *cache, Body &&body) noexcept {
  return guarded([&] {
    require_handle(cache);
    return in_session(cache, body);
  });
}

}  // namespace dbc
