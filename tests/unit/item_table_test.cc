#include "memory/item_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace dbc {
namespace {

ItemRef make_item(const Key &key, uint64_t version = 1) { return Item::create(key, {.version = version}, 0); }
ItemRef make_item(const std::string &key, uint64_t version = 1) { return make_item(Key(key), version); }

Item *put(ItemTable &table, const ItemRef &item) {
  table.reserve();
  return table.put(item.get());
}

TEST(ItemTable, FindsWhatWasPutIn) {
  Epoch epoch;
  ItemTable table(epoch);
  EXPECT_EQ(table.find(Key("a")), nullptr);
  const ItemRef a = make_item("a"), b = make_item("b"), newer = make_item("a", 2);
  EXPECT_EQ(put(table, a), nullptr);
  EXPECT_EQ(put(table, b), nullptr);
  EXPECT_EQ(table.find(Key("a")), a.get());
  EXPECT_EQ(table.find(Key("b")), b.get());
  EXPECT_EQ(put(table, newer), a.get());
  EXPECT_EQ(table.size(), 2u);
  EXPECT_EQ(table.find(Key("a")), newer.get());
  table.erase(newer.get());
  EXPECT_EQ(table.find(Key("a")), nullptr);
  EXPECT_EQ(table.find(Key("b")), b.get());
  EXPECT_EQ(table.size(), 1u);
}

TEST(ItemTable, TellsKeysOfOneHashApart) {
  Epoch epoch;
  ItemTable table(epoch);
  std::vector<ItemRef> items;
  for (int i = 0; i < 40; ++i) {
    items.push_back(make_item(Key(std::to_string(i), 12345)));
    EXPECT_EQ(put(table, items.back()), nullptr);
  }
  EXPECT_EQ(table.find(Key("nothing", 12345)), nullptr);
  for (const ItemRef &item : items) EXPECT_EQ(table.find(item->as_key()), item.get());
  for (size_t i = 0; i < items.size(); i += 2) table.erase(items[i].get());
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(table.find(items[i]->as_key()), i % 2 ? items[i].get() : nullptr);
  }
  // The freed slots lie before the others' slots; taking them must not make a key appear twice.
  const ItemRef newer = make_item(Key("39", 12345), 2);
  EXPECT_EQ(put(table, newer), items[39].get());
  table.erase(newer.get());
  EXPECT_EQ(table.find(Key("39", 12345)), nullptr);
}

// Few home slots at the very end of the array: runs wrap around, and every way of erasing comes up.
TEST(ItemTable, AgreesWithAMapWhenKeysCrowd) {
  Epoch epoch;
  ItemTable table(epoch);
  std::map<std::string, ItemRef> oracle;
  std::mt19937_64 random(1);
  for (int step = 0; step < 200000; ++step) {
    const std::string text = std::to_string(random() % 24);
    const Key key(text, ~uint64_t{0} - (hash_bytes(text) % 4));
    const auto found = oracle.find(text);
    ASSERT_EQ(table.find(key), found == oracle.end() ? nullptr : found->second.get());
    if (random() % 2) {
      const ItemRef item = make_item(key);
      ASSERT_EQ(put(table, item), found == oracle.end() ? nullptr : found->second.get());
      oracle[text] = item;
    } else if (found != oracle.end()) {
      table.erase(found->second.get());
      oracle.erase(found);
    }
    ASSERT_EQ(table.size(), oracle.size());
    if (step % 1000 == 0) {
      table.trim();
      epoch.collect();
    }
    if (random() % 5000 == 0) {
      table.clear();
      oracle.clear();
    }
  }
}

TEST(ItemTable, KeepsItsLoadWithinBounds) {
  Epoch epoch;
  ItemTable table(epoch);
  std::vector<ItemRef> items;
  for (int i = 0; i < 20000; ++i) {
    items.push_back(make_item(std::to_string(i)));
    put(table, items.back());
    ASSERT_LE(table.size() * 4, table.capacity() * 3);
    if (i > 100) {
      ASSERT_GE(static_cast<double>(table.size()), 0.59 * static_cast<double>(table.capacity()));
    }
    epoch.collect();
    ASSERT_EQ(epoch.retired(), 0u);
  }
  for (const ItemRef &item : items) ASSERT_EQ(table.find(item->as_key()), item.get());
}

TEST(ItemTable, ChurnDoesNotGrowIt) {
  Epoch epoch;
  ItemTable table(epoch);
  std::vector<ItemRef> items;
  for (int i = 0; i < 1000; ++i) put(table, items.emplace_back(make_item(std::to_string(i))));
  const size_t before = table.capacity();
  for (int i = 1000; i < 100000; ++i) {
    ItemRef &slot = items[static_cast<size_t>(i % 1000)];
    table.erase(slot.get());
    slot = make_item(std::to_string(i));
    put(table, slot);
  }
  EXPECT_EQ(table.size(), 1000u);
  EXPECT_LE(table.capacity(), before * 5 / 4);
  for (const ItemRef &item : items) EXPECT_EQ(table.find(item->as_key()), item.get());
}

TEST(ItemTable, GivesMemoryBack) {
  Epoch epoch;
  ItemTable table(epoch);
  const size_t smallest = table.capacity();
  std::vector<ItemRef> items;
  for (int i = 0; i < 1000; ++i) put(table, items.emplace_back(make_item(std::to_string(i))));
  EXPECT_GT(table.capacity(), 1000u);
  const size_t full = table.capacity();
  table.trim();
  EXPECT_EQ(table.capacity(), full) << "it is full";
  for (size_t i = 100; i < 1000; ++i) table.erase(items[i].get());
  table.trim();
  EXPECT_LT(table.capacity(), 200u);
  for (size_t i = 0; i < 1000; ++i) EXPECT_EQ(table.find(items[i]->as_key()), i < 100 ? items[i].get() : nullptr);
  table.clear();
  EXPECT_EQ(table.capacity(), smallest);
  EXPECT_EQ(table.size(), 0u);
  for (const ItemRef &item : items) EXPECT_EQ(table.find(item->as_key()), nullptr);
}

// A key that stays must be found at every moment, whatever happens around it: replacing it, tombstones, growth.
TEST(ItemTable, ReadersAlwaysFindWhatStays) {
  Epoch epoch;
  ItemTable table(epoch);
  const ItemRef old_state = make_item("stays", 1), new_state = make_item("stays", 2);
  put(table, old_state);
  std::vector<ItemRef> others;
  for (int i = 0; i < 2000; ++i) others.push_back(make_item(std::to_string(i)));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> missed{0}, wrong{0}, reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(i));
      do {
        EpochGuard guard(epoch);
        if (!table.find(Key("stays"))) ++missed;
        const std::string key = std::to_string(random() % 2000);
        const Item *other = table.find(Key(key));
        if (other && other->key() != key) ++wrong;
        ++reads;
      } while (!stop);
    });
  }
  for (int round = 0; round < 10 || reads < 1000; ++round) {
    for (const ItemRef &item : others) {
      put(table, item);
      put(table, table.find(Key("stays")) == old_state.get() ? new_state : old_state);
    }
    for (const ItemRef &item : others) table.erase(item.get());
    table.trim();
    epoch.collect();
  }
  stop = true;
  for (std::thread &reader : readers) reader.join();
  EXPECT_EQ(missed, 0u);
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace dbc
