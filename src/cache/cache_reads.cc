// What looks items up: get, get_many, exists, tier.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "cache/cache.h"

namespace dbc {
namespace {

std::string outcome(std::string_view operation, std::string_view key, std::string_view text) {
  return std::string(operation) + "(key=" + quoted(key) + "): " + std::string(text);
}

}  // namespace

Cache::Time Cache::time_of(const double *timestamp) { return timestamp ? Time{*timestamp, true} : Time{now(), false}; }

// The path of a memory hit: no lock, no SQL. `generation`: the key's word, looked at first: what is found then is no
// older. `confirmed`: a version that the disk has just been asked about, whatever its generation says.
Cache::Resident Cache::ask_memory(const MemoryTier::Reader &reader, const Key &key, uint64_t generation,
                                  uint64_t held_version, Time time, uint64_t confirmed, bool touching, Found *found) {
  Item *const item = reader.find(key);
  if (!item) return Resident::kNone;
  const uint64_t known = item->generation.load(std::memory_order_relaxed);
  bool current = generation == known && Generations::stable(generation);
  if (!current && store_->generations().spared(key.hash, known, generation)) {
    item->generation.store(generation, std::memory_order_relaxed);
    current = true;
  }
  if (!current && item->version() != confirmed) [[unlikely]]
    return Resident::kDoubtful;
  const double timestamp = item->timestamp.load(std::memory_order_relaxed);
  if (memory_expired(time.seconds, timestamp) || disk_expired(time.seconds, timestamp)) return Resident::kExpired;
  const bool held = item->version() == held_version;
  if (!held && !options_.memory_values) return Resident::kNoBytes;
  found->status = held ? Status::kUnchanged : Status::kOk;
  found->tier = Tier::kMemory;
  found->version = item->version();
  found->timestamp = timestamp;
  if (!held) found->item = ItemRef::share(item);
  if (touching) touch(*item, time);
  return Resident::kHit;
}

// The word before the reader: where it is not shared, it may have to wait.
Cache::Resident Cache::ask_memory(const Key &key, uint64_t held_version, Time time, uint64_t confirmed, bool touching,
                                  Found *found) {
  const uint64_t generation = store_->generations().word(key.hash);
  return ask_memory(MemoryTier::Reader(memory_), key, generation, held_version, time, confirmed, touching, found);
}

// Where it was doubtful: has the disk confirm it, and asks again.
Cache::Resident Cache::settle_doubt(const Key &key, uint64_t held_version, Time time, bool touching, Found *found) {
  const uint64_t confirmed = confirm(key);
  if (confirmed == 0) return Resident::kNone;
  const Resident answer = ask_memory(key, held_version, time, confirmed, touching, found);
  return answer == Resident::kDoubtful ? Resident::kNone : answer;  // changed once more: the disk decides
}

uint64_t Cache::confirm(const Key &key) {
  ItemRef item = memory_.find(key);
  if (!item) return 0;
  // The word first: what is read afterwards is at least as new.
  uint64_t generation = store_->generations().word(key.hash);
  Lookup on_disk = read(key, Want::kNothing, 0, Store::kExactly);
  if (on_disk.state == Lookup::State::kPresent && on_disk.version == item->version()) {
    item->generation.store(generation, std::memory_order_relaxed);
    return on_disk.version;
  }
  // Only what was looked at: a newer item may have come in meanwhile.
  if (ItemRef erased = memory_.erase(key, item->version())) left_memory(erased);
  return 0;
}

// What is on its way to the store comes before what is there: this handle has put it later.
Lookup Cache::read(const Key &key, Want want, uint64_t held_version, double recent_enough) {
  if (buffer_) {
    Lookup found = read_buffer(key);
    if (found.version != 0) return found;
  }
  return store_->read(key, want, held_version, recent_enough);
}

Lookup Cache::read_buffer(const Key &key) const {
  // As of a row on disk: the word before the look.
  uint64_t generation = store_->generations().word(key.hash);
  WriteBuffer::Entry entry = buffer_->find(key);
  if (!entry.item) return {};
  Lookup found;
  found.state = Lookup::State::kPresent;
  found.version = entry.item->version();
  found.timestamp = entry.item->timestamp.load();
  found.fields.version = found.version;
  found.fields.id = entry.item->id();
  found.fields.timestamp = found.timestamp;
  found.fields.generation = generation;
  found.fields.size = entry.item->size();
  found.fields.text = entry.item->text();
  found.item = std::move(entry.whole);
  found.uncommitted = std::move(entry.item);
  return found;
}

void Cache::touch(Item &item, Time time) {
  if (time.seconds == item.timestamp.load()) return;
  bool backward = memory_.touch(item, time.seconds, time.named);
  // Without a row yet it has nothing to tell the store: the commit will. (After the timestamp was stored, see
  // commit_buffered().)
  if (item.id() == 0) return;
  // The log reads the time when it writes, so it has to be told only once; unless the item has left memory, when what
  // the log holds may be a copy.
  if (backward || !item.touched.load() || !item.resident.load()) store_->touched(item, backward);
}

Status Cache::get(const Key &key, uint64_t held_version, const double *timestamp, const Glance &glance,
                  ItemRef *value) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "get(key=" + quoted(key.text) + ")"; });
  Found found;
  const bool known = glance.cache_ == this;
  const Time time = known ? glance.time_ : time_of(timestamp);
  Resident resident = known ? glance.resident_ : ask_memory(key, held_version, time, 0, true, &found);
  if (resident == Resident::kDoubtful) resident = settle_doubt(key, held_version, time, true, &found);
  if (resident == Resident::kHit) {
    statistics_.add(Counter::kMemoryHits);
    log.add(kTrace, [&] { return outcome("get", key.text, "memory hit"); });
    *value = std::move(found.item);
    return found.status;
  }

  // Where memory holds values, a version that the caller holds is read all the same: it is to be promoted.
  // By the library's clock it matters only that the item has not expired: the hit makes its timestamp the present.
  double recent_enough = time.named ? Store::kExactly : time.seconds - options_.disk_ttl_seconds;
  Lookup on_disk = read(key, Want::kValue, options_.memory_values ? 0 : held_version, recent_enough);
  // Only now: a get that fails changes nothing.
  if (resident == Resident::kExpired) expire_from_memory(key, time.seconds, "get", log);
  if (!usable(key, on_disk, time.seconds, "get", true, log)) {
    statistics_.add(Counter::kMisses);
    return Status::kNotFound;
  }
  promote(key, on_disk, time, resident != Resident::kNone, log);
  statistics_.add(Counter::kDiskHits);
  log.add(kTrace, [&] { return outcome("get", key.text, "disk hit"); });
  if (on_disk.version == held_version) return Status::kUnchanged;
  *value = std::move(on_disk.item);
  return Status::kOk;
}

