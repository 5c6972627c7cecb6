// Opening, closing and what a fork makes of a handle.
#include <cstring>
#include <memory>
#include <optional>
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
      log_level_(cache_options.log_level),
      session_(open_session().release()) {}

dbc_cache::~dbc_cache() {
  // A parent's session is not touched in a child, not even to free it: its locks may be held by threads that are not
  // here.
  for (auto &session : replaced_) {
    if (!session->of_this_process()) session.release();
  }
  dbc::Session *session = session_.load();
  if (session->of_this_process()) delete session;
}

std::unique_ptr<dbc::Session> dbc_cache::open_session() const {
  dbc::CacheOptions cache_options = cache_options_;
  cache_options.log_level = log_level_.load();
  for (bool damaged = false;;) {
    try {
      return std::make_unique<dbc::Session>(cache_options, store_options_);
    } catch (const dbc::ReplacedError &) {
      // While it was opened: so is the other one.
    } catch (const dbc::Error &error) {
      if (error.status() != dbc::Status::kCorrupt || store_options_.fail_on_corrupt || damaged) throw;
      // The damage showed only when the file was put to use. It is noted, and this time the file is moved aside.
      damaged = true;
    }
  }
}

// Several threads may come here at the same time; the first wins, and the sessions of the others end as they came. No
// lock is held meanwhile, since opening may wait.
dbc::Session *dbc_cache::replace_session() {
  dbc::take_down_inherited();
  dbc::Session *present = session_.load();
  while (present->outdated()) {
    if (closed_.load()) throw dbc::Error(dbc::Status::kClosed, "the cache is closed");
    std::unique_ptr<dbc::Session> fresh = open_session();
    fresh->cache.drop_all_objects();
    std::optional<dbc::NoFork> no_fork(std::in_place);  // no child shall inherit the mutex locked
    std::unique_lock lock(replaced_mutex_);
    if (present->of_this_process()) replaced_.reserve(replaced_.size() + 1);
    dbc::Session *old = present;
    if (!session_.compare_exchange_strong(present, fresh.get())) {
      lock.unlock();
      no_fork.reset();
      try {
        fresh->cache.close();
      } catch (const dbc::Error &) {
        // It held nothing yet, and the call goes on with the session of the one who was first.
      }
      continue;
    }
    present = fresh.release();
    present->cache.set_log_level(log_level_.load());  // set meanwhile, perhaps, on the old session alone
    if (old->of_this_process()) replaced_.emplace_back(old);
    lock.unlock();
    no_fork.reset();
    if (old->of_this_process()) {
      old->cache.forget_memory();
      close_if_left(*old);
    }
    // Meanwhile, and close() did not see this session. It alone: the others are close()'s, which may be waiting for the
    // call that this thread is inside of, if this is a log callback.
    if (closed_.load()) close_session(*present);
  }
  return present;
}

void dbc_cache::set_log_level(int level) {
  if (closed_.load()) dbc::refuse_closed();
  log_level_.store(level);
  dbc::Session *present = session_.load();
  if (present->of_this_process()) present->cache.set_log_level(level);
}

void dbc_cache::close_session(dbc::Session &session) {
  if (!session.of_this_process()) return;
  session.shut();
  if (!session.end.claim()) return session.end.wait();
  session.end.run([&] {
    session.gate.wait_until_empty();
    session.cache.close();
  });
}

// Its file was damaged, moved or removed, and takes up room for as long as it is open. If calls are inside (one of them
// may be this thread's, which came here from a log callback), the last of them to leave does it.
void dbc_cache::close_if_left(dbc::Session &session) {
  if (!session.of_this_process()) return;  // the callback has forked
  session.shut();
  if (!session.gate.empty() || !session.end.claim()) return;
  try {
    session.end.run([&] { session.cache.close(); });
  } catch (const std::exception &) {
    // What it still lacked is lost with its file.
  }
}

void dbc_cache::close() {
  closed_.store(true);
  dbc::take_down_inherited();
  // Closing waits for calls and tells the log, so not under the mutex.
  dbc::Session *present = nullptr;
  for (size_t i = 0; dbc::Session *session = replaced_session(i, &present); ++i) {
    try {
      close_session(*session);
    } catch (const dbc::Error &) {
      // The file is damaged: that is why it was replaced. What it still lacked is lost with it.
    }
  }
  close_session(*present);
}

// Null after the last one, and then the one that is present at that moment.
dbc::Session *dbc_cache::replaced_session(size_t index, dbc::Session **present) {
  dbc::NoFork no_fork;  // no child shall inherit the mutex locked
  std::lock_guard lock(replaced_mutex_);
  if (index < replaced_.size()) return replaced_[index].get();
  if (present) *present = session_.load();
  return nullptr;
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
    auto opened = std::make_unique<dbc_cache>(options->cache, store);
    opened->session().cache.deliver_log();
    *cache = opened.release();
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
  return dbc::guarded([&] {
    dbc::require_handle(cache);
    if (level < 0 || level > DBC_LOG_OFF) {
      dbc::refuse("log_level must be from 0 to " + std::to_string(DBC_LOG_OFF) + ", got " + std::to_string(level));
    }
    cache->set_log_level(level);
    return dbc::Status::kOk;
  });
}

}  // extern "C"
