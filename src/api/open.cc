// Opening, closing and what a fork makes of a handle.
#include <cstring>
#include <memory>
#include <string>

#include "api/handle.h"
#include "base/utf8.h"

namespace dbc {
namespace {

constexpr size_t kMaxSchemaVersionBytes = 64;

void check_schema_version(const char *schema_version) {
  require(schema_version, "schema_version");
  size_t size = strnlen(schema_version, kMaxSchemaVersionBytes + 1);
  if (size == 0) refuse("schema_version cannot be empty");
  if (size > kMaxSchemaVersionBytes) refuse("schema_version exceeds maximum of 64 bytes");
  if (count_code_points({schema_version, size}) == kInvalidUtf8) refuse("schema_version is not valid UTF-8");
}

void check_path(const char *path) {
  require(path, "db_path");
  if (*path == '\0') refuse("db_path cannot be empty");
  if (count_code_points(path) == kInvalidUtf8) refuse("db_path is not valid UTF-8");
}

}  // namespace

Session::Session(const CacheOptions &cache_options, const StoreOptions &store_options)
    : fork_count(dbc::fork_count()), cache(cache_options, [&](Logger &logger, LogScope &log) {
        return std::make_unique<SqliteStore>(store_options, logger, log);
      }) {}

}  // namespace dbc

dbc_cache::dbc_cache(const dbc::CacheOptions &cache_options, const dbc::StoreOptions &store_options)
    : cache_options_(cache_options),
      store_options_(store_options),
      session_(new dbc::Session(cache_options, store_options)) {}

dbc_cache::~dbc_cache() {
  dbc::Session *session = session_.load();
  // A parent's session is not touched in a child, not even to free it: its locks may be held by threads that are not here.
  if (session->fork_count == dbc::fork_count()) delete session;
}

// The parent's session is abandoned, not destroyed: its locks may be held by threads that are not here. Threads of the child
// may come here at the same time; the first wins, and the sessions of the others end as they came. No lock is held, since
// opening may wait, and tells the log.
dbc::Session &dbc_cache::session_of_child() {
  dbc::take_down_inherited();
  dbc::Session *of_parent = session_.load();
  while (of_parent->fork_count != dbc::fork_count()) {
    if (closed_.load()) throw dbc::Error(dbc::Status::kClosed, "the cache is closed");
    auto fresh = std::make_unique<dbc::Session>(cache_options_, store_options_);
    fresh->cache.drop_all_objects();
    if (session_.compare_exchange_strong(of_parent, fresh.get())) {
      of_parent = fresh.release();
      if (closed_.load()) close();  // meanwhile, and it did not see this session
    } else {
      fresh->cache.close();
    }
  }
  return *of_parent;
}

void dbc_cache::close() {
  closed_.store(true);
  dbc::take_down_inherited();
  dbc::Session *session = session_.load();
  if (session->fork_count != dbc::fork_count()) return;  // nothing of this process is open
  if (!session->gate.close()) return;
  session->gate.wait_until_empty();
  session->cache.close();
}

extern "C" {

dbc_status dbc_open(const char *path, const char *schema_version, const dbc_options *options, dbc_cache **cache) {
  if (cache) *cache = nullptr;
  return dbc::guarded([&] {
    dbc::require(cache, "cache");
    dbc::check_path(path);
    dbc::check_schema_version(schema_version);
    dbc_options defaults;
    if (!options) options = &defaults;
    dbc::StoreOptions store = options->store;
    // Now, while relative means what the caller means: a fork may have to open it again later.
    store.path = dbc::canonical_path(path);
    store.schema_version = schema_version;
    *cache = new dbc_cache(options->cache, store);
    (*cache)->session().cache.deliver_log();
    return dbc::Status::kOk;
  });
}

dbc_status dbc_close(dbc_cache *cache) {
  return dbc::guarded([&] {
    dbc::require_handle(cache);
    cache->close();
    return dbc::Status::kOk;
  });
}

void dbc_free(dbc_cache *cache) {
  if (!cache) return;
  dbc::guarded([&] {
    dbc::require_handle(cache);
    try {
      cache->close();
    } catch (const std::exception &) {
      // Access times that could not be written: who wants to know calls dbc_close first.
    }
    cache->magic.store(0);
    delete cache;
    return dbc::Status::kOk;
  });
}

dbc_status dbc_set_log_level(dbc_cache *cache, int level) {
  return dbc::call(cache, [&](dbc::Cache &c) {
    if (level < 0 || level > DBC_LOG_OFF) {
      dbc::refuse("log_level must be from 0 to " + std::to_string(DBC_LOG_OFF) + ", got " + std::to_string(level));
    }
    c.set_log_level(level);
    return dbc::Status::kOk;
  });
}

}  // extern "C"
