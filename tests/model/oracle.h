// What a cache must do, written straight from its specification: maps, loops over everything, nothing clever. It is the
// truth that model_test.cc holds the library against.
//
// A Disk is shared by all handles of one file, each with an Oracle of its own. A handle's memory may hold a state that
// another handle has replaced or deleted: it takes up room, but must never be answered with, and goes when a call looks
// at it. With one handle that cannot happen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dbc.h"

namespace dbc::model {

struct Settings {
  std::string schema = "1";
  uint64_t max_memory_items = 4;
  uint64_t max_memory_size_bytes = 100;
  uint64_t max_disk_items = 10;
  uint64_t max_disk_size_bytes = 200;
  uint64_t max_item_size_bytes = 50;
  double memory_ttl_seconds = 10;
  double disk_ttl_seconds = 30;
  bool memory_values = true;
  bool write_behind = false;
  double touch_delay_seconds = 1;
  // What must not show in any answer.
  uint64_t durability = DBC_DURABILITY_OFF;
  bool compression = false;
};

struct DiskItem {
  std::string value;
  bool text = false;
  uint64_t version = 0;
  double timestamp = 0;
  std::string schema;
};

// Keys in byte order, which is the order of code points.
using Disk = std::map<std::string, DiskItem>;

inline uint64_t bytes_of(const Disk &disk) {
  uint64_t bytes = 0;
  for (const auto &[key, item] : disk) bytes += item.value.size();
  return bytes;
}

struct MemoryItem {
  uint64_t version = 0;
  uint64_t size = 0;
  double timestamp = 0;
};
using Memory = std::map<std::string, MemoryItem>;

struct Answer {
  int status = DBC_NOT_FOUND;
  int tier = DBC_TIER_NONE;
  std::string value;
  bool text = false;
  uint64_t version = 0;
  double timestamp = 0;

  bool operator==(const Answer &) const = default;
};

struct NewItem {
  std::string key;
  std::string value;
};

using Statistics = std::array<uint64_t, DBC_STAT_COUNT>;

// The one victim rule: smallest timestamp, among equal ones the smallest key.
template <typename Map>
typename Map::iterator victim_of(Map &map) {
  auto victim = map.begin();
  for (auto at = map.begin(); at != map.end(); ++at) {
    if (at->second.timestamp < victim->second.timestamp) victim = at;  // the map goes by key: the first of equals stays
  }
  return victim;
}

class Oracle {
 public:
  // Opens: items of other schema versions go, and the limits are enforced.
  Oracle(const Settings &settings, Disk *disk) : settings_(settings), disk_(*disk) {
    for (auto at = disk_.begin(); at != disk_.end();) {
      if (at->second.schema == settings_.schema) {
        ++at;
      } else {
        at = disk_.erase(at);
        ++count(DBC_STAT_DISCARDED);
      }
    }
    evict_from_disk();
  }

  // `versions` are those that the library gave.
  void put_many(const std::vector<NewItem> &items, bool text, double now, const std::vector<uint64_t> &versions) {
    for (size_t i = 0; i < items.size(); ++i) {
      disk_[items[i].key] = {items[i].value, text, versions[i], now, settings_.schema};
    }
    count(DBC_STAT_TOTAL_PUTS) += items.size();
    if (!items.empty()) evict_from_disk();
    keep(items, now);
  }

  // A put that is acknowledged in memory, and then committed: memory makes room before the disk does. What the disk
  // evicts then leaves memory only if it is in memory in that state: a later one may wait to be committed.
  void put_behind(const NewItem &item, bool text, double now, uint64_t version) {
    disk_[item.key] = {item.value, text, version, now, settings_.schema};
    count(DBC_STAT_TOTAL_PUTS) += 1;
    keep({item}, now);
    const Memory memory_before = memory_;
    const Disk disk_before = disk_;
    evict_from_disk();
    for (const auto &[key, resident] : memory_before) {
      auto stored = disk_before.find(key);
      bool evicted = stored != disk_before.end() && !disk_.contains(key);
      if (evicted && stored->second.version != resident.version) memory_[key] = resident;
    }
  }

