#include "base/item.h"

#include <cassert>
#include <cstring>
#include <new>

#include "base/large_blocks.h"

namespace dbc {

static_assert(sizeof(Item) <= 56, "the header is paid once per resident item");

Ref<Item> Item::create(const Key &key, const Fields &fields, size_t stored_bytes) {
  void *memory = allocate_block(bytes(key.text.size(), stored_bytes));
  if (!memory) throw std::bad_alloc();
  return Ref<Item>::adopt(new (memory) Item(key, fields, stored_bytes));
}

Item::Item(const Key &key, const Fields &fields, size_t stored_bytes)
    : timestamp(fields.timestamp),
      generation(fields.generation),
      hash_(key.hash),
      version_(fields.version),
      id_(fields.id),
      size_(static_cast<uint32_t>(fields.size)),
      key_size_(static_cast<uint16_t>(key.text.size())),
      text_(fields.text),
      holds_value_(stored_bytes > 0) {
  static_assert(kMaxValueBytes <= UINT32_MAX);
  assert(fields.size <= kMaxValueBytes && (stored_bytes == 0 || stored_bytes == fields.size));
  std::memcpy(data(), key.text.data(), key.text.size());
}

void Item::destroy() {
  const size_t size = bytes(key_size_, stored_bytes());
  this->~Item();
  free_block(this, size);
}

}  // namespace dbc
