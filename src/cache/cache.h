// Cache: the two-tier policy. Which tier answers, what moves between them, what is evicted, expired or discarded, and
// what is counted.
//
// The disk tier is the source of truth, and every item in memory is also on disk. Changes are made on disk first;
// memory follows after the commit, while other writers still wait, so both tiers see all puts in one order.
//
// Coherence: an item in memory answers only while the generation of its key is the one it was loaded under; otherwise
// its version is compared with the one on disk first. So an answer is never older than the beginning of the call,
// whoever wrote.
//
// Thread safety: all functions from any thread, but close() once and last, when no other runs but get_from_memory().
// Lock order: buffer_mutex_, the store's writer lock, then leaf mutexes. Log lines are delivered at the end of each
// function, when no lock is held.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/item.h"
#include "base/key.h"
#include "base/log.h"
#include "base/status.h"
#include "cache/dropped_list.h"
#include "cache/group_commit.h"
#include "cache/statistics.h"
#include "cache/write_buffer.h"
#include "disk/maintenance.h"
#include "disk/store.h"
#include "memory/memory_tier.h"

namespace dbc {

struct CacheOptions {
  uint64_t max_memory_items = 10'000;
  uint64_t max_memory_size_bytes = 64ull << 20;
  uint64_t max_disk_items = 1'000'000;
  uint64_t max_disk_size_bytes = 1ull << 30;
  double memory_ttl_seconds = 300;
  double disk_ttl_seconds = 7 * 86400;
  uint64_t max_item_size_bytes = 1ull << 20;
  bool memory_values = true;
  bool write_behind = false;
  uint64_t write_behind_items = 1000;
  uint64_t write_behind_size_bytes = 8ull << 20;
  double write_behind_delay_seconds = 0.1;
  std::shared_ptr<LogSink> log_sink;
  int log_level = kInfo;
};

enum class Tier { kNone = 0, kMemory = 1, kDisk = 2 };

class Cache {
 public:
  // A value to be put, borrowed.
  struct NewItem {
    Key key;
    std::string_view value;
  };
  // The answer for one key of get_many.
  struct Found {
    Status status = Status::kNotFound;  // kOk, kNotFound, kUnchanged
    Tier tier = Tier::kNone;
    ItemRef item;  // with kOk
    uint64_t version = 0;
    double timestamp = 0;
  };

  using OpenStore = std::function<std::unique_ptr<Store>(Logger &logger, LogScope &log)>;

  // Opens the store, removes items of other schema versions, enforces the limits. What there is to log about it is
  // delivered by the first call, which may be deliver_log().
  Cache(const CacheOptions &options, const OpenStore &open_store);

  // `timestamp` is null for the library's clock. `version` is never null here.
  void put(const NewItem &item, bool text, const double *timestamp, uint64_t *version);
  void put_many(std::span<const NewItem> items, bool text, const double *timestamp, uint64_t *versions);
  // What get_from_memory() has learnt already, for the get() of the same call.
  class Glance;
  // kOk with *value, kUnchanged when the current version is `held_version`, or kNotFound.
  Status get(const Key &key, uint64_t held_version, const double *timestamp, const Glance &glance, ItemRef *value);
  // The same where memory alone can tell, without waiting and without a log line; else kNotFound, and nothing has
  // happened. May be called at any time, also when close() runs or has run: from close_memory() on it answers kClosed.
  Status get_from_memory(const Key &key, uint64_t held_version, const double *timestamp, Glance *glance,
                         ItemRef *value);
  std::vector<Found> get_many(std::span<const Key> keys, const uint64_t *held_versions, const double *timestamp);
  bool remove(const Key &key);
  uint64_t remove_many(std::span<const Key> keys);
  // What a get returned could not be used: see dbc_discard. `tier_of_hit`: where that get counted as a hit; nothing if it
  // has not done so here.
  void discard(const Key &key, uint64_t version, std::optional<Tier> tier_of_hit);
  bool exists(const Key &key, const double *timestamp);
  Tier tier(const Key &key, const double *timestamp);
  void clear();
  void clear_memory();
  void flush();
  uint64_t purge_expired(const double *timestamp);
  // Adds what is wrong in either tier to the report; `repairing` mends it.
  void check(bool repairing, CheckReport *report);
  Totals disk_totals();
  StatisticsSnapshot statistics();
  size_t take_dropped(uint64_t *versions, size_t capacity, bool *overflowed);

  // See Store.
  bool outdated() const { return store_->outdated(); }
  void report_damage() noexcept { store_->report_damage(); }

  void deliver_log() { LogScope log(logger_); }
  void set_log_level(int level) { logger_.set_level(level); }
  uint64_t max_disk_size_bytes() const { return options_.max_disk_size_bytes; }

  // For objects held from an earlier life of this cache (before a fork).
  void drop_all_objects() { dropped_.overflow(); }

  // For tests: the resident items, next victim first.
  std::vector<ItemRef> memory_in_order() const { return memory_.in_order(); }

  // Without a word: another cache has taken this one's place.
  void forget_memory() noexcept;

  // First of all when it is to be closed, from any thread.
  void close_memory() noexcept { memory_.close(); }
  void close();

 private:
  // What the memory tier makes of a get.
  enum class Resident {
    kNone,      // not in memory
    kHit,       // *value is set, or the caller holds the version
    kDoubtful,  // in memory, but its generation has moved: the disk must confirm the version
    kExpired,   // in memory and too old, for memory or altogether
    kNoBytes,   // in memory without bytes, and the caller holds another version
  };
  // A call's time, and whether the caller named it.
  struct Time {
    double seconds;
    bool named;
  };
  static Time time_of(const double *timestamp);
  // An item on disk that no get may return.
  struct Unusable {
    Key key;
    uint64_t version;
    bool expired;  // else of another schema version, or damaged
  };

