#include "base/item.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace dbc {
namespace {

TEST(Item, HoldsWhatItWasMadeOf) {
  const Key key("user:1");
  ItemRef item =
      Item::create(key, {.version = 7, .id = -3, .timestamp = 1.5, .generation = 9, .size = 5, .text = true}, 5);
  std::memcpy(item->writable_value(), "hello", 5);
  EXPECT_EQ(item->key(), "user:1");
  EXPECT_EQ(item->value(), "hello");
  EXPECT_EQ(item->hash(), key.hash);
  EXPECT_EQ(item->as_key().text, key.text);
  EXPECT_EQ(item->as_key().hash, key.hash);
  EXPECT_EQ(item->version(), 7u);
  EXPECT_EQ(item->id(), -3);
  EXPECT_EQ(item->size(), 5u);
  EXPECT_TRUE(item->text());
  EXPECT_EQ(item->timestamp.load(), 1.5);
  EXPECT_EQ(item->generation.load(), 9u);
  EXPECT_FALSE(item->touched.load());
  EXPECT_FALSE(item->resident.load());
}

TEST(Item, KeepsItsOwnCopyOfTheKey) {
  std::string text(256 * 4, 'k');
  ItemRef item = Item::create(Key(text), {}, 0);
  const std::string before = text;
  text.assign(text.size(), 'x');
  EXPECT_EQ(item->key(), before);
}

TEST(Item, MayHoldNoBytesWhateverItsSize) {
  ItemRef item = Item::create(Key("k"), {.size = 1000}, 0);
  EXPECT_EQ(item->size(), 1000u);
  EXPECT_EQ(item->value(), "");
  EXPECT_EQ(item->key(), "k");
}

TEST(Item, ValueIsAlignedForWordAccess) {
  ItemRef item = Item::create(Key("k"), {.size = 8}, 8);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(item->writable_value()) % 8, 0u);
}

TEST(Item, LivesAsLongAsAnyReference) {
  ItemRef first = Item::create(Key("key"), {.size = 2}, 2);
  std::memcpy(first->writable_value(), "ab", 2);
  ItemRef second = first;
  ItemRef third = std::move(first);
  EXPECT_FALSE(first);
  third = ItemRef();
  EXPECT_EQ(second->value(), "ab");
  Item *raw = second.detach();
  EXPECT_FALSE(second);
  ItemRef adopted = ItemRef::adopt(raw);
  ItemRef shared = ItemRef::share(raw);
  adopted = shared;  // gives up one count, takes another
  adopted = {};
  EXPECT_EQ(shared->value(), "ab");
  EXPECT_FALSE(ItemRef::share(nullptr));
}

}  // namespace
}  // namespace dbc
