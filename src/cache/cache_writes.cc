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
  double time = timestamp ? *timestamp : now();
  if (buffer_ && buffer_->fits(item.value.size())) {
    put_behind(item, text, time, version, log);
  } else {
    put_through(std::span(&item, 1), text, time, version, log);
  }
  log.add(kTrace, [&] {
    return "put(key=" + quoted(item.key.text) + "): stored " + std::to_string(item.value.size()) + " bytes";
  });
}

void Cache::put_many(std::span<const NewItem> items, bool text, const double *timestamp, uint64_t *versions) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "put_many(count=" + std::to_string(items.size()) + ")"; });
  if (!items.empty()) put_through(items, text, timestamp ? *timestamp : now(), versions, log);
  log.add(kTrace, [&] { return "put_many(count=" + std::to_string(items.size()) + "): stored"; });
}

ItemRef Cache::make_item(const NewItem &item, const Item::Fields &fields) const {
  bool with_bytes = options_.memory_values && belongs_in_memory(item.value.size());
  ItemRef made = Item::create(item.key, fields, with_bytes ? item.value.size() : 0);
  if (with_bytes) std::copy(item.value.begin(), item.value.end(), made->writable_value());
  return made;
}

// Which items memory shall hold after a put: of a key that comes twice the later, none that is too large or was evicted
// from disk at once.
std::vector<ItemRef> Cache::residents_among(const std::vector<ItemRef> &fresh,
                                            const std::vector<DiskEviction> &evicted) const {
  std::unordered_set<uint64_t> gone;
  for (const DiskEviction &eviction : evicted) {
    if (eviction.item.version >= fresh.front()->version()) gone.insert(eviction.item.version);
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

void Cache::put_through(std::span<const NewItem> items, bool text, double time, uint64_t *versions, LogScope &log) {
  commit_buffer();
  PutRequest request{items, text, time, &log, {}, {}, {}};
  group_commit_.run(request);
  for (size_t i = 0; i < items.size(); ++i) versions[i] = request.fresh[i]->version();
  statistics_.add(Counter::kPuts, static_cast<int64_t>(items.size()));
  for (const ItemRef &item : request.left) left_memory(item);
  count_memory_evictions(request.memory_evictions, log);
  if (dropped_.enabled()) {
    // A binding holds the object it has just put until told otherwise.
    for (const ItemRef &item : request.fresh) {
      if (!item->resident.load()) dropped_.add(item);
    }
  }
}

// All in one transaction, in the order of the requests; after each the limits hold.
void Cache::commit_puts(std::span<PutRequest *const> requests) {
  std::unique_ptr<Transaction> transaction = store_->begin();
  // All that memory will need is made before the commit: afterwards nothing should fail.
  std::vector<ItemRef> fresh;
  std::vector<DiskEviction> evicted;
  std::vector<size_t> evicted_until;  // where in `evicted` those of each request end
  for (PutRequest *request : requests) {
    request->fresh.clear();  // of an attempt that failed
    request->fresh.reserve(request->items.size());
    for (const NewItem &item : request->items) {
      // Of a batch, only what is in the file with all of it decides who goes.
      Transaction::Written written = request->items.size() > 1
                                         ? transaction->put(item.key, item.value, request->text, request->time)
                                         : put_on_disk(*transaction, item, request->text, request->time, 0, &evicted);
      Item::Fields fields;
      fields.version = written.version;
      fields.id = written.id;
      fields.timestamp = request->time;
      fields.size = item.value.size();
      fields.text = request->text;
      request->fresh.push_back(make_item(item, fields));
    }
    fresh.insert(fresh.end(), request->fresh.begin(), request->fresh.end());
    evict_from_disk(*transaction, &evicted);
    evicted_until.push_back(evicted.size());
  }
  std::vector<Key> evicted_keys = keys_of(evicted);
  std::vector<ItemRef> residents = residents_among(fresh, evicted);
  std::vector<ItemRef> &left = requests.front()->left;
  std::vector<MemoryTier::Eviction> &memory_evictions = requests.front()->memory_evictions;

  transaction->commit([&] {
    erase_from_memory(evicted_keys, &left);
    if (residents.size() < fresh.size()) {
      for (const ItemRef &item : fresh) {
        Key key = item->as_key();
        erase_from_memory(std::span(&key, 1), &left);
      }
    }
    if (buffer_) {
      // Put behind before this, while this waited for its turn.
      for (const ItemRef &item : fresh) buffer_->drop_older(item->as_key(), item->version());
    }
    try {
      for (const ItemRef &item : residents) item->generation.store(store_->generations().next_stable(item->hash()));
      memory_.insert_all(residents, &memory_evictions, &left, [this](const Item &i) { return is_latest_here(i); });
    } catch (const std::bad_alloc &) {
      // The disk has it all. What memory still holds of these keys has an old generation and answers nothing
      // unconfirmed.
      logger_.defer(kWarning, "memory is short: the memory tier was not updated");
    }
  });

  statistics_.add(Counter::kDiskEvictions, static_cast<int64_t>(evicted.size()));
  size_t first = 0;
  for (size_t r = 0; r < requests.size(); first = evicted_until[r++]) {
    tell_disk_evictions(std::span(evicted).subspan(first, evicted_until[r] - first), *requests[r]->log);
  }
}

void Cache::put_behind(const NewItem &item, bool text, double time, uint64_t *version, LogScope &log) {
  Item::Fields fields;
  fields.timestamp = time;
  fields.size = item.value.size();
  fields.text = text;
  WriteBuffer::Entry entry;
  entry.item = make_item(item, fields);
  entry.whole = entry.item;
  if (entry.item->value().size() != item.value.size()) {
    entry.whole = Item::create(item.key, fields, item.value.size());
    std::copy(item.value.begin(), item.value.end(), entry.whole->writable_value());
  }
  ItemRef fresh = entry.item;
  // The word first: who changes the key in the store later puts the item in doubt, and the buffer confirms it.
  fresh->generation.store(store_->generations().word(item.key.hash));
  std::vector<ItemRef> left;
  left.reserve(2);  // now: later it may have to take what there is no memory for
  double fill = 0;
  auto reserve = [this] { return store_->reserve_version(); };
  while (!buffer_->try_add(entry, reserve, &fill)) commit_buffer();
  buffer_thread_->request(fill > 0.5);

  std::vector<MemoryTier::Eviction> evictions;
  try {
    if (belongs_in_memory(item.value.size())) {
      memory_.insert_all(std::span(&fresh, 1), &evictions, &left, [this](const Item &i) { return is_latest_here(i); });
    } else if (ItemRef older = memory_.erase(item.key)) {
      left.push_back(std::move(older));
    }
  } catch (const std::bad_alloc &) {
    // The buffer has it. What memory holds of this key is of an earlier version: out with it, or if even that cannot be,
    // in doubt; the buffer does not confirm it.
    if (ItemRef older = memory_.find(item.key)) {
      erase_version_from_memory(item.key, older->version(), &left);
      older->generation.store(Generations::kDoubtful);
    }
    fresh->generation.store(Generations::kDoubtful);
    logger_.defer(kWarning, "memory is short: the memory tier was not updated");
  }
  *version = fresh->version();
  statistics_.add(Counter::kPuts);
  for (const ItemRef &item_left : left) left_memory(item_left);
  count_memory_evictions(evictions, log);
  if (!fresh->resident.load()) dropped_.add(fresh);
}

void Cache::commit_buffer() {
  if (!buffer_) return;
  uint64_t attempts_before = buffer_attempts_.load();
  // Also when it is empty: the thread that has emptied it may still hold the writer lock, and is no other writer.
  std::lock_guard lock(buffer_mutex_);
  if (buffer_->empty()) return;
  // Who came before this attempt began has waited as long as it did: all fail together, not one after the other.
  if (buffer_busy_attempt_ > attempts_before) throw Error(Status::kBusy, why_buffer_busy_);
  uint64_t attempt = ++buffer_attempts_;
  // Taken out under the writer lock only: who puts through meanwhile has to find them, see commit_puts().
  std::unique_ptr<Transaction> transaction;
  try {
    transaction = store_->begin();
  } catch (const Error &error) {
    if (error.status() == Status::kBusy) {
      why_buffer_busy_ = error.what();
      buffer_busy_attempt_ = attempt;
    }
    throw;
  }
  buffer_busy_attempt_ = 0;
  try {
    commit_buffered(*transaction, buffer_->take());
  } catch (...) {
    buffer_->done(false);
    throw;
  }
}

// In one transaction, in the order of the puts, after each of which the limits hold.
void Cache::commit_buffered(Transaction &transaction, const std::vector<WriteBuffer::Entry> &entries) {
  std::vector<DiskEviction> evicted;
  std::vector<Transaction::Written> written;
  std::vector<double> times;
  written.reserve(entries.size());
  times.reserve(entries.size());
  for (const WriteBuffer::Entry &entry : entries) {
    // With what gets have made of the timestamp since.
    times.push_back(entry.item->timestamp.load());
    written.push_back(put_on_disk(transaction, {entry.item->as_key(), entry.whole->value()}, entry.item->text(),
                                  times.back(), entry.item->version(), &evicted));
    evict_from_disk(transaction, &evicted);
  }
  std::vector<Key> evicted_keys = keys_of(evicted);
  std::unordered_set<uint64_t> gone;
  for (const DiskEviction &eviction : evicted) gone.insert(eviction.item.version);
  std::vector<ItemRef> left;
  left.reserve(evicted.size() + entries.size());

  transaction.commit([&] {
    for (size_t i = 0; i < evicted.size(); ++i) {
      // A later put of the key may be in memory, on its way to the store.
      erase_version_from_memory(evicted_keys[i], evicted[i].item.version, &left);
    }
    for (size_t i = 0; i < entries.size(); ++i) {
      Item &item = *entries[i].item;
      // Its put may still be about to bring it into memory: its generation, as it was then, keeps it from answering.
      if (gone.contains(item.version())) continue;
      if (written[i].version != item.version()) {
        // Another has put the key under a later version since, and so the item got a new one.
        erase_version_from_memory(item.as_key(), item.version(), &left);
        continue;
      }
      item.generation.store(store_->generations().next_stable(item.hash()));
      // From now on touch() tells the store; what it was not told before is told here.
      item.set_id(written[i].id);
      double time = item.timestamp.load();
      if (time != times[i]) store_->touched(item, time < times[i]);
    }
    // While the generations are in motion: who sees them at rest finds in the store what it does not find here, and
    // does not find here what the store no longer has.
    buffer_->done(true);
  });
  statistics_.add(Counter::kDiskEvictions, static_cast<int64_t>(evicted.size()));
  for (const ItemRef &item : left) left_memory(item);
  // Maybe on a thread of the library's own, which must not call back.
  LogScope log(logger_);
  tell_disk_evictions(evicted, log);
  log.postpone();
}

// One item, after which evict_from_disk() is to follow; its first victim may go here.
Transaction::Written Cache::put_on_disk(Transaction &transaction, const NewItem &item, bool text, double time,
                                        uint64_t reserved, std::vector<DiskEviction> *evicted) const {
  Totals totals = transaction.totals();
  bool too_many = totals.items >= options_.max_disk_items;
  bool full = too_many || totals.bytes + item.value.size() > options_.max_disk_size_bytes;
  std::optional<Removed> victim;
  Transaction::Written written = transaction.put(item.key, item.value, text, time, reserved, full ? &victim : nullptr);
  if (victim) evicted->push_back({std::move(*victim), too_many ? Limit::kCount : Limit::kSize});
  return written;
}

bool Cache::evict_from_disk(Transaction &transaction, std::vector<DiskEviction> *evicted, size_t most) const {
  Totals totals = transaction.totals();
  for (;; totals = transaction.totals()) {
    bool too_many = totals.items > options_.max_disk_items;
    if (!too_many && totals.bytes <= options_.max_disk_size_bytes) break;
    if (most-- == 0) return false;
    std::optional<Removed> victim = transaction.evict_oldest();
    if (!victim) break;
    evicted->push_back({std::move(*victim), too_many ? Limit::kCount : Limit::kSize});
  }
  store_->expect_evictions(totals.items >= options_.max_disk_items - options_.max_disk_items / 8 ||
                           totals.bytes >= options_.max_disk_size_bytes - options_.max_disk_size_bytes / 8);
  return true;
}

// After the commit.
void Cache::tell_disk_evictions(std::span<const DiskEviction> evicted, LogScope &log) {
  for (const DiskEviction &eviction : evicted) {
    bool count = eviction.limit == Limit::kCount;
    log.add(kTrace, [&] {
      return (count ? "evicting from disk (count): key=" : "evicting from disk (size): key=") +
             quoted(eviction.item.key);
    });
    if (disk_eviction_told_.exchange(true, std::memory_order_relaxed)) continue;
    log.add(kInfo, [&] {
      std::string text = "first eviction from disk: ";
      text += count ? "max_disk_items=" : "max_disk_size_bytes=";
      text += std::to_string(count ? options_.max_disk_items : options_.max_disk_size_bytes);
      return text += " is reached; from now on the least recently used items go";
    });
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
  commit_buffer();
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

void Cache::discard(const Key &key, uint64_t version, std::optional<Tier> tier_of_hit) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "discard(key=" + quoted(key.text) + "): the value does not decode"; });
  // That get is a miss whether or not the item can be taken out now.
  if (tier_of_hit) {
    statistics_.add(Counter::kMisses);
    statistics_.add(*tier_of_hit == Tier::kMemory ? Counter::kMemoryHits : Counter::kDiskHits, -1);
  }
  commit_buffer();
  std::unique_ptr<Transaction> transaction = store_->begin();
  std::vector<ItemRef> left;
  left.reserve(1);
  if (transaction->erase(key, version)) {
    transaction->commit([&] { erase_from_memory(std::span(&key, 1), &left); });
    statistics_.add(Counter::kDiscarded);
  }
  for (const ItemRef &item : left) left_memory(item);
}

}  // namespace dbc
