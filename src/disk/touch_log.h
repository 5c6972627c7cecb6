// TouchLog: the timestamps that have moved in memory and not yet on disk, at most one per key.
//
// While an item is in the log its mark `touched` is set, so that a hit on a hot item costs one look at the mark. The
// timestamp is read from the item when it is written, not when it was logged. A hit stores the timestamp first and
// looks at the mark then; take() clears the mark first and its caller reads the timestamp then: no touch falls between.
//
// An item that is not in memory any more is replaced here by a copy without bytes: the log keeps no values alive.
// Thread safety: all functions from any thread; one mutex, a leaf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/item.h"

namespace dbc {

class TouchLog {
 public:
  struct Pending {
    ItemRef item;
    bool backward = false;  // moved to an earlier time at least once since it was last taken
  };

  // Enters an item whose timestamp has just moved. Returns how many entries there are now, 0 if it was there already.
  size_t add(Item &item, bool backward);
  // The item left memory: lets go of its bytes.
  void forget_value(Item &item);

  // Applies what is pending for a key's state `version` to the timestamp that was read from disk. The order matters:
  // first find(), then the read, then apply(), else a write between the two goes unseen.
  Pending find(const Key &key) const;
  // The same for a read in a snapshot, which may have begun before a batch was written: between pin(), before the
  // snapshot begins, and unpin(), what has been written since is found too.
  Pending find_for_snapshot(const Key &key) const;
  void pin();
  void unpin();
  static double apply(const Pending &pending, uint64_t version, double timestamp);

  size_t size() const;
  // With what is taken and not done.
  size_t unwritten() const;
  // Did an entry move to an earlier time? Those must be written before a victim is chosen; the others only make a
  // candidate younger, which is looked at when it comes up.
  bool any_backward() const;

  // Moves up to `most` entries out, to be written, ordered by row; find() still sees them until done(). Under the
  // writer lock.
  std::vector<Pending> take(size_t most);
  // All that was taken has been written, or (`written` false) is pending again.
  // When memory is too short to remember, touches are lost.
  void done(bool written) noexcept;

  // Everything is moot: the store was cleared.
  void clear() noexcept;

 private:
  struct KeyHash {
    size_t operator()(const Key &key) const { return key.hash; }
  };
  struct KeyEqual {
    bool operator()(const Key &a, const Key &b) const { return a.hash == b.hash && a.text == b.text; }
  };
  // The keys point into the items that the entries own.
  using Map = std::unordered_map<Key, Pending, KeyHash, KeyEqual>;

  Pending find_unwritten(const Key &key) const;  // requires mutex_

  mutable std::mutex mutex_;
  Map pending_;
  Map writing_;
  Map written_;  // since the first of the present pins
  size_t pins_ = 0;
  size_t backward_ = 0;  // entries of pending_ that moved backward
};

}  // namespace dbc