Status Cache::get_from_memory(const Key &key, uint64_t held_version, const double *timestamp, Glance *glance,
                              ItemRef *value) {
  MemoryTier::Reader reader(memory_);
  if (!reader.admitted()) return Status::kClosed;
  const Generations &generations = store_->generations();
  if (!logger_.silent(kTrace) || generations.may_wait()) [[unlikely]]
    return Status::kNotFound;
  const uint64_t generation = generations.word(key.hash);
  reader.prefetch(key);  // what the clock takes is about what the item takes to come from another processor
  const Time time = time_of(timestamp);
  Found found;
  const Resident resident = ask_memory(reader, key, generation, held_version, time, 0, true, &found);
  if (resident != Resident::kHit) {
    glance->cache_ = this;
    glance->resident_ = resident;
    glance->time_ = time;
    return Status::kNotFound;
  }
  reader.count_hit();
  *value = std::move(found.item);
  return found.status;
}

void Cache::promote(const Key &key, const Lookup &found, Time time, bool was_resident, LogScope &log) {
  // Resident in that very state, but without bytes.
  ItemRef present = was_resident ? memory_.find(key) : ItemRef();
  if (present && present->version() == found.version) {
    keep(*present, found, time);
    return;
  }
  // By the library's clock an access never makes an item older, though another process's clock may be ahead.
  double seconds = time.named ? time.seconds : std::max(time.seconds, found.timestamp);
  ItemRef item = found.uncommitted        ? found.uncommitted
                 : options_.memory_values ? found.item
                                          : Item::create(key, found.fields, 0);
  if (found.uncommitted) {
    // The one object: another thread may have brought it into memory, where times move by the tier's rules.
    memory_.touch(*item, seconds, time.named);
  } else {
    item->timestamp.store(seconds);
  }
  item->generation.store(found.fields.generation, std::memory_order_relaxed);
  // The caller's, where memory keeps no bytes.
  if (found.item && found.item.get() != item.get()) found.item->timestamp.store(seconds);
  if (belongs_in_memory(item->size())) {
    std::vector<MemoryTier::Eviction> evictions;
    ItemRef replaced;
    // Not if somebody has changed the key since it was read, in the store or on the way there.
    auto allow = [&] {
      return store_->generations().last_word(key.hash) == found.fields.generation && is_latest_here(*item);
    };
    bool inserted = memory_.insert(item, &evictions, &replaced, std::ref(allow));  // no copy, which would be allocated
    present = inserted ? ItemRef() : memory_.find(key);  // of another thread, meanwhile
    if (present && present->version() == found.version) {
      keep(*present, found, time);
      return;
    }
    if (replaced) left_memory(replaced);
    count_memory_evictions(evictions, log);
  }
  if (seconds != found.timestamp && item->id() != 0) store_->touched(*item, seconds < found.timestamp);
  if (!item->resident.load()) dropped_.add(item);
}

