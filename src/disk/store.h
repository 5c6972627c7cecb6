// Store: the interface of a disk tier. Nothing here assumes SQL, a file or one machine.
//
// A store holds items under keys, each with a version that grows with every put and is never reused. Reads run
// concurrently; a Transaction is the only way to change anything, one at a time among all who share the store.
//
// Access times may reach the store late (touched()), but every answer of this object, and every choice of a victim,
// takes the pending ones into account.
//
// Thread safety: all functions of Store from any thread. A Transaction and a Snapshot belong to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/item.h"
#include "base/key.h"
#include "base/log.h"
#include "base/status.h"
#include "disk/check_report.h"
#include "share/generations.h"

namespace dbc {

// What a read found.
struct Lookup {
  enum class State {
    kAbsent,
    kPresent,
    kOtherSchema,  // stored under another schema version
    kDamaged,      // the value fails its checksum
    kUnreadable,   // the value is compressed, and this build cannot decompress
  };
  State state = State::kAbsent;
  uint64_t version = 0;  // 0 when absent
  double timestamp = 0;  // with pending touches
  // Present, and the value was wanted: the item with its bytes. Its generation is that of before the read.
  ItemRef item;
  // Present, and the value was not wanted: enough to make an item without bytes.
  Item::Fields fields;
  // Present, but not committed yet: the one item that memory may hold of this state.
  ItemRef uncommitted;

  void set_timestamp(double time) {
    timestamp = fields.timestamp = time;
    if (item) item->timestamp.store(time);
  }
};

enum class Want {
  kValue,    // the bytes, unless the version is the one that the caller holds
  kNothing,  // the state, version and timestamp only
};

struct Totals {
  uint64_t items = 0;
  uint64_t bytes = 0;
};

// An item that a transaction took out.
struct Removed {
  std::string key;
  uint64_t hash = 0;
  uint64_t version = 0;
};

// How far something has come that takes several transactions.
struct Progress {
  double time = -std::numeric_limits<double>::infinity();
  std::string key;
};

class Transaction {
 public:
  struct Written {
    int64_t id;
    uint64_t version;
  };

  // Without a commit before it, undoes everything.
  virtual ~Transaction() = default;

  // Stores an item. `value` is borrowed for the call. `reserved`: a version from Store::reserve_version(), which the
  // item gets unless the key has a later one by now; 0: a new one. `in_exchange`: not null if the limits will not hold
  // with one item more. Then if the key is new, and evict_oldest() would take out another item after it, that one may
  // make room for it here, which is cheaper, and is returned there.
  virtual Written put(const Key &key, std::string_view value, bool text, double timestamp, uint64_t reserved = 0,
                      std::optional<Removed> *in_exchange = nullptr) = 0;
  // Takes a key's item out; with `version` only if it has that one. Says whether it did.
  virtual bool erase(const Key &key, std::optional<uint64_t> version = std::nullopt) = 0;
  // As erase, but only if the item is past its time to live at `now`.
  virtual bool erase_if_expired(const Key &key, double now, double ttl) = 0;
  // Takes the item with the smallest (timestamp, key) out. Nothing when the store is empty.
  virtual std::optional<Removed> evict_oldest() = 0;
  // Takes up to `most` items out that are past their time to live at `now`, and appends them; says whether those were
  // all. To take out the others goes on in another transaction, with the same `progress`, which begins as it is made.
  virtual bool erase_expired(double now, double ttl, size_t most, Progress *progress,
                             std::vector<Removed> *removed) = 0;
  // Takes all items out that are stored under another schema version; returns how many.
  virtual uint64_t erase_other_schemas() = 0;
  // Takes everything out.
  virtual void clear() = 0;
  // Checks everything, as Store::check() does, and mends what it finds; returns how many items it took out for that.
  // Throws Error(kCorrupt) when the store cannot be mended.
  virtual uint64_t repair(CheckReport *report) = 0;
  // Writes up to `most` pending touches into the store; returns how many are left.
  virtual size_t write_touches(size_t most) = 0;

  // As they will be after the commit.
  virtual Totals totals() const = 0;

  // Makes the changes last and visible, all at once. `publish` runs directly after, while other writers still wait and
  // the generations of all changed keys are odd; it must not throw. If the commit fails, throws and nothing has
  // changed. The transaction is over either way.
  virtual void commit(const std::function<void()> &publish) = 0;
};

// A view of the store at one moment.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual Lookup read(const Key &key, Want want, uint64_t held_version) = 0;
};

// The store is outdated(): another has taken its place, as when its file was damaged, moved or removed.
class ReplacedError : public Error {
 public:
  explicit ReplacedError(const std::string &message) : Error(Status::kCorrupt, message) {}
};

class Store {
 public:
  static constexpr double kExactly = std::numeric_limits<double>::infinity();

  virtual ~Store() = default;

  // A timestamp of at least `recent_enough` may be given older than it is.
  virtual Lookup read(const Key &key, Want want, uint64_t held_version, double recent_enough) = 0;
  virtual std::unique_ptr<Snapshot> snapshot() = 0;
  // Waits for its turn; throws Error(kBusy) when that takes too long, or ReplacedError.
  virtual std::unique_ptr<Transaction> begin() = 0;
  virtual Totals totals() = 0;

  // A version for an item that is put later: larger than all given out so far.
  virtual uint64_t reserve_version() noexcept = 0;
  // Can versions be reserved in one order with those who use the same store elsewhere?
  virtual bool can_reserve() const = 0;

  // Are evictions to be expected soon? If so, the store prepares for them in the background.
  virtual void expect_evictions(bool expected) noexcept = 0;

  // Tells that an item's timestamp has moved. `backward`: to an earlier time than before. When memory is too short to
  // remember, the store does not learn of it.
  virtual void touched(Item &item, bool backward) noexcept = 0;
  // Tells that an item is not kept in memory for its own sake any more: the store shall not keep its bytes alive.
  virtual void left_memory(Item &item) noexcept = 0;
  // Writes all pending touches. Throws what went wrong, also earlier in the background.
  virtual void flush() = 0;

  // Looks at everything in the store, as of one moment, and adds what is wrong to the report. Other calls go on
  // meanwhile.
  virtual void check(CheckReport *report) = 0;

  // By these words one sees whether what was read of a key may have changed since. Constant during the store's life.
  virtual const Generations &generations() const = 0;

  // Is another store to be opened in place of this one, because it was found damaged, or was replaced by a fresh one?
  virtual bool outdated() const = 0;
  // A call failed with Error(kCorrupt).
  virtual void report_damage() noexcept = 0;

  // Flushes and lets go of everything; no other call may run or follow. Throws what went wrong, but closes all the
  // same.
  virtual void close(LogScope &log) = 0;
};

}  // namespace dbc
