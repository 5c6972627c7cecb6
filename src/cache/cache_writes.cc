// What changes items on purpose: put and delete. Disk first, in one transaction; memory after the commit.
#include <algorithm>
#include <new>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/clock.h"
#include "cache/cache.h"

namespace dbc {

void Cache::put(const NewItem &item, bool text, const double *timestamp, uint64_t *version) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "put(key=" + quoted(item.key.text) + ")"; });
  store_items(std::span(&item, 1), text, timestamp, version, log);
  log.add(kTrace, [&] {
    return "put(key=" + quoted(item.key.text) + "): stored " + std::to_string(item.value.size()) + " bytes";
  });
}

void Cache::put_many(std::span<const NewItem> items, bool text, const double *timestamp, uint64_t *versions) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "put_many(count=" + std::to_string(items.size()) + ")"; });
  if (!items.empty()) store_items(items, text, timestamp, versions, log);
  log.add(kTrace, [&] { return "put_many(count=" + std::to_string(items.size()) + "): stored"; });
}

// Which items memory shall hold after a put: of a key that comes twice the later, none that is too large or was evicted from
// disk at once.
std::vector<ItemRef> Cache::residents_among(const std::vector<ItemRef> &fresh,
                                            const std::vector<Removed> &removed) const {
  std::unordered_set<uint64_t> gone;
  for (const Removed &item : removed) {
    if (item.version >= fresh.front()->version()) gone.insert(item.version);
  }
  std::unordered_set<std::string_view> later;
  std::vector<ItemRef> residents;
  residents.reserve(fresh.size());
  for (auto item = fresh.rbegin(); item != fresh.rend(); ++item) {
    if (fresh.size() > 1 && !later.insert((*item)->key()).second) continue;
    if (belongs_in_memory((*item)->size()) && !gone.contains((*item)->version())) residents.push_back(*item);
  }
  return residents;
}

void Cache::store_items(std::span<const NewItem> items, bool text, const double *timestamp, uint64_t *versions,
                        LogScope &log) {
  double time = timestamp ? *timestamp : now();
  std::unique_ptr<Transaction> transaction = store_->begin();
  // All that memory will need is made before the commit: afterwards nothing should fail.
  std::vector<ItemRef> fresh;
  fresh.reserve(items.size());
  for (const auto &[key, value] : items) {
    Transaction::Written written = transaction->put(key, value, text, time);
    Item::Fields fields;
    fields.version = written.version;
    fields.id = written.id;
    fields.timestamp = time;
    fields.size = value.size();
    fields.text = text;
    bool with_bytes = options_.memory_values && belongs_in_memory(value.size());
    fresh.push_back(Item::create(key, fields, with_bytes ? value.size() : 0));
    if (with_bytes) std::copy(value.begin(), value.end(), fresh.back()->writable_value());
  }
  std::vector<Removed> removed;
  uint64_t evicted = evict_from_disk(*transaction, &removed, log);
  std::vector<Key> removed_keys = keys_of(removed);
  std::vector<ItemRef> residents = residents_among(fresh, removed);
  std::vector<ItemRef> left;
  std::vector<MemoryTier::Eviction> evictions;

  transaction->commit([&] {
    erase_from_memory(removed_keys, &left);
    if (residents.size() < fresh.size()) {
      for (const NewItem &item : items) erase_from_memory(std::span(&item.key, 1), &left);
    }
    try {
      for (const ItemRef &item : residents) item->generation.store(store_->generations().next_stable(item->hash()));
      memory_.insert_all(residents, &evictions, &left);
    } catch (const std::bad_alloc &) {
      // The disk has it all. What memory still holds of these keys has an old generation and answers nothing unconfirmed.
      logger_.defer(kWarning, "memory is short: the memory tier was not updated");
    }
  });

  for (size_t i = 0; i < fresh.size(); ++i) versions[i] = fresh[i]->version();
  statistics_.add(Counter::kPuts, static_cast<int64_t>(items.size()));
  statistics_.add(Counter::kDiskEvictions, static_cast<int64_t>(evicted));
  for (const ItemRef &item : left) left_memory(item);
  count_memory_evictions(evictions, log);
  if (dropped_.enabled()) {
    // A binding holds the object it has just put until told otherwise.
    for (const ItemRef &item : fresh) {
      if (!item->resident.load()) dropped_.add(item);
    }
  }
}

uint64_t Cache::evict_from_disk(Transaction &transaction, std::vector<Removed> *removed, LogScope &log) {
  uint64_t count = 0;
  for (Totals totals = transaction.totals();; totals = transaction.totals()) {
    bool too_many = totals.items > options_.max_disk_items;
    if (!too_many && totals.bytes <= options_.max_disk_size_bytes) return count;
    std::optional<Removed> victim = transaction.evict_oldest();
    if (!victim) return count;
    ++count;
    log.add(kTrace, [&] {
      return std::string("evicting from disk (") + (too_many ? "count" : "size") + "): key=" + quoted(victim->key);
    });
    if (!disk_eviction_told_.exchange(true, std::memory_order_relaxed)) {
      log.add(kInfo, [&] {
        return "first eviction from disk: " +
               (too_many ? "max_disk_items=" + std::to_string(options_.max_disk_items)
                         : "max_disk_size_bytes=" + std::to_string(options_.max_disk_size_bytes)) +
               " is reached; from now on the least recently used items go";
      });
    }
    removed->push_back(std::move(*victim));
  }
}

bool Cache::remove(const Key &key) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "delete(key=" + quoted(key.text) + ")"; });
  bool removed = remove_all(std::span(&key, 1)) > 0;
  log.add(kTrace, [&] { return "delete(key=" + quoted(key.text) + (removed ? "): removed" : "): not found"); });
  return removed;
}

uint64_t Cache::remove_many(std::span<const Key> keys) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "delete_many(count=" + std::to_string(keys.size()) + ")"; });
  uint64_t removed = keys.empty() ? 0 : remove_all(keys);
  log.add(kTrace,
          [&] { return "delete_many(count=" + std::to_string(keys.size()) + "): removed " + std::to_string(removed); });
  return removed;
}

uint64_t Cache::remove_all(std::span<const Key> keys) {
  std::unique_ptr<Transaction> transaction = store_->begin();
  uint64_t removed = 0;
  for (const Key &key : keys) {
    if (transaction->erase(key)) ++removed;
  }
  std::vector<ItemRef> left;
  left.reserve(keys.size());
  if (removed > 0) transaction->commit([&] { erase_from_memory(keys, &left); });
  for (const ItemRef &item : left) left_memory(item);
  statistics_.add(Counter::kDeletes, static_cast<int64_t>(keys.size()));
  return removed;
}

void Cache::discard(const Key &key, uint64_t version, bool was_memory_hit) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "discard(key=" + quoted(key.text) + "): the value does not decode"; });
  std::unique_ptr<Transaction> transaction = store_->begin();
  std::vector<ItemRef> left;
  left.reserve(1);
  if (transaction->erase(key, version)) {
    transaction->commit([&] { erase_from_memory(std::span(&key, 1), &left); });
    statistics_.add(Counter::kDiscarded);
  }
  for (const ItemRef &item : left) left_memory(item);
  statistics_.add(Counter::kMisses);
  statistics_.add(was_memory_hit ? Counter::kMemoryHits : Counter::kDiskHits, -1);
}

}  // namespace dbc