void Cache::keep(Item &resident, const Lookup &found, Time time) {
  resident.generation.store(found.fields.generation, std::memory_order_relaxed);
  touch(resident, time);
  if (found.item && found.item.get() != &resident) found.item->timestamp.store(resident.timestamp.load());
}

void Cache::expire_from_memory(const Key &key, double now, std::string_view operation, LogScope &log) {
  ItemRef item = memory_.find(key);
  // Past the disk TTL only: what removes it from disk takes it out of memory too.
  if (!item || !memory_expired(now, item->timestamp.load())) return;
  ItemRef erased = memory_.erase(key, item->version());
  if (!erased) return;
  left_memory(erased);
  statistics_.add(Counter::kMemoryExpired);
  log.add(kTrace, [&] { return outcome(operation, key.text, "expired from memory (TTL exceeded)"); });
}

bool Cache::usable(const Key &key, const Lookup &found, double now, std::string_view operation, bool removing,
                   LogScope &log) {
  const char *reason = nullptr;
  bool expired = false;
  switch (found.state) {
    case Lookup::State::kAbsent:
      log.add(kTrace, [&] { return outcome(operation, key.text, "miss (not found)"); });
      return false;
    case Lookup::State::kOtherSchema:
      reason = "schema version mismatch";
      break;
    case Lookup::State::kDamaged:
      reason = "checksum mismatch";
      break;
    case Lookup::State::kUnreadable:
      reason = "the value is compressed, and this build of libdbc has no zstd";
      break;
    case Lookup::State::kPresent:
      expired = disk_expired(now, found.timestamp);
      if (!expired) return true;
      reason = "expired from disk (TTL exceeded)";
  }
  bool told = found.state == Lookup::State::kDamaged || found.state == Lookup::State::kUnreadable;
  log.add(told ? kWarning : kTrace, [&] { return outcome(operation, key.text, reason); });
  if (removing) {
    Unusable unusable{key, found.version, expired};
    remove_unusable(std::span(&unusable, 1), now, log);
  }
  return false;
}

// The answers are misses whether or not the items can be taken out now: a reader is not to fail because writers queue.
void Cache::remove_unusable(std::span<const Unusable> items, double now, LogScope &log) {
  std::vector<Key> expired, discarded;
  std::vector<ItemRef> left;
  try {
    left.reserve(items.size());
    commit_buffer();
    std::unique_ptr<Transaction> transaction = store_->begin();
    for (const Unusable &item : items) {
      if (item.expired) {
        if (transaction->erase_if_expired(item.key, now, options_.disk_ttl_seconds)) expired.push_back(item.key);
      } else {
        if (transaction->erase(item.key, item.version)) discarded.push_back(item.key);
      }
    }
    if (expired.empty() && discarded.empty()) return;
    transaction->commit([&] {
      erase_from_memory(expired, &left);
      erase_from_memory(discarded, &left);
    });
  } catch (const std::exception &error) {
    report_if_damage(error);
    log.add(kWarning, [&] {
      return "could not remove " + std::to_string(items.size()) + " items that are of no use any more: " + error.what();
    });
    return;
  }
  statistics_.add(Counter::kDiskExpired, static_cast<int64_t>(expired.size()));
  statistics_.add(Counter::kDiscarded, static_cast<int64_t>(discarded.size()));
  for (const ItemRef &item : left) left_memory(item);
}

