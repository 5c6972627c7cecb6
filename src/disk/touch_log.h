// TouchLog: the timestamps that have moved in memory and not yet on disk, at most one per state of an item. States go
// by their version, which nothing else ever has; a row may come to hold another item.
//
// While an item in memory is in the log its mark `touched` is set, so that a hit on a hot item costs one look at the
// mark. Its timestamp is read when it is taken to be written, not when it was logged. A hit stores the timestamp first
// and looks at the mark then; who clears the mark reads the timestamp afterwards: no touch falls between. Of an item
// that is not in memory the log keeps the timestamp alone.
//
// Thread safety: all functions from any thread; one mutex, a leaf.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/item.h"

namespace dbc {

class TouchLog {
 public:
  struct Touch {
    int64_t id = 0;
    uint64_t version = 0;
    double timestamp = 0;
    bool backward = false;  // moved to an earlier time at least once since it was last taken
  };

  // Enters an item with a row, whose timestamp has just moved. Returns how many entries there are now, 0 if it was
  // there already.
  size_t add(Item &item, bool backward);
  // The item left memory: lets go of it.
  void left_memory(Item &item) noexcept;

  // Applies what is pending for a version to the timestamp that was read from disk. That is right only if written() has
  // been the same since before the read began, else a batch may have been written in between. Under the writer lock
  // none is.
  void apply(uint64_t version, double *timestamp) const;
  uint64_t written() const { return written_batches_.load(); }
  // The same for a read in a snapshot, which may have begun before a batch was written: between pin(), before the
  // snapshot begins, and unpin() of what it gave, what has been written since is applied too.
  void apply_in_snapshot(uint64_t version, double *timestamp) const;
  uint64_t pin();
  void unpin(uint64_t pin) noexcept;

  size_t size() const;
  // With what is taken and not done.
  size_t unwritten() const;
  // Did an entry move to an earlier time? Those must be written before a victim is chosen; the others only make a
  // candidate younger, which is looked at when it comes up.
  bool any_backward() const;

  // Moves up to `most` entries out, the first that came, to be written, ordered by row; apply() still sees them until
  // done(). Under the writer lock.
  std::vector<Touch> take(size_t most);
  // All that was taken has been written, or (`written` false) is pending again. Under the writer lock.
  // When memory is too short to remember, touches are lost.
  void done(bool written) noexcept;

  // Everything is moot: the store was cleared. Under the writer lock.
  void clear() noexcept;

 private:
  struct Entry {
    int64_t id = 0;
    ItemRef item;          // while it is in memory
    double timestamp = 0;  // where there is no item
    bool backward = false;

    double time() const { return item ? item->timestamp.load() : timestamp; }
  };
  using Map = std::unordered_map<uint64_t, Entry>;  // by version, which is unique and never reused
  struct Written {
    double timestamp = 0;
    bool backward = false;
    uint64_t batch = 0;
  };

  const Entry *find_unwritten(uint64_t version) const;  // requires mutex_

  mutable std::mutex mutex_;
  Map pending_;
  std::deque<uint64_t> order_;  // the versions in pending_, as they came
  Map writing_;                 // changed under the writer lock only
  // What was written since the first of the present pins: the time alone, so that a scan keeps alive nothing that
  // leaves memory meanwhile.
  std::unordered_map<uint64_t, Written> written_;
  std::map<uint64_t, size_t> pins_;  // how many since which batch was the last
  size_t backward_ = 0;              // entries of pending_ that moved backward
  std::atomic<uint64_t> written_batches_{0};
};

}  // namespace dbc
