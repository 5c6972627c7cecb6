#include "base/item.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace dbc {

static_assert(sizeof(Item) <= 80, "the header is paid once per resident item");

Ref<Item> Item::create(const Key &key, const Fields &fields, size_t stored_bytes) {
  void *memory = std::malloc(sizeof(Item) + stored_bytes + key.text.size());
  if (!memory) throw std::bad_alloc();
  return Ref<Item>::adopt(new (memory) Item(key, fields, stored_bytes));
}

Item::Item(const Key &key, const Fields &fields, size_t stored_bytes)
    : timestamp(fields.timestamp),
      generation(fields.generation),
      hash_(key.hash),
      version_(fields.version),
      id_(fields.id),
      size_(fields.size),
      stored_bytes_(static_cast<uint32_t>(stored_bytes)),
      key_size_(static_cast<uint16_t>(key.text.size())),
      text_(fields.text) {
  std::memcpy(data() + stored_bytes, key.text.data(), key.text.size());
}

void Item::destroy() {
  this->~Item();
  std::free(this);
}

}  // namespace dbc