std::vector<Cache::Found> Cache::get_many(std::span<const Key> keys, const uint64_t *held_versions,
                                          const double *timestamp) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "get_many(count=" + std::to_string(keys.size()) + ")"; });
  Time time = time_of(timestamp);
  std::vector<Found> answers(keys.size());
  std::vector<size_t> on_disk, expired;
  auto held = [&](size_t i) { return held_versions ? held_versions[i] : 0; };
  constexpr size_t kAhead = 16;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i % kAhead == 0) {
      std::span<const Key> next = keys.subspan(i, std::min(kAhead, keys.size() - i));
      for (const Key &key : next) store_->generations().prefetch(key.hash);
      MemoryTier::Reader(memory_).prefetch(next);
    }
    Resident resident = ask_memory(keys[i], held(i), time, 0, false, &answers[i]);
    if (resident == Resident::kDoubtful) resident = settle_doubt(keys[i], held(i), time, false, &answers[i]);
    if (resident == Resident::kExpired) expired.push_back(i);
    if (resident != Resident::kHit) on_disk.push_back(i);
  }
  std::vector<Lookup> lookups;
  lookups.reserve(on_disk.size());
  if (!on_disk.empty()) {
    // The buffer before the snapshot begins: what is committed between the two is in the snapshot.
    for (size_t i : on_disk) lookups.push_back(buffer_ ? read_buffer(keys[i]) : Lookup());
    std::unique_ptr<Snapshot> snapshot = store_->snapshot();
    for (size_t n = 0; n < on_disk.size(); ++n) {
      if (lookups[n].version == 0) lookups[n] = snapshot->read(keys[on_disk[n]], Want::kValue, held(on_disk[n]));
    }
  }
  // Only now: a call that fails changes nothing.
  for (size_t i : expired) expire_from_memory(keys[i], time.seconds, "get_many", log);

  auto answer = [&](size_t i, Lookup &found) {
    answers[i].status = found.version == held(i) ? Status::kUnchanged : Status::kOk;
    answers[i].tier = Tier::kDisk;
    answers[i].version = found.version;
    answers[i].timestamp = found.timestamp;
    if (answers[i].status == Status::kOk) answers[i].item = std::move(found.item);
  };
  // Those on disk that are of no use are taken out after the snapshot, in one transaction.
  std::vector<Unusable> unusable;
  for (size_t n = 0; n < on_disk.size(); ++n) {
    size_t i = on_disk[n];
    Lookup &found = lookups[n];
    if (usable(keys[i], found, time.seconds, "get_many", false, log)) {
      answer(i, found);
    } else if (found.state != Lookup::State::kAbsent) {
      unusable.push_back({keys[i], found.version, found.state == Lookup::State::kPresent});
    }
  }
  if (!unusable.empty()) remove_unusable(unusable, time.seconds, log);

  int64_t counts[3] = {};
  for (const Found &found : answers) ++counts[static_cast<int>(found.tier)];
  statistics_.add(Counter::kMemoryHits, counts[static_cast<int>(Tier::kMemory)]);
  statistics_.add(Counter::kDiskHits, counts[static_cast<int>(Tier::kDisk)]);
  statistics_.add(Counter::kMisses, counts[static_cast<int>(Tier::kNone)]);
  log.add(kTrace, [&] {
    return "get_many(count=" + std::to_string(keys.size()) + "): " + std::to_string(counts[1]) + " memory hits, " +
           std::to_string(counts[2]) + " disk hits, " + std::to_string(counts[0]) + " misses";
  });
  return answers;
}

bool Cache::exists(const Key &key, const double *timestamp) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "exists(key=" + quoted(key.text) + ")"; });
  bool found = find_tier(key, timestamp, "exists", log) != Tier::kNone;
  log.add(kTrace, [&] { return outcome("exists", key.text, found ? "yes" : "no"); });
  return found;
}

Tier Cache::tier(const Key &key, const double *timestamp) {
  LogScope log(logger_);
  log.add(kTrace, [&] { return "tier(key=" + quoted(key.text) + ")"; });
  Tier tier = find_tier(key, timestamp, "tier", log);
  log.add(kTrace, [&] {
    return outcome("tier", key.text, tier == Tier::kMemory ? "memory" : tier == Tier::kDisk ? "disk" : "none");
  });
  return tier;
}

// The tier that a get would be answered from.
Tier Cache::find_tier(const Key &key, const double *timestamp, std::string_view operation, LogScope &log) {
  Time time = time_of(timestamp);
  Found found;
  Resident resident = ask_memory(key, 0, time, 0, false, &found);
  if (resident == Resident::kDoubtful) resident = settle_doubt(key, 0, time, false, &found);
  if (resident == Resident::kHit || resident == Resident::kNoBytes) return Tier::kMemory;
  // With the value, since a get would also miss where the checksum fails.
  Lookup on_disk = read(key, Want::kValue, 0, Store::kExactly);
  return usable(key, on_disk, time.seconds, operation, false, log) ? Tier::kDisk : Tier::kNone;
}

}  // namespace dbc
