#include "memory/memory_tier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

// Lets a test fail the n-th allocation of its own thread from now; negative: none.
thread_local int64_t allocations_until_failure = -1;

// Not inlined: the compiler would see malloc and delete, or new and free, as a mismatch.
[[gnu::noinline]] void *operator new(size_t size) {
  if (allocations_until_failure == 0) throw std::bad_alloc();
  if (allocations_until_failure > 0) --allocations_until_failure;
  if (void *memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void *memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, size_t) noexcept { std::free(memory); }

namespace dbc {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

struct Spec {
  double timestamp = 0;
  uint64_t size = 1;
  uint64_t version = 1;
};

ItemRef make_item(std::string_view key, const Spec &spec = {}) {
  return Item::create(Key(key), {.version = spec.version, .timestamp = spec.timestamp, .size = spec.size}, 0);
}

// Inserts and returns "key:limit" for what was evicted.
std::vector<std::string> put(MemoryTier &tier, ItemRef item) {
  std::vector<MemoryTier::Eviction> evictions;
  EXPECT_TRUE(tier.insert(std::move(item), &evictions, nullptr));
  std::vector<std::string> texts;
  for (const auto &[evicted, limit] : evictions) {
    EXPECT_FALSE(evicted->resident);
    texts.push_back(std::string(evicted->key()) + (limit == Limit::kCount ? ":count" : ":size"));
  }
  return texts;
}

std::vector<std::string> keys_of(const std::vector<ItemRef> &items) {
  std::vector<std::string> keys;
  for (const ItemRef &item : items) keys.emplace_back(item->key());
  return keys;
}

using Texts = std::vector<std::string>;

// Evicts everything by items later than all others, and says in which order it went.
Texts drain(MemoryTier &tier, uint64_t max_items) {
  Texts order;
  const size_t there = tier.items();
  std::vector<MemoryTier::Eviction> evictions;
  for (uint64_t i = 0; i < max_items; ++i) {
    tier.insert(make_item("\x7F"
                          "drain" +
                              std::to_string(i),
                          {.timestamp = 1e300}),
                &evictions, nullptr);
  }
  for (const auto &eviction : evictions) {
    if (eviction.item->timestamp != 1e300) order.emplace_back(eviction.item->key());
  }
  EXPECT_EQ(order.size(), there);
  return order;
}

TEST(MemoryTier, FindsWhatWasInserted) {
  MemoryTier tier(10, 100);
  const ItemRef a = make_item("a", {.size = 7});
  EXPECT_FALSE(tier.find(Key("a")));
  EXPECT_EQ(put(tier, a), Texts());
  EXPECT_TRUE(a->resident);
  EXPECT_EQ(tier.find(Key("a")).get(), a.get());
  EXPECT_FALSE(tier.find(Key("b")));
  EXPECT_EQ(MemoryTier::Reader(tier).find(Key("a")), a.get());
  EXPECT_EQ(MemoryTier::Reader(tier).find(Key("b")), nullptr);
  EXPECT_EQ(tier.items(), 1u);
  EXPECT_EQ(tier.bytes(), 7u);
}

TEST(MemoryTier, AClosedOneAdmitsNoReader) {
  MemoryTier tier(10, 100);
  put(tier, make_item("a", {.size = 7}));
  EXPECT_TRUE(MemoryTier::Reader(tier).admitted());
  MemoryTier::Reader(tier).count_hit();
  tier.close();
  EXPECT_FALSE(MemoryTier::Reader(tier).admitted());
  EXPECT_TRUE(tier.find(Key("a"))) << "all else goes on";
  EXPECT_EQ(tier.hits(), 1u);
}

TEST(MemoryTier, ReplacesAndReturnsTheOldItem) {
  MemoryTier tier(1, 100);
  const ItemRef old_item = make_item("a", {.size = 60}), new_item = make_item("a", {.size = 50, .version = 2});
  put(tier, old_item);
  std::vector<MemoryTier::Eviction> evictions;
  ItemRef replaced;
  EXPECT_TRUE(tier.insert(new_item, &evictions, &replaced));
  EXPECT_EQ(replaced.get(), old_item.get());
  EXPECT_TRUE(evictions.empty()) << "the replaced item counts no more";
  EXPECT_FALSE(old_item->resident);
  EXPECT_TRUE(new_item->resident);
  EXPECT_EQ(tier.find(Key("a")).get(), new_item.get());
  EXPECT_EQ(tier.items(), 1u);
  EXPECT_EQ(tier.bytes(), 50u);
}

TEST(MemoryTier, RefusesAVersionThatIsNoNewer) {
  MemoryTier tier(10, 100);
  const ItemRef present = make_item("a", {.version = 5}), equal = make_item("a", {.version = 5});
  put(tier, present);
  std::vector<MemoryTier::Eviction> evictions;
  ItemRef replaced;
  EXPECT_FALSE(tier.insert(make_item("a", {.version = 4}), &evictions, &replaced));
  EXPECT_FALSE(replaced);
  EXPECT_EQ(tier.find(Key("a")).get(), present.get());
  EXPECT_FALSE(tier.insert(equal, &evictions, &replaced));
  EXPECT_FALSE(replaced);
  EXPECT_EQ(tier.find(Key("a")).get(), present.get());
}

TEST(MemoryTier, AnItemMayComeBack) {
  MemoryTier tier(10, 100);
  const ItemRef item = make_item("a", {.size = 3});
  put(tier, item);
  ItemRef replaced;
  std::vector<MemoryTier::Eviction> evictions;
  EXPECT_FALSE(tier.insert(item, &evictions, &replaced)) << "it is there already";
  EXPECT_FALSE(replaced);
  EXPECT_TRUE(item->resident);
  EXPECT_EQ(tier.bytes(), 3u);
  EXPECT_EQ(tier.erase(Key("a")).get(), item.get());
  put(tier, item);
  EXPECT_TRUE(item->resident);
  EXPECT_EQ(tier.find(Key("a")).get(), item.get());
}

TEST(MemoryTier, AllowIsAskedBeforeAnythingChanges) {
  MemoryTier tier(1, 100);
  const ItemRef a = make_item("a");
  put(tier, a);
  std::vector<MemoryTier::Eviction> evictions;
  const ItemRef b = make_item("b");
  EXPECT_FALSE(tier.insert(b, &evictions, nullptr, [] { return false; }));
  const auto fails = []() -> bool { throw std::runtime_error("no"); };
  EXPECT_THROW(tier.insert(b, &evictions, nullptr, fails), std::runtime_error);
  EXPECT_TRUE(evictions.empty());
  EXPECT_FALSE(b->resident);
  EXPECT_EQ(keys_of(tier.in_order()), Texts{"a"});
  bool there = false;
  EXPECT_TRUE(tier.insert(b, &evictions, nullptr, [&] { return there = bool(tier.find(Key("a"))); }));
  EXPECT_TRUE(there);
  EXPECT_EQ(keys_of(tier.in_order()), Texts{"b"});
}

TEST(MemoryTier, EvictsTheSmallestTimestampThenTheSmallestKey) {
  MemoryTier tier(3, 100);
  put(tier, make_item("c", {.timestamp = 2}));
  put(tier, make_item("b", {.timestamp = 1}));
  put(tier, make_item("a", {.timestamp = 1}));
  EXPECT_EQ(keys_of(tier.in_order()), (Texts{"a", "b", "c"}));
  EXPECT_EQ(put(tier, make_item("d", {.timestamp = 3})), Texts{"a:count"});
  EXPECT_EQ(put(tier, make_item("e", {.timestamp = 3, .size = 99})), (Texts{"b:count", "c:size"}));
  EXPECT_EQ(tier.items(), 2u);
  EXPECT_EQ(tier.bytes(), 100u);
}

TEST(MemoryTier, TheNewItemMayBeTheVictim) {
  MemoryTier tier(2, 100);
  put(tier, make_item("a", {.timestamp = 5}));
  put(tier, make_item("b", {.timestamp = 6}));
  const ItemRef late = make_item("c", {.timestamp = 1});
  EXPECT_EQ(put(tier, late), Texts{"c:count"});
  EXPECT_FALSE(late->resident);
  EXPECT_FALSE(tier.find(Key("c")));

  // Also when it stands in for a resident item of its key, which is then gone as well.
  put(tier, make_item("b", {.timestamp = 7, .size = 90, .version = 2}));
  std::vector<MemoryTier::Eviction> evictions;
  ItemRef replaced;
  EXPECT_TRUE(tier.insert(make_item("a", {.timestamp = 1, .size = 20, .version = 2}), &evictions, &replaced));
  ASSERT_TRUE(replaced);
  EXPECT_EQ(replaced->version(), 1u);
  EXPECT_FALSE(replaced->resident);
  ASSERT_EQ(evictions.size(), 1u);
  EXPECT_EQ(evictions[0].item->version(), 2u);
  EXPECT_EQ(evictions[0].limit, Limit::kSize);
  EXPECT_EQ(keys_of(tier.in_order()), Texts{"b"});
  EXPECT_EQ(tier.items(), 1u);
  EXPECT_EQ(tier.bytes(), 90u);
}

TEST(MemoryTier, ZeroItemsSwitchItOff) {
  MemoryTier tier(0, 100);
  EXPECT_FALSE(tier.fits(0));
  std::vector<MemoryTier::Eviction> evictions;
  EXPECT_FALSE(tier.insert(make_item("a"), &evictions, nullptr));
  EXPECT_TRUE(evictions.empty());
  EXPECT_EQ(tier.items(), 0u);
  EXPECT_FALSE(tier.erase(Key("a")));
  std::vector<ItemRef> removed;
  tier.clear(&removed);
  tier.erase_if([](double) { return true; }, &removed);
  EXPECT_TRUE(removed.empty());
}

TEST(MemoryTier, ZeroBytesAdmitEmptyItemsOnly) {
  MemoryTier tier(2, 0);
  EXPECT_TRUE(tier.fits(0));
  EXPECT_FALSE(tier.fits(1));
  EXPECT_EQ(put(tier, make_item("a", {.size = 0})), Texts());
  EXPECT_EQ(put(tier, make_item("b", {.size = 0})), Texts());
  EXPECT_EQ(put(tier, make_item("c", {.size = 0})), Texts{"a:count"});
}

TEST(MemoryTier, TouchMovesAnItemToItsNewPlace) {
  MemoryTier tier(3, 100);
  const ItemRef a = make_item("a", {.timestamp = 1}), b = make_item("b", {.timestamp = 2}),
                c = make_item("c", {.timestamp = 3});
  for (const ItemRef &item : {a, b, c}) put(tier, item);
  EXPECT_FALSE(tier.touch(*a, 10, false));
  EXPECT_EQ(a->timestamp, 10);
  EXPECT_EQ(keys_of(tier.in_order()), (Texts{"b", "c", "a"}));
  EXPECT_FALSE(tier.touch(*a, 5, false));
  EXPECT_FALSE(tier.touch(*a, 10, true));
  EXPECT_EQ(a->timestamp, 10) << "the library's clock does not turn a later access back";
  EXPECT_TRUE(tier.touch(*a, 2.5, true)) << "it has become older";
  EXPECT_EQ(a->timestamp, 2.5) << "a time that the caller named counts";
  tier.touch(*c, 0, true);
  EXPECT_EQ(keys_of(tier.in_order()), (Texts{"c", "b", "a"}));
  EXPECT_EQ(drain(tier, 3), (Texts{"c", "b", "a"}));
  tier.touch(*a, 1, true);
  EXPECT_EQ(a->timestamp, 1) << "also out of residence";
}

TEST(MemoryTier, ABatchIsEvictedFromAfterAllItemsAreIn) {
  MemoryTier tier(2, 99);
  const ItemRef old_state = make_item("b", {.timestamp = 1, .size = 10});
  put(tier, old_state);
  put(tier, make_item("z", {.timestamp = 4, .version = 9}));
  const std::vector<ItemRef> batch = {
      make_item("c", {.timestamp = 5, .version = 2}), make_item("a", {.timestamp = 5, .version = 3}),
      make_item("b", {.timestamp = 5, .size = 99, .version = 4}), make_item("z", {.timestamp = 6, .version = 5})};
  std::vector<MemoryTier::Eviction> evictions;
  std::vector<ItemRef> replaced;
  tier.insert_all(batch, &evictions, &replaced);
  EXPECT_EQ(keys_of(replaced), Texts{"b"}) << "the resident z is of a later version";
  EXPECT_EQ(replaced[0].get(), old_state.get());
  EXPECT_FALSE(old_state->resident);
  ASSERT_EQ(evictions.size(), 3u);
  EXPECT_EQ(evictions[0].item->key(), "z");
  EXPECT_EQ(evictions[0].limit, Limit::kCount);
  EXPECT_EQ(evictions[1].item->key(), "a");
  EXPECT_EQ(evictions[1].limit, Limit::kCount);
  EXPECT_EQ(evictions[2].item->key(), "b");
  EXPECT_EQ(evictions[2].limit, Limit::kSize);
  for (const auto &eviction : evictions) EXPECT_FALSE(eviction.item->resident);
  EXPECT_EQ(keys_of(tier.in_order()), Texts{"c"});
  EXPECT_TRUE(batch[0]->resident);
  EXPECT_EQ(tier.items(), 1u);
  EXPECT_EQ(tier.bytes(), 1u);
  EXPECT_EQ(drain(tier, 2), Texts{"c"});
}

TEST(MemoryTier, WhatABatchMayNotBringInTakesItsElderOut) {
  MemoryTier tier(10, 100);
  const ItemRef elder = make_item("a", {.version = 1}), later = make_item("b", {.version = 9});
  put(tier, elder);
  put(tier, later);
  const std::vector<ItemRef> batch = {make_item("a", {.version = 2}), make_item("b", {.version = 3}),
                                      make_item("c", {.version = 4}), make_item("d", {.version = 5})};
  std::vector<MemoryTier::Eviction> evictions;
  std::vector<ItemRef> replaced;
  tier.insert_all(batch, &evictions, &replaced, [](const Item &item) { return item.key() == "d"; });
  EXPECT_EQ(keys_of(replaced), Texts{"a"});
  EXPECT_FALSE(elder->resident);
  EXPECT_TRUE(later->resident);
  EXPECT_EQ(tier.items(), 2u);
  EXPECT_FALSE(tier.find(Key("a")));
  EXPECT_TRUE(tier.find(Key("d")));
}

TEST(MemoryTier, EraseAsksForTheVersion) {
  MemoryTier tier(10, 100);
  const ItemRef item = make_item("a", {.size = 4, .version = 3});
  put(tier, item);
  EXPECT_FALSE(tier.erase(Key("a"), 2));
  EXPECT_TRUE(item->resident);
  EXPECT_EQ(tier.erase(Key("a"), 3).get(), item.get());
  EXPECT_FALSE(item->resident);
  EXPECT_FALSE(tier.find(Key("a")));
  EXPECT_EQ(tier.bytes(), 0u);
  EXPECT_FALSE(tier.erase(Key("a")));
}

TEST(MemoryTier, ClearTakesOutEverything) {
  MemoryTier tier(1000, 10000);
  for (int i = 0; i < 500; ++i) put(tier, make_item(std::to_string(i), {.size = 2}));
  std::vector<ItemRef> removed = {make_item("kept")};
  tier.clear(&removed);
  EXPECT_EQ(removed.size(), 501u);
  EXPECT_EQ(removed[0]->key(), "kept");
  for (const ItemRef &item : removed) EXPECT_FALSE(item->resident);
  uint64_t items = 1, bytes = 1;
  tier.totals(&items, &bytes);
  EXPECT_EQ(items, 0u);
  EXPECT_EQ(bytes, 0u);
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(tier.find(Key(std::to_string(i))));
  EXPECT_EQ(put(tier, make_item("1")), Texts());
  EXPECT_EQ(tier.items(), 1u);
}

TEST(MemoryTier, EraseIfTakesOutTheExpired) {
  MemoryTier tier(1000, 10000);
  std::vector<ItemRef> items;
  for (int i = 0; i < 500; ++i) {
    items.push_back(make_item(std::to_string(i), {.timestamp = double(i), .size = 2}));
    put(tier, items.back());
  }
  tier.touch(*items[0], 1000, false);
  std::vector<ItemRef> removed = {make_item("kept")};
  EXPECT_THROW(tier.erase_if([](double at) { return at == 300 ? throw std::runtime_error("no") : true; }, &removed),
               std::runtime_error);
  EXPECT_EQ(keys_of(removed), Texts{"kept"});
  EXPECT_EQ(tier.items(), 500u);
  tier.erase_if([](double at) { return at < 450; }, &removed);
  EXPECT_EQ(removed.size(), 450u);
  EXPECT_EQ(tier.items(), 51u);
  EXPECT_EQ(tier.bytes(), 102u);
  for (size_t i = 0; i < 500; ++i) {
    EXPECT_EQ(bool(tier.find(items[i]->as_key())), i == 0 || i >= 450) << i;
    EXPECT_EQ(items[i]->resident, i == 0 || i >= 450) << i;
  }
}

TEST(MemoryTier, PinnedItemsOutliveTheTier) {
  ItemRef item;
  {
    MemoryTier tier(10, 100);
    put(tier, make_item("a"));
    item = tier.find(Key("a"));
  }
  EXPECT_EQ(item->key(), "a");
  EXPECT_FALSE(item->resident);
}

// Every way of changing the tier against a sorted set of (timestamp, key), within limits so tight that eviction is the
// rule.
class Oracle {
 public:
  Oracle(uint64_t max_items, uint64_t max_bytes) : max_items_(max_items), max_bytes_(max_bytes) {}

  struct State {
    double timestamp;
    uint64_t size;
    uint64_t version;
  };

  Texts insert(const std::string &key, const State &state) {
    erase(key);
    states_[key] = state;
    order_.emplace(state.timestamp, key);
    bytes_ += state.size;
    Texts evicted;
    while (states_.size() > max_items_ || bytes_ > max_bytes_) {
      const std::string victim = order_.begin()->second;
      evicted.push_back(victim + (states_.size() > max_items_ ? ":count" : ":size"));
      erase(victim);
    }
    return evicted;
  }
  void touch(const std::string &key, double timestamp, bool explicit_time) {
    State &state = states_.at(key);
    if (!explicit_time && timestamp < state.timestamp) return;
    order_.erase({state.timestamp, key});
    state.timestamp = timestamp;
    order_.emplace(timestamp, key);
  }
  void erase(const std::string &key) {
    const auto found = states_.find(key);
    if (found == states_.end()) return;
    order_.erase({found->second.timestamp, key});
    bytes_ -= found->second.size;
    states_.erase(found);
  }
  const State *find(const std::string &key) const {
    const auto found = states_.find(key);
    return found == states_.end() ? nullptr : &found->second;
  }
  Texts keys() const {
    Texts keys;
    for (const auto &[timestamp, key] : order_) keys.push_back(key);
    return keys;
  }
  size_t erase_before(double timestamp) {
    size_t count = 0;
    for (; !order_.empty() && order_.begin()->first < timestamp; ++count) erase(std::string(order_.begin()->second));
    return count;
  }
  uint64_t bytes() const { return bytes_; }

 private:
  const uint64_t max_items_, max_bytes_;
  std::map<std::string, State> states_;
  std::set<std::pair<double, std::string>> order_;
  uint64_t bytes_ = 0;
};

void compare_with_oracle(unsigned seed, uint64_t max_items, uint64_t max_bytes, int keys, int steps) {
  MemoryTier tier(max_items, max_bytes);
  Oracle oracle(max_items, max_bytes);
  std::mt19937 random(seed);
  uint64_t version = 0;
  const double horizon = 2.0 * keys;
  double now = 0;
  size_t evicted = 0, out_of_order = 0;
  for (int step = 0; step < steps; ++step) {
    const std::string key = "k" + std::to_string(random() % static_cast<unsigned>(keys));
    // Equal, later and earlier timestamps, around zero.
    double timestamp = now;
    if (random() % 4 == 0) timestamp = now += 1;
    if (random() % 4 == 0) timestamp = now - static_cast<double>(random() % 20);
    if (timestamp < now) ++out_of_order;
    const unsigned action = random() % 100;
    if (action < 40) {
      const Oracle::State state{timestamp, random() % 10, ++version};
      if (!tier.fits(state.size)) continue;
      const Texts expected = oracle.insert(key, state);
      evicted += expected.size();
      ASSERT_EQ(put(tier, make_item(key, {timestamp, state.size, state.version})), expected) << "step " << step;
    } else if (action < 90) {
      const bool explicit_time = random() % 2;
      MemoryTier::Reader reader(tier);
      reader.prefetch(Key(key));
      Item *const item = reader.find(Key(key));
      ASSERT_EQ(item != nullptr, oracle.find(key) != nullptr) << "step " << step;
      if (!item) continue;
      tier.touch(*item, timestamp, explicit_time);
      oracle.touch(key, timestamp, explicit_time);
    } else if (action < 97) {
      const Oracle::State *state = oracle.find(key);
      const ItemRef erased = tier.erase(Key(key));
      ASSERT_EQ(bool(erased), state != nullptr) << "step " << step;
      if (state) {
        ASSERT_EQ(erased->version(), state->version);
      }
      oracle.erase(key);
    } else if (action < 99) {
      std::vector<ItemRef> removed;
      tier.erase_if([&](double at) { return at < timestamp - horizon; }, &removed);
      ASSERT_EQ(removed.size(), oracle.erase_before(timestamp - horizon)) << "step " << step;
    } else if (random() % 100 == 0) {
      std::vector<ItemRef> removed;
      tier.clear(&removed);
      ASSERT_EQ(removed.size(), oracle.keys().size());
      for (const std::string &one : oracle.keys()) oracle.erase(one);
    }
    ASSERT_EQ(tier.bytes(), oracle.bytes()) << "step " << step;
    if (step % 64 == 0) {
      ASSERT_EQ(keys_of(tier.in_order()), oracle.keys()) << "step " << step;
    }
  }
  EXPECT_GT(evicted, static_cast<size_t>(steps) / 100) << "the test is to be about evictions";
  EXPECT_GT(out_of_order, static_cast<size_t>(steps) / 100);
  const Texts expected = oracle.keys();
  const Texts order = drain(tier, max_items);
  EXPECT_EQ(order, expected);
}

TEST(MemoryTier, IsExactAtOneItem) { compare_with_oracle(1, 1, 1000, 3, 100000); }
TEST(MemoryTier, IsExactAtThreeItems) { compare_with_oracle(2, 3, 1000, 8, 100000); }
TEST(MemoryTier, IsExactAtTheSizeLimit) { compare_with_oracle(3, 1000, 40, 30, 100000); }
TEST(MemoryTier, IsExactAtTinySizes) { compare_with_oracle(4, 4, 9, 8, 100000); }
TEST(MemoryTier, IsExactAtThreeHundredItems) { compare_with_oracle(5, 300, 1000, 600, 100000); }

TEST(MemoryTier, IsExactWhenMostItemsHaveMovedOn) {
  constexpr size_t kItems = 1000;
  MemoryTier tier(kItems, kUnlimited);
  std::vector<ItemRef> items;
  for (size_t i = 0; i < kItems; ++i) put(tier, items.emplace_back(make_item(std::to_string(i))));
  std::mt19937 random(1);
  for (size_t i = 0; i < kItems; ++i) tier.touch(*items[i], static_cast<double>(1 + random() % 500), false);
  const Texts expected = keys_of(tier.in_order());
  EXPECT_EQ(drain(tier, kItems), expected);
}

// Any allocation inside may fail; then nothing has changed, and the call succeeds when it is made again.
TEST(MemoryTier, InsertHasTheStrongGuarantee) {
  std::set<int64_t> failed_at;
  // Sizes around the points where the table, the heap and the list of retired items grow.
  for (uint64_t count : {1, 12, 13, 16, 34, 150, 200}) {
    for (int replace = 0; replace < 2; ++replace) {
      for (uint64_t new_size : {1, 60, 150}) {
        for (int64_t allocation = 0;; ++allocation) {
          MemoryTier tier(count, 200);
          for (uint64_t i = 0; i < count; ++i) {
            put(tier, make_item(std::to_string(i), {.timestamp = static_cast<double>(i % 7)}));
          }
          const std::string key = replace ? "0" : "new";
          const ItemRef item = make_item(key, {.timestamp = 3, .size = new_size, .version = 2});
          const ItemRef present = tier.find(Key(key));
          const auto before = tier.in_order();
          std::vector<MemoryTier::Eviction> evictions;
          evictions.push_back({make_item("kept"), Limit::kSize});
          ItemRef replaced;
          bool failed = false;
          allocations_until_failure = allocation;
          try {
            tier.insert(item, &evictions, &replaced);
          } catch (const std::bad_alloc &) {
            failed = true;
          }
          allocations_until_failure = -1;
          if (!failed) {
            EXPECT_EQ(replaced.get(), present.get());
            break;
          }
          failed_at.insert(allocation);
          ASSERT_EQ(evictions.size(), 1u);
          ASSERT_FALSE(replaced);
          ASSERT_FALSE(item->resident);
          ASSERT_EQ(keys_of(tier.in_order()), keys_of(before));
          ASSERT_EQ(tier.find(Key(key)).get(), present.get());
          uint64_t items = 0, bytes = 0;
          tier.totals(&items, &bytes);
          ASSERT_EQ(items, before.size());
          ASSERT_EQ(bytes, before.size());
          for (const ItemRef &one : before) ASSERT_TRUE(one->resident);
          ASSERT_TRUE(tier.insert(item, &evictions, &replaced));
          const Texts expected = keys_of(tier.in_order());
          ASSERT_EQ(drain(tier, count), expected);
        }
      }
    }
  }
  EXPECT_GE(failed_at.size(), 3u) << "the test is to reach allocations";
}

TEST(MemoryTier, EraseIfAndClearHaveTheStrongGuarantee) {
  for (const bool clear : {false, true}) {
    int64_t allocation = 0;
    for (;; ++allocation) {
      MemoryTier tier(1000, 1000);
      for (int i = 0; i < 300; ++i) put(tier, make_item(std::to_string(i), {.timestamp = double(i)}));
      std::vector<ItemRef> removed = {make_item("kept")};
      const std::function<bool(double)> expired = [](double at) { return at < 290; };
      bool failed = false;
      allocations_until_failure = allocation;
      try {
        if (clear) {
          tier.clear(&removed);
        } else {
          tier.erase_if(expired, &removed);
        }
      } catch (const std::bad_alloc &) {
        failed = true;
      }
      allocations_until_failure = -1;
      if (failed) {
        ASSERT_EQ(removed.size(), 1u);
        ASSERT_EQ(tier.items(), 300u);
        ASSERT_EQ(tier.in_order().size(), 300u);
      } else {
        ASSERT_EQ(tier.items(), clear ? 0u : 10u);
        ASSERT_EQ(removed.size(), clear ? 301u : 291u);
        // To the last allocation, those included whose failure is made up for.
        if (allocation > 20) break;
      }
    }
  }
}

// What the allocator holds can be asked of glibc, and not of the allocators that sanitizers put in its place.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
size_t bytes_in_use() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// What an item costs beyond its key and value, at every stage of the containers' growth.
TEST(MemoryTierMemory, OverheadPerItemIsBounded) {
  // Key and value fill up the chunk that the allocator gives with the header.
  constexpr size_t kKey = 16, kValue = 120 - sizeof(Item);
  const size_t before = bytes_in_use();
  MemoryTier tier(kUnlimited, kUnlimited);
  std::vector<MemoryTier::Eviction> evictions;
  char key[kKey + 1];
  double most = 0;
  for (size_t count = 1; count <= 400000; ++count) {
    std::snprintf(key, sizeof key, "key:%012zu", count);
    const Item::Fields fields{.timestamp = static_cast<double>(count), .size = kValue};
    tier.insert(Item::create(Key(key), fields, kValue), &evictions, nullptr);
    if (count < 10000 || count % 1000 != 0) continue;
    const double each = static_cast<double>(bytes_in_use() - before) / static_cast<double>(count);
    most = std::max(most, each - (kKey + kValue));
  }
  EXPECT_LE(most, 112);
  EXPECT_GT(most, sizeof(Item) + 16 + 8) << "less is not possible";
  RecordProperty("bytes_per_item", std::to_string(most));

  // And all of it is given back.
  std::vector<ItemRef> removed;
  tier.clear(&removed);
  EXPECT_EQ(removed.size(), 400000u);
  std::vector<ItemRef>().swap(removed);
  EXPECT_LT(bytes_in_use() - before, 400000u);
}

TEST(MemoryTierMemory, EvictedItemsDoNotPileUp) {
  constexpr size_t kItems = 200, kValue = 4096;
  const size_t before = bytes_in_use();
  MemoryTier tier(kItems, kUnlimited);
  size_t most = 0;
  for (size_t i = 0; i < 20 * kItems; ++i) {
    std::vector<MemoryTier::Eviction> evictions;
    const Item::Fields fields{.timestamp = static_cast<double>(i), .size = kValue};
    tier.insert(Item::create(Key(std::to_string(i % (3 * kItems))), fields, kValue), &evictions, nullptr);
    most = std::max(most, bytes_in_use() - before);
  }
  EXPECT_GT(most, kItems * kValue);
  EXPECT_LT(most, kItems * kValue * 5 / 4);
}
#endif

// Threads.

class Threads {
 public:
  template <typename Function>
  void run(int count, Function function) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, function, i] {
        std::mt19937 random(static_cast<unsigned>(i) + 1);
        do {
          function(random);
          rounds_.fetch_add(1, std::memory_order_relaxed);
        } while (!stop_.load(std::memory_order_relaxed));
      });
    }
  }
  uint64_t rounds() const { return rounds_; }
  void join() {
    stop_ = true;
    for (std::thread &thread : threads_) thread.join();
    threads_.clear();
  }
  ~Threads() { join(); }

 private:
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> rounds_{0};
};

