#include "memory/lru_heap.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace dbc {
namespace {

ItemRef make_item(const std::string &key, double timestamp = 0) {
  return Item::create(Key(key), {.timestamp = timestamp}, 0);
}

void push(LruHeap &heap, const ItemRef &item, double recorded) {
  heap.reserve();
  heap.push(item.get(), recorded);
}

std::vector<std::string> drain(LruHeap &heap) {
  std::vector<std::string> keys;
  while (!heap.empty()) {
    keys.emplace_back(heap.top()->key());
    heap.remove(heap.top());
  }
  return keys;
}

TEST(LruHeap, OrdersByTimestampThenByKeyBytes) {
  LruHeap heap;
  const std::vector<ItemRef> items = {make_item("b"),  make_item("a"),    make_item("\xC3\xBC"), make_item("z"),
                                      make_item("aa"), make_item("late"), make_item("early")};
  for (size_t i = 0; i < 5; ++i) push(heap, items[i], 1);
  push(heap, items[5], 2);
  push(heap, items[6], -1);
  EXPECT_EQ(heap.top_recorded(), -1);
  EXPECT_EQ(drain(heap), (std::vector<std::string>{"early", "a", "aa", "b", "z", "\xC3\xBC", "late"}));
}

TEST(LruHeap, NegativeZeroIsZero) {
  LruHeap heap;
  const ItemRef a = make_item("a"), b = make_item("b"), c = make_item("c");
  push(heap, c, -0.0);
  push(heap, b, 0.0);
  push(heap, a, 0.0);
  EXPECT_EQ(drain(heap), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(LruHeap, UpdatesInBothDirections) {
  LruHeap heap;
  std::vector<ItemRef> items;
  for (int i = 0; i < 30; ++i) {
    items.push_back(make_item(std::to_string(i)));
    push(heap, items.back(), i);
  }
  heap.update(items[29].get(), -1);
  EXPECT_EQ(heap.top(), items[29].get());
  EXPECT_EQ(heap.recorded(*items[29]), -1);
  heap.update(items[29].get(), 100);
  EXPECT_EQ(heap.top(), items[0].get());
  heap.update(items[0].get(), 50);
  EXPECT_EQ(heap.top(), items[1].get());
}

TEST(LruHeap, RecordsAllAtTheirOwnTimestamps) {
  for (int size = 0; size < 40; ++size) {
    LruHeap heap;
    std::vector<ItemRef> items;
    for (int i = 0; i < size; ++i) {
      items.push_back(make_item(std::to_string(i), (i * 7) % 11));
      push(heap, items.back(), -1);
    }
    std::set<std::pair<double, std::string>> expected;
    for (const ItemRef &item : items) expected.emplace(item->timestamp.load(), item->key());
    heap.record_all();
    for (const ItemRef &item : items) EXPECT_EQ(heap.recorded(*item), item->timestamp.load());
    std::vector<std::string> keys;
    for (const auto &[timestamp, key] : expected) keys.push_back(key);
    EXPECT_EQ(drain(heap), keys);
  }
}

TEST(LruHeap, AgreesWithASortedSet) {
  LruHeap heap;
  std::set<std::pair<double, std::string>> oracle;
  std::map<std::string, ItemRef> items;
  std::mt19937 random(1);
  for (int step = 0; step < 200000; ++step) {
    const std::string key = std::to_string(random() % 300);
    const double recorded = static_cast<double>(random() % 50) - 25;
    const auto found = items.find(key);
    if (found == items.end()) {
      const ItemRef item = make_item(key);
      items.emplace(key, item);
      push(heap, item, recorded);
      oracle.emplace(recorded, key);
    } else {
      Item *item = found->second.get();
      ASSERT_EQ(heap.entries()[item->heap_index].item, item);
      ASSERT_EQ(oracle.erase({heap.recorded(*item), key}), 1u);
      if (random() % 2) {
        heap.update(item, recorded);
        oracle.emplace(recorded, key);
      } else {
        heap.remove(item);
        items.erase(found);
      }
    }
    ASSERT_EQ(heap.size(), oracle.size());
    if (!oracle.empty()) {
      ASSERT_EQ(heap.top()->key(), oracle.begin()->second);
      ASSERT_EQ(heap.top_recorded(), oracle.begin()->first);
    }
  }
  EXPECT_GT(oracle.size(), 50u);
  std::vector<std::string> keys;
  for (const auto &[recorded, key] : oracle) keys.push_back(key);
  EXPECT_EQ(drain(heap), keys);
}

TEST(LruHeap, GivesMemoryBack) {
  LruHeap heap;
  std::vector<ItemRef> items;
  for (int i = 0; i < 1000; ++i) {
    items.push_back(make_item(std::to_string(i)));
    push(heap, items.back(), i);
  }
  EXPECT_LE(heap.entries().capacity(), 1000u + 1000 / 8 + 16);
  const size_t full = heap.entries().capacity();
  heap.trim();
  EXPECT_EQ(heap.entries().capacity(), full) << "it is full";
  for (int i = 10; i < 1000; ++i) heap.remove(items[static_cast<size_t>(i)].get());
  heap.trim();
  EXPECT_LT(heap.entries().capacity(), 64u);
  EXPECT_EQ(drain(heap), (std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
  heap.clear();
  EXPECT_EQ(heap.entries().capacity(), 0u);
}

}  // namespace
}  // namespace dbc
