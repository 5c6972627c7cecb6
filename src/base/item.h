// Item: one state of one key, as both tiers and the callers of the library see it. Header, key and value share one
// allocation, in this order, so that finding an item touches two cache lines as a rule, however large its value is; a
// dbc_value of the C ABI is an Item.
//
// Thread safety: key, value, version and size never change once others see the item; the id is set at most once more.
// The timestamp, the generation and the marks are atomic. What only the memory tier uses is guarded by the memory
// tier's mutex and says so.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/key.h"
#include "base/ref.h"

namespace dbc {

// SQLite can store 10^9 bytes in a row, where the value has the longest key beside it.
inline constexpr uint64_t kMaxRowBytesBesides = 4096;
inline constexpr uint64_t kMaxValueBytes = 1'000'000'000 - kMaxRowBytesBesides;

class Item {
 public:
  struct Fields {
    uint64_t version = 0;     // unique in the file, never reused, grows with every put
    int64_t id = 0;           // the row on disk; 0: none yet
    double timestamp = 0;     // last access
    uint64_t generation = 0;  // the generation word of the key that this state was read or written under
    uint64_t size = 0;        // bytes of the value as given, also when the item holds no bytes
    bool text = false;        // the value is UTF-8 text
  };

  // An item with room for `stored_bytes` of value (its size, or 0 when the bytes live elsewhere), still to be filled
  // through writable_value() before anyone else sees it. Throws std::bad_alloc.
  static Ref<Item> create(const Key &key, const Fields &fields, size_t stored_bytes);

  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

  std::string_view key() const { return {data(), key_size_}; }
  uint64_t hash() const { return hash_; }
  Key as_key() const { return Key(key(), hash_); }
  // Empty when the item holds no bytes, whatever its size.
  std::string_view value() const { return {data() + value_at(), stored_bytes()}; }
  char *writable_value() { return data() + value_at(); }

  uint64_t version() const { return version_; }
  void set_version(uint64_t version) { version_ = version; }  // before anyone else sees the item
  int64_t id() const { return id_.load(); }
  void set_id(int64_t id) { id_.store(id); }  // when it gets a row
  uint64_t size() const { return size_; }
  bool text() const { return text_; }

  // Ordered so that the header, which is paid for every item in memory, is as small as it can be, and so that what a hit
  // writes is in one cache line, which may have to come from another processor: the first 16 bytes, for malloc aligns
  // to as many.
  std::atomic<double> timestamp;

 private:
  std::atomic<uint32_t> references_{1};

 public:
  // Position in the memory tier's LRU heap. Guarded by the memory tier's mutex.
  uint32_t heap_index = 0;
  std::atomic<uint64_t> generation;

 private:
  const uint64_t hash_;
  uint64_t version_;
  std::atomic<int64_t> id_;
  const uint32_t size_;

 public:
  // The timestamp is ahead of the file's, and the item is in the touch log.
  std::atomic<bool> touched{false};
  // The item is in the memory tier. Set and cleared under the memory tier's mutex.
  std::atomic<bool> resident{false};

 private:
  Item(const Key &key, const Fields &fields, size_t stored_bytes);
  void destroy();

  const uint16_t key_size_ : 14;
  const uint16_t text_ : 1;
  const uint16_t holds_value_ : 1;

  // Directly after the header: the key, then the value, aligned to 8.
  const char *data() const { return reinterpret_cast<const char *>(this + 1); }
  char *data() { return reinterpret_cast<char *>(this + 1); }
  static size_t room_for_key(size_t key_size) { return (key_size + 7) / 8 * 8; }
  size_t value_at() const { return holds_value_ ? room_for_key(key_size_) : 0; }
  size_t stored_bytes() const { return holds_value_ ? size_ : 0; }
  static size_t bytes(size_t key_size, size_t stored_bytes) {
    return sizeof(Item) + (stored_bytes > 0 ? room_for_key(key_size) : key_size) + stored_bytes;
  }
};

using ItemRef = Ref<Item>;

}  // namespace dbc