  Answer get(const std::string &key, uint64_t held, double now) {
    Answer answer = look_up(key, held, now);
    if (answer.status == DBC_NOT_FOUND) return answer;
    DiskItem &item = disk_.at(key);
    answer.timestamp = item.timestamp = now;
    if (answer.tier == DBC_TIER_MEMORY) {
      memory_.at(key).timestamp = now;
    } else if (fits(item.value.size())) {
      memory_[key] = {item.version, item.value.size(), now};
      evict_from_memory();
    }
    return answer;
  }

  std::vector<Answer> get_many(const std::vector<std::string> &keys, const std::vector<uint64_t> &held, double now) {
    std::vector<Answer> answers;
    for (size_t i = 0; i < keys.size(); ++i) answers.push_back(look_up(keys[i], held.empty() ? 0 : held[i], now));
    return answers;
  }

  // The tier that a get would be answered from.
  int tier(const std::string &key, double now) {
    drop_if_stale(key);
    auto resident = memory_.find(key);
    if (resident != memory_.end() && !memory_expired(resident->second, now) && !disk_expired(resident->second, now)) {
      return DBC_TIER_MEMORY;
    }
    auto stored = disk_.find(key);
    if (stored == disk_.end() || stored->second.schema != settings_.schema) return DBC_TIER_NONE;
    return disk_expired(stored->second, now) ? DBC_TIER_NONE : DBC_TIER_DISK;
  }

  uint64_t remove_many(const std::vector<std::string> &keys) {
    count(DBC_STAT_TOTAL_DELETES) += keys.size();
    uint64_t removed = 0;
    for (const std::string &key : keys) removed += disk_.erase(key);
    // What memory still holds of a key that another handle has deleted is looked at only by a commit of one's own.
    if (removed > 0) {
      for (const std::string &key : keys) memory_.erase(key);
    }
    return removed;
  }

  void discard(const std::string &key, uint64_t version, bool was_memory_hit) {
    auto stored = disk_.find(key);
    if (stored != disk_.end() && stored->second.version == version) {
      erase_everywhere(stored);
      ++count(DBC_STAT_DISCARDED);
    }
    count_as_miss(was_memory_hit);
  }
  // Of a discard, what happens also if it fails.
  void count_as_miss(bool was_memory_hit) {
    ++count(DBC_STAT_MISSES);
    --count(was_memory_hit ? DBC_STAT_MEMORY_HITS : DBC_STAT_DISK_HITS);
  }

  void clear() {
    disk_.clear();
    memory_.clear();
  }
  void clear_memory() { memory_.clear(); }

  uint64_t purge_expired(double now) {
    count(DBC_STAT_MEMORY_EXPIRED) +=
        std::erase_if(memory_, [&](auto &entry) { return memory_expired(entry.second, now); });
    uint64_t removed = 0;
    for (auto at = disk_.begin(); at != disk_.end();) {
      if (disk_expired(at->second, now)) {
        memory_.erase(at->first);
        at = disk_.erase(at);
        ++removed;
      } else {
        ++at;
      }
    }
    count(DBC_STAT_DISK_EXPIRED) += removed;
    return removed;
  }

  Statistics statistics() const {
    Statistics all = counts_;
    all[DBC_STAT_TOTAL_GETS] = all[DBC_STAT_MEMORY_HITS] + all[DBC_STAT_DISK_HITS] + all[DBC_STAT_MISSES];
    all[DBC_STAT_CURRENT_MEMORY_ITEMS] = memory_.size();
    all[DBC_STAT_MEMORY_BYTES] = memory_bytes();
    all[DBC_STAT_CURRENT_DISK_ITEMS] = disk_.size();
    all[DBC_STAT_DISK_BYTES] = bytes_of(disk_);
    return all;
  }

  const Settings &settings() const { return settings_; }
  const Memory &memory() const { return memory_; }
  const Disk &disk() const { return disk_; }

