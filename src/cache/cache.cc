// The cache as a whole: opening, closing, clearing, counting.
#include "cache/cache.h"

#include <new>
#include <utility>

#include "base/clock.h"

namespace dbc {
namespace {

// How many items one transaction takes out at the most, where there may be a million: it lasts some milliseconds, and
// then other writers have their turn.
constexpr size_t kAtOnce = 1000;

}  // namespace

Cache::Cache(const CacheOptions &options, const OpenStore &open_store)
    : options_(options),
      logger_(options.log_sink, options.log_level),
      dropped_(!options.memory_values),
      memory_(options.max_memory_items, options.max_memory_size_bytes) {
  LogScope log(logger_);
  store_ = open_store(logger_, log);
  try {
    enforce_on_open(log);
  } catch (const Error &error) {
    report_if_damage(error);
    throw;
  }
  if (options_.write_behind && store_->can_reserve()) {
    buffer_ = std::make_unique<WriteBuffer>(options_.write_behind_items, options_.write_behind_size_bytes);
    auto commit = [this] {
      try {
        commit_buffer();
        return true;
      } catch (const std::exception &error) {
        report_if_damage(error);
        // It never will: another file has taken this one's place, and this cache waits to be closed.
        if (store_->outdated()) {
          logger_.defer(kWarning,
                        "puts that waited are lost with their file, whose place another has taken: ", error.what());
          return true;
        }
        logger_.defer(kWarning, "puts could not be committed yet: ", error.what());
        return false;
      }
    };
    std::chrono::duration<double> delay(options_.write_behind_delay_seconds);
    buffer_thread_ = std::make_unique<Maintenance>(commit, delay);
  } else if (options_.write_behind) {
    log.add(kWarning, [] { return "write-behind needs the file that processes share; puts are written through"; });
  }
  log.postpone();
}

void Cache::report_if_damage(const std::exception &error) noexcept {
  auto *known = dynamic_cast<const Error *>(&error);
  if (known && known->status() == Status::kCorrupt) store_->report_damage();
}

void Cache::enforce_on_open(LogScope &log) {
  // Lower limits than the file has been used with may cost a million evictions.
  uint64_t discarded = 0;
  for (bool all = false; !all;) {
    std::unique_ptr<Transaction> transaction = store_->begin();
    std::vector<DiskEviction> evicted;
    uint64_t others = transaction->erase_other_schemas();
    all = evict_from_disk(*transaction, &evicted, kAtOnce);
    if (others + evicted.size() == 0) break;
    transaction->commit([] {});
    discarded += others;
    statistics_.add(Counter::kDiscarded, static_cast<int64_t>(others));
    statistics_.add(Counter::kDiskEvictions, static_cast<int64_t>(evicted.size()));
    tell_disk_evictions(evicted, log);
  }
  if (discarded > 0) {
    log.add(kInfo, [&] { return "open: removed " + std::to_string(discarded) + " items of another schema version"; });
  }
}

void Cache::close() {
  LogScope log(logger_);
  log.add(kTrace, [] { return "close()"; });
  close_memory();
  memory_.wait_for_readers();
  std::exception_ptr error;
  if (buffer_) {
    buffer_thread_->stop();
    try {
      commit_buffer();
    } catch (const std::exception &failure) {
      error = std::current_exception();
      log.add(kWarning, [&] {
        return std::to_string(buffer_->size()) +
               " puts that waited could not be committed and are lost: " + failure.what();
      });
    }
  }
  forget_memory();
  store_->close(log);
  if (error) std::rethrow_exception(error);
}

void Cache::clear() {
  LogScope log(logger_);
  log.add(kTrace, [] { return "clear()"; });
  commit_buffer();
  std::vector<ItemRef> left;
  std::unique_ptr<Transaction> transaction = store_->begin();
  uint64_t items = transaction->totals().items;
  transaction->clear();
  transaction->commit([&] {
    try {
      memory_.clear(&left);
    } catch (const std::bad_alloc &) {
      logger_.defer(kWarning, "memory is short: the memory tier keeps items unused");
    }
  });
  for (const ItemRef &item : left) left_memory(item);
  log.add(kTrace, [&] { return "clear(): removed " + std::to_string(items) + " items"; });
}

void Cache::clear_memory() {
  LogScope log(logger_);
  log.add(kTrace, [] { return "clear_memory()"; });
  std::vector<ItemRef> left;
  memory_.clear(&left);
  for (const ItemRef &item : left) left_memory(item);
  log.add(kTrace, [&] { return "clear_memory(): removed " + std::to_string(left.size()) + " items"; });
}

void Cache::forget_memory() noexcept {
  try {
    std::vector<ItemRef> left;
    memory_.clear(&left);
  } catch (const std::bad_alloc &) {
    // It stays until this cache is closed.
  }
}

void Cache::flush() {
  LogScope log(logger_);
  log.add(kTrace, [] { return "flush()"; });
  commit_buffer();
  store_->flush();
  log.add(kTrace, [] { return "flush(): done"; });
}

uint64_t Cache::purge_expired(const double *timestamp) {
  LogScope log(logger_);
  log.add(kTrace, [] { return "purge_expired()"; });
  double time = timestamp ? *timestamp : now();
  commit_buffer();
  uint64_t count = 0;
  Progress progress;
  bool all = false;
  for (bool first = true; !all; first = false) {
    std::vector<Removed> removed;
    std::vector<ItemRef> left, cascaded;
    std::unique_ptr<Transaction> transaction = store_->begin();
    all = transaction->erase_expired(time, options_.disk_ttl_seconds, kAtOnce, &progress, &removed);
    std::vector<Key> keys = keys_of(removed);
    cascaded.reserve(removed.size());
    auto publish = [&] {
      try {
        // Those past the memory TTL first: the cascade from disk would hide them.
        if (first) memory_.erase_if([&](double touched) { return memory_expired(time, touched); }, &left);
      } catch (const std::bad_alloc &) {
        logger_.defer(kWarning, "memory is short: expired items stay in the memory tier until they are asked for");
      }
      erase_from_memory(keys, &cascaded);
    };
    if (removed.empty()) {
      publish();
    } else {
      transaction->commit(publish);
    }
    for (const ItemRef &item : left) left_memory(item);
    statistics_.add(Counter::kMemoryExpired, static_cast<int64_t>(left.size()));
    for (const ItemRef &item : cascaded) left_memory(item);
    statistics_.add(Counter::kDiskExpired, static_cast<int64_t>(removed.size()));
    count += removed.size();
  }
  log.add(kTrace, [&] { return "purge_expired(): removed " + std::to_string(count) + " items"; });
  return count;
}

Totals Cache::disk_totals() {
  commit_buffer();
  return store_->totals();
}

StatisticsSnapshot Cache::statistics() {
  StatisticsSnapshot s{};
  Totals disk = disk_totals();
  memory_.totals(&s.current_memory_items, &s.memory_bytes);
  s.current_disk_items = disk.items;
  s.disk_bytes = disk.bytes;
  s.memory_hits = statistics_.sum(Counter::kMemoryHits, memory_.hits());
  s.disk_hits = statistics_.sum(Counter::kDiskHits);
  s.misses = statistics_.sum(Counter::kMisses);
  s.memory_evictions = statistics_.sum(Counter::kMemoryEvictions);
  s.disk_evictions = statistics_.sum(Counter::kDiskEvictions);
  s.total_puts = statistics_.sum(Counter::kPuts);
  s.total_gets = s.memory_hits + s.disk_hits + s.misses;
  s.total_deletes = statistics_.sum(Counter::kDeletes);
  s.memory_expired = statistics_.sum(Counter::kMemoryExpired);
  s.disk_expired = statistics_.sum(Counter::kDiskExpired);
  s.discarded = statistics_.sum(Counter::kDiscarded);
  return s;
}

size_t Cache::take_dropped(uint64_t *versions, size_t capacity, bool *overflowed) {
  return dropped_.take(versions, capacity, overflowed, [this](const Item &item) {
    ItemRef present = memory_.find(item.as_key());
    return present && present->version() == item.version();
  });
}

std::vector<Key> Cache::keys_of(const std::vector<Removed> &removed) {
  std::vector<Key> keys;
  keys.reserve(removed.size());
  for (const Removed &item : removed) keys.emplace_back(item.key, item.hash);
  return keys;
}

std::vector<Key> Cache::keys_of(const std::vector<DiskEviction> &evicted) {
  std::vector<Key> keys;
  keys.reserve(evicted.size());
  for (const DiskEviction &eviction : evicted) keys.emplace_back(eviction.item.key, eviction.item.hash);
  return keys;
}

// After a commit, so it does not throw: where memory is too short to take an item out, the item stays with its old
// generation, under which it answers nothing before the disk has confirmed it.
void Cache::erase_from_memory(std::span<const Key> keys, std::vector<ItemRef> *left) noexcept {
  for (const Key &key : keys) {
    try {
      if (ItemRef erased = memory_.erase(key)) left->push_back(std::move(erased));
    } catch (const std::bad_alloc &) {
      logger_.defer(kWarning, "memory is short: an item stays in the memory tier unused");
    }
  }
}

void Cache::erase_version_from_memory(const Key &key, uint64_t version, std::vector<ItemRef> *left) noexcept {
  try {
    if (ItemRef erased = memory_.erase(key, version)) left->push_back(std::move(erased));
  } catch (const std::bad_alloc &) {
    logger_.defer(kWarning, "memory is short: an item stays in the memory tier unused");
  }
}

void Cache::left_memory(const ItemRef &item) {
  store_->left_memory(*item);
  dropped_.add(item);
}

void Cache::count_memory_evictions(const std::vector<MemoryTier::Eviction> &evictions, LogScope &log) {
  for (const MemoryTier::Eviction &eviction : evictions) {
    statistics_.add(Counter::kMemoryEvictions);
    left_memory(eviction.item);
    log.add(kTrace, [&] {
      return std::string("evicting from memory (") + (eviction.limit == Limit::kCount ? "count" : "size") +
             "): key=" + quoted(eviction.item->key());
    });
  }
}

}  // namespace dbc