std::string value_of(std::string_view key, uint64_t version) {
  std::string value;
  while (value.size() < 64) value += std::string(key) + "/" + std::to_string(version) + ";";
  return value;
}

ItemRef make_full_item(const std::string &key, uint64_t version, double timestamp) {
  const std::string value = value_of(key, version);
  const Item::Fields fields{.version = version, .timestamp = timestamp, .size = value.size()};
  ItemRef item = Item::create(Key(key), fields, value.size());
  std::memcpy(item->writable_value(), value.data(), value.size());
  return item;
}

TEST(MemoryTierThreads, ReadersSeeWholeItemsWhileWritersChangeEverything) {
  constexpr unsigned kKeys = 200;
  MemoryTier tier(100, 100 * 70);
  std::atomic<uint64_t> version{0}, wrong{0}, hits{0};
  std::atomic<double> clock{0};
  const auto check = [&](std::string_view key, const Item &item) {
    if (item.key() != key || item.value() != value_of(key, item.version())) ++wrong;
    ++hits;
  };
  const auto key_of = [](std::mt19937 &random) { return "key" + std::to_string(random() % kKeys); };
  Threads threads;
  threads.run(2, [&](std::mt19937 &random) {
    const std::string key = key_of(random);
    {
      MemoryTier::Reader reader(tier);
      reader.prefetch(Key(key));
      if (Item *item = reader.find(Key(key))) {
        check(key, *item);
        const bool back = random() % 8 == 0;
        tier.touch(*item, clock + (back ? -static_cast<double>(random() % 50) : 1), random() % 2);
      }
    }
    const ItemRef pinned = tier.find(Key(key));
    if (pinned) check(key, *pinned);
  });
  threads.run(2, [&](std::mt19937 &random) {
    const std::string key = key_of(random);
    clock = clock + 1;
    const unsigned action = random() % 1000;
    if (action < 850) {
      std::vector<MemoryTier::Eviction> evictions;
      ItemRef replaced;
      tier.insert(make_full_item(key, ++version, clock), &evictions, &replaced);
      if (replaced) check(key, *replaced);
      for (const auto &eviction : evictions) check(eviction.item->key(), *eviction.item);
    } else if (action < 990) {
      const ItemRef erased = tier.erase(Key(key));
      if (erased) check(key, *erased);
    } else {
      std::vector<ItemRef> removed;
      if (action < 995) {
        tier.clear(&removed);
      } else {
        tier.erase_if([&](double at) { return at < clock - 100; }, &removed);
      }
      for (const ItemRef &item : removed) check(item->key(), *item);
    }
    uint64_t items = 0, bytes = 0;
    tier.totals(&items, &bytes);
    if (items > 100 || bytes > 100 * 70 || (items == 0) != (bytes == 0)) ++wrong;
  });
  while (threads.rounds() < 60000 || hits < 10000) std::this_thread::yield();
  threads.join();
  EXPECT_EQ(wrong, 0u);
  const auto order = tier.in_order();
  uint64_t bytes = 0;
  for (const ItemRef &item : order) {
    bytes += item->size();
    EXPECT_TRUE(item->resident);
    EXPECT_EQ(tier.find(item->as_key()).get(), item.get());
  }
  EXPECT_EQ(tier.items(), order.size());
  EXPECT_EQ(tier.bytes(), bytes);
}