  // Items that are put together, and what became of them.
  struct PutRequest {
    std::span<const NewItem> items;
    bool text;
    double time;
    LogScope *log;
    std::vector<ItemRef> fresh;  // in the order of the items
    // What of all that shared the transaction is left to the first of them: what they drove out of memory.
    std::vector<ItemRef> left;
    std::vector<MemoryTier::Eviction> memory_evictions;
  };
  struct DiskEviction {
    Removed item;
    Limit limit;
  };

  void enforce_on_open(LogScope &log);
  // For errors that no caller is told.
  void report_if_damage(const std::exception &error) noexcept;
  Resident ask_memory(const MemoryTier::Reader &reader, const Key &key, uint64_t generation, uint64_t held_version,
                      Time time, uint64_t confirmed, bool touching, Found *found);
  Resident ask_memory(const Key &key, uint64_t held_version, Time time, uint64_t confirmed, bool touching,
                      Found *found);
  Resident settle_doubt(const Key &key, uint64_t held_version, Time time, bool touching, Found *found);
  // Settles doubts about the resident item of a key: its version if it is current, else 0, and it has left memory.
  uint64_t confirm(const Key &key);
  void promote(const Key &key, const Lookup &found, Time time, bool was_resident, LogScope &log);
  void touch(Item &item, Time time);
  // A resident item that was also read from disk, in the same state.
  void keep(Item &resident, const Lookup &found, Time time);
  void expire_from_memory(const Key &key, double now, std::string_view operation, LogScope &log);
  // Says whether what the disk has is of use; if not, logs why and, when `removing`, removes and counts it.
  bool usable(const Key &key, const Lookup &found, double now, std::string_view operation, bool removing,
              LogScope &log);
  void remove_unusable(std::span<const Unusable> items, double now, LogScope &log);
  Tier find_tier(const Key &key, const double *timestamp, std::string_view operation, LogScope &log);
  bool memory_expired(double now, double timestamp) const { return now - timestamp > options_.memory_ttl_seconds; }
  bool disk_expired(double now, double timestamp) const { return now - timestamp > options_.disk_ttl_seconds; }
  bool belongs_in_memory(uint64_t size) const { return size <= options_.max_item_size_bytes && memory_.fits(size); }

  ItemRef make_item(const NewItem &item, const Item::Fields &fields) const;
  void put_through(std::span<const NewItem> items, bool text, double time, uint64_t *versions, LogScope &log);
  void commit_puts(std::span<PutRequest *const> requests);
  std::vector<ItemRef> residents_among(const std::vector<ItemRef> &fresh,
                                       const std::vector<DiskEviction> &evicted) const;
  void put_behind(const NewItem &item, bool text, double time, uint64_t *version, LogScope &log);
  // Commits what waits in the buffer. Before everything that changes the store in another way, so that the order is
  // kept.
  void commit_buffer();
  void commit_buffered(Transaction &transaction, const std::vector<WriteBuffer::Entry> &entries);
  Lookup read(const Key &key, Want want, uint64_t held_version, double recent_enough);
  Lookup read_buffer(const Key &key) const;
  // No later put of the item's key is on its way to the store. For who brings an item into memory to ask while the tier
  // is locked: whoever puts behind enters the buffer first, and then deals with what memory holds.
  bool is_latest_here(const Item &item) const { return !buffer_ || !buffer_->has_later(item); }
  uint64_t remove_all(std::span<const Key> keys);
  static std::vector<Key> keys_of(const std::vector<Removed> &removed);
  static std::vector<Key> keys_of(const std::vector<DiskEviction> &evicted);
  void erase_from_memory(std::span<const Key> keys, std::vector<ItemRef> *left) noexcept;
  void erase_version_from_memory(const Key &key, uint64_t version, std::vector<ItemRef> *left) noexcept;
  Transaction::Written put_on_disk(Transaction &transaction, const NewItem &item, bool text, double time,
                                   uint64_t reserved, std::vector<DiskEviction> *evicted) const;
  // Until the limits hold, or `most` are evicted; says whether they hold.
  bool evict_from_disk(Transaction &transaction, std::vector<DiskEviction> *evicted, size_t most = SIZE_MAX) const;
  void tell_disk_evictions(std::span<const DiskEviction> evicted, LogScope &log);
  void check_memory(bool repairing, CheckReport *report);
  void repair(CheckReport *report, LogScope &log);
  void count_memory_evictions(const std::vector<MemoryTier::Eviction> &evictions, LogScope &log);
  void left_memory(const ItemRef &item);

  const CacheOptions options_;
  Logger logger_;
  Statistics statistics_;
  DroppedList dropped_;
  MemoryTier memory_;
  std::unique_ptr<Store> store_;
  std::atomic<bool> disk_eviction_told_{false};

  GroupCommit<PutRequest> group_commit_{[this](std::span<PutRequest *const> requests) { commit_puts(requests); }};

  // With write-behind only.
  std::unique_ptr<WriteBuffer> buffer_;
  std::mutex buffer_mutex_;                   // held while the buffer is committed; before the store's writer lock
  std::atomic<uint64_t> buffer_attempts_{0};  // to commit it
  uint64_t buffer_busy_attempt_ = 0;          // the last that timed out, under buffer_mutex_ as is what follows
  std::string why_buffer_busy_;
  std::unique_ptr<Maintenance> buffer_thread_;
};

class Cache::Glance {
 private:
  friend class Cache;
  const Cache *cache_ = nullptr;  // whose; null: it was not looked
  Resident resident_ = Resident::kNone;
  Time time_{};
};

}  // namespace dbc
