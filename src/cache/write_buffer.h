// WriteBuffer: puts that were acknowledged and are not committed yet, at most one per key, in the order of the puts.
//
// What is taken out to be committed is found here until it is: a read that finds nothing here finds it in the store, if
// it looks there afterwards.
//
// Thread safety: all functions from any thread; take() to done() by one at a time. One mutex, a leaf.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "base/item.h"

namespace dbc {

class WriteBuffer {
 public:
  struct Entry {
    // The one object that is, or may come to be, in the memory tier. Its id is 0 until it is committed, and its
    // timestamp is then the latest.
    ItemRef item;
    // With the bytes; the same object, or another where the memory tier holds none of this item.
    ItemRef whole;
  };

  WriteBuffer(uint64_t max_items, uint64_t max_bytes) : max_items_(max_items), max_bytes_(max_bytes) {}

  // Would an item of that size ever fit?
  bool fits(uint64_t size) const { return size <= max_bytes_; }

  // Enters a put, in place of an older one of the same key, under the version that `reserve` gives: among all puts the
  // later has the later. False when there is no room: then what is pending has to be committed first. `*fill` becomes
  // how full the buffer is, from 0 to 1.
  bool try_add(const Entry &entry, const std::function<uint64_t()> &reserve, double *fill);

  // The key has got that version, not through here: an older put of it is moot. Not between take() and done().
  void drop_older(const Key &key, uint64_t version) noexcept;

  // The pending put of a key; item is null if there is none.
  Entry find(const Key &key) const;
  // Is a later put of the item's key pending?
  bool has_later(const Item &item) const;
  bool empty() const { return size() == 0; }
  size_t size() const;

  // All that is pending, in order. Until done() says what became of it, the entries count as pending.
  std::vector<Entry> take();
  // Not committed, they are pending again, unless a later put has taken their place.
  void done(bool committed) noexcept;

 private:
  struct Less {
    bool operator()(const Key &a, const Key &b) const { return a.hash != b.hash ? a.hash < b.hash : a.text < b.text; }
  };
  // The keys point into the items that the entries own. (A map whose nodes move without an allocation.)
  using Map = std::map<Key, Entry, Less>;

  bool has_room(const Key &key, uint64_t size) const;  // requires mutex_

  const uint64_t max_items_;
  const uint64_t max_bytes_;

  std::atomic<uint64_t> last_version_{0};  // of all puts that were ever entered; set under the mutex
  mutable std::mutex mutex_;               // guards everything below
  Map pending_;
  Map writing_;
  uint64_t pending_bytes_ = 0;
  uint64_t writing_bytes_ = 0;
};

}  // namespace dbc