// Forward touches without a lock, backward ones under it and repairs of the heap, all at the same few items: whatever
// the timestamps are in the end, eviction follows them.
TEST(MemoryTierThreads, TouchesFromEverywhereKeepTheOrderExact) {
  constexpr uint64_t kItems = 6;
  for (int round = 0; round < 60; ++round) {
    MemoryTier tier(kItems, kUnlimited);
    std::vector<ItemRef> items;
    for (uint64_t i = 0; i < kItems; ++i) put(tier, items.emplace_back(make_item("i" + std::to_string(i))));
    Threads threads;
    threads.run(3, [&](std::mt19937 &random) {
      Item &item = *items[random() % kItems];
      tier.touch(item, static_cast<double>(random() % 100), random() % 3 != 0);
    });
    // Comes in later than none and goes at once, but makes the heap look for its minimum.
    threads.run(1, [&](std::mt19937 &) {
      std::vector<MemoryTier::Eviction> evictions;
      tier.insert(make_item("guest", {.timestamp = -1}), &evictions, nullptr);
    });
    while (threads.rounds() < 2000) std::this_thread::yield();
    threads.join();
    const Texts expected = keys_of(tier.in_order());
    ASSERT_EQ(expected.size(), kItems);
    ASSERT_EQ(drain(tier, kItems), expected) << "round " << round;
  }
}

// The library's clock: of several touches at once, the latest stands.
TEST(MemoryTierThreads, ForwardTouchesNeverTurnBack) {
  MemoryTier tier(10, 100);
  const ItemRef item = make_item("a");
  put(tier, item);
  std::atomic<uint64_t> clock{0}, turned_back{0};
  Threads threads;
  threads.run(3, [&](std::mt19937 &) {
    // Many in a row without anything else that would keep the threads from meeting.
    for (int i = 0; i < 1000; ++i) {
      const double now = static_cast<double>(clock.fetch_add(1) + 1);
      tier.touch(*item, now, false);
      if (item->timestamp < now) ++turned_back;
    }
  });
  while (threads.rounds() < 1000) std::this_thread::yield();
  threads.join();
  EXPECT_EQ(turned_back, 0u);
  EXPECT_EQ(item->timestamp, static_cast<double>(clock));
}

}  // namespace
}  // namespace dbc