 private:
  uint64_t &count(dbc_stat stat) { return counts_[stat]; }
  template <typename Entry>
  bool memory_expired(const Entry &entry, double now) const {
    return now - entry.timestamp > settings_.memory_ttl_seconds;
  }
  template <typename Entry>
  bool disk_expired(const Entry &entry, double now) const {
    return now - entry.timestamp > settings_.disk_ttl_seconds;
  }
  bool fits(uint64_t size) const {
    return settings_.max_memory_items > 0 && size <= settings_.max_item_size_bytes &&
           size <= settings_.max_memory_size_bytes;
  }
  uint64_t memory_bytes() const {
    uint64_t bytes = 0;
    for (const auto &[key, item] : memory_) bytes += item.size;
    return bytes;
  }

  void keep(const std::vector<NewItem> &items, double now) {
    for (const NewItem &item : items) {
      memory_.erase(item.key);
      auto stored = disk_.find(item.key);
      if (stored == disk_.end() || !fits(stored->second.value.size())) continue;
      memory_[item.key] = {stored->second.version, stored->second.value.size(), now};
    }
    evict_from_memory();
  }

  void erase_everywhere(Disk::iterator at) {
    memory_.erase(at->first);
    disk_.erase(at);
  }

  void evict_from_disk() {
    while (disk_.size() > settings_.max_disk_items || bytes_of(disk_) > settings_.max_disk_size_bytes) {
      erase_everywhere(victim_of(disk_));
      ++count(DBC_STAT_DISK_EVICTIONS);
    }
  }

  void evict_from_memory() {
    while (memory_.size() > settings_.max_memory_items || memory_bytes() > settings_.max_memory_size_bytes) {
      memory_.erase(victim_of(memory_));
      ++count(DBC_STAT_MEMORY_EVICTIONS);
    }
  }

  void drop_if_stale(const std::string &key) {
    auto resident = memory_.find(key);
    if (resident == memory_.end()) return;
    auto stored = disk_.find(key);
    if (stored == disk_.end() || stored->second.version != resident->second.version) memory_.erase(resident);
  }

  // What get and get_many have in common: expiry, discarding, counting; no touch, no promotion.
  Answer look_up(const std::string &key, uint64_t held, double now) {
    drop_if_stale(key);
    auto stored = disk_.find(key);
    if (auto resident = memory_.find(key); resident != memory_.end()) {
      if (memory_expired(resident->second, now)) {
        memory_.erase(resident);
        ++count(DBC_STAT_MEMORY_EXPIRED);
      } else if (!disk_expired(resident->second, now)) {
        const MemoryItem &item = resident->second;
        if (item.version == held) {
          ++count(DBC_STAT_MEMORY_HITS);
          return {DBC_UNCHANGED, DBC_TIER_MEMORY, "", false, item.version, item.timestamp};
        }
        if (settings_.memory_values) {
          ++count(DBC_STAT_MEMORY_HITS);
          return {DBC_OK, DBC_TIER_MEMORY, stored->second.value, stored->second.text, item.version, item.timestamp};
        }
      }
    }
    bool unusable = stored != disk_.end() && stored->second.schema != settings_.schema;
    bool expired = stored != disk_.end() && !unusable && disk_expired(stored->second, now);
    if (stored == disk_.end() || unusable || expired) {
      ++count(DBC_STAT_MISSES);
      if (unusable) ++count(DBC_STAT_DISCARDED);
      if (expired) ++count(DBC_STAT_DISK_EXPIRED);
      if (stored != disk_.end()) erase_everywhere(stored);
      return {};
    }
    ++count(DBC_STAT_DISK_HITS);
    const DiskItem &item = stored->second;
    if (item.version == held) return {DBC_UNCHANGED, DBC_TIER_DISK, "", false, item.version, item.timestamp};
    return {DBC_OK, DBC_TIER_DISK, item.value, item.text, item.version, item.timestamp};
  }

  const Settings settings_;
  Disk &disk_;
  Memory memory_;
  Statistics counts_{};
};

}  // namespace dbc::model
