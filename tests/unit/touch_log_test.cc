#include "disk/touch_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace dbc {
namespace {

struct Spec {
  uint64_t version = 1;
  int64_t id = 1;
  double timestamp = 0;
  std::string value = "bytes";
  bool resident = true;
};

ItemRef make_item(std::string_view key, const Spec &spec = {}) {
  ItemRef item = Item::create(
      Key(key), {.version = spec.version, .id = spec.id, .timestamp = spec.timestamp, .size = spec.value.size()},
      spec.value.size());
  std::copy(spec.value.begin(), spec.value.end(), item->writable_value());
  item->resident.store(spec.resident);
  return item;
}

// What a reader makes of the time that it read from disk.
double time_of(const TouchLog &log, std::string_view key, uint64_t version, double on_disk) {
  return TouchLog::apply(log.find(Key(key)), version, on_disk);
}

TEST(TouchLogTest, AnItemIsEnteredOnceAndMarked) {
  TouchLog log;
  ItemRef a = make_item("a"), b = make_item("b");
  EXPECT_EQ(log.add(*a, false), 1u);
  EXPECT_TRUE(a->touched.load());
  EXPECT_EQ(log.add(*a, false), 0u);
  EXPECT_EQ(log.add(*b, false), 2u);
  EXPECT_EQ(log.size(), 2u);
}

TEST(TouchLogTest, TheTimeIsThatOfTheItemWhenAsked) {
  TouchLog log;
  ItemRef item = make_item("a", {.timestamp = 5});
  log.add(*item, false);
  EXPECT_EQ(time_of(log, "a", 1, 2), 5);
  item->timestamp.store(8);
  EXPECT_EQ(time_of(log, "a", 1, 2), 8);
  EXPECT_EQ(time_of(log, "b", 1, 2), 2);
}

TEST(TouchLogTest, AnotherVersionsTimeIsNotApplied) {
  TouchLog log;
  ItemRef item = make_item("a", {.version = 3, .timestamp = 5});
  log.add(*item, false);
  EXPECT_EQ(time_of(log, "a", 4, 2), 2);
  EXPECT_EQ(time_of(log, "a", 2, 2), 2);
}

TEST(TouchLogTest, ForwardTheLaterOfTwoCountsAndBackwardTheLogs) {
  TouchLog log;
  ItemRef item = make_item("a", {.timestamp = 5});
  log.add(*item, false);
  EXPECT_EQ(time_of(log, "a", 1, 9), 9);  // another process was there later
  EXPECT_FALSE(log.any_backward());
  log.add(*item, true);
  EXPECT_TRUE(log.any_backward());
  EXPECT_EQ(time_of(log, "a", 1, 9), 5);
}

TEST(TouchLogTest, ALaterVersionTakesThePlaceOfAnEarlierOne) {
  TouchLog log;
  ItemRef first = make_item("a", {.version = 1, .timestamp = 5}),
          second = make_item("a", {.version = 2, .timestamp = 6});
  log.add(*first, false);
  EXPECT_EQ(log.add(*second, false), 0u);
  EXPECT_EQ(log.size(), 1u);
  EXPECT_EQ(time_of(log, "a", 2, 0), 6);
  EXPECT_TRUE(second->touched.load());
  log.add(*first, false);  // a straggler
  EXPECT_EQ(time_of(log, "a", 2, 0), 6);
}

TEST(TouchLogTest, TakesInTheOrderOfRows) {
  TouchLog log;
  std::vector<ItemRef> items;
  for (int64_t id : {5, 1, 4, 2, 3}) {
    items.push_back(make_item("k" + std::to_string(id), {.id = id}));
    log.add(*items.back(), false);
  }
  std::vector<TouchLog::Pending> all = log.take(SIZE_MAX);
  ASSERT_EQ(all.size(), 5u);
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(all[static_cast<size_t>(i)].item->id(), i + 1);
  for (const ItemRef &item : items) EXPECT_FALSE(item->touched.load());
  EXPECT_EQ(log.size(), 0u);
}

TEST(TouchLogTest, TakesNoMoreThanAsked) {
  TouchLog log;
  std::vector<ItemRef> items;
  for (int i = 0; i < 10; ++i) {
    items.push_back(make_item("k" + std::to_string(i), {.id = i}));
    log.add(*items.back(), i % 2 == 0);
  }
  EXPECT_EQ(log.take(4).size(), 4u);
  EXPECT_EQ(log.size(), 6u);
  EXPECT_EQ(log.take(0).size(), 0u);
  EXPECT_EQ(log.take(100).size(), 6u);
  EXPECT_FALSE(log.any_backward());
  EXPECT_EQ(log.take(100).size(), 0u);
}

TEST(TouchLogTest, WhatWasTakenIsSeenUntilItIsWritten) {
  TouchLog log;
  ItemRef item = make_item("a", {.timestamp = 5});
  log.add(*item, false);
  log.take(SIZE_MAX);
  EXPECT_EQ(time_of(log, "a", 1, 2), 5);
  log.done(true);
  EXPECT_EQ(time_of(log, "a", 1, 2), 2);
}

TEST(TouchLogTest, WhatCouldNotBeWrittenIsPendingAgain) {
  TouchLog log;
  ItemRef item = make_item("a", {.timestamp = 5});
  log.add(*item, true);
  log.take(SIZE_MAX);
  EXPECT_FALSE(log.any_backward());
  log.done(false);
  EXPECT_EQ(log.size(), 1u);
  EXPECT_TRUE(log.any_backward());
  EXPECT_TRUE(item->touched.load());
  EXPECT_EQ(time_of(log, "a", 1, 9), 5);
  EXPECT_EQ(log.take(SIZE_MAX).size(), 1u);
  log.done(true);
  EXPECT_FALSE(log.any_backward());
}

TEST(TouchLogTest, ATouchDuringTheWritingIsPendingAfterIt) {
  for (bool written : {true, false}) {
    TouchLog log;
    ItemRef item = make_item("a", {.timestamp = 5});
    log.add(*item, false);
    log.take(SIZE_MAX);
    item->timestamp.store(7);
    EXPECT_EQ(log.add(*item, false), 1u);
    EXPECT_EQ(time_of(log, "a", 1, 2), 7);
    log.done(written);
    EXPECT_EQ(log.size(), 1u);
    EXPECT_EQ(time_of(log, "a", 1, 5), 7);
    EXPECT_TRUE(item->touched.load());
  }
}

// The way back is not in the file yet, so the later time in the file must not win.
TEST(TouchLogTest, ATouchDuringTheWritingOfAWayBackIsAWayBack) {
  TouchLog log;
  ItemRef item = make_item("a", {.timestamp = 5});
  log.add(*item, true);
  log.take(SIZE_MAX);
  item->timestamp.store(7);
  log.add(*item, false);
  EXPECT_EQ(time_of(log, "a", 1, 10), 7);
  log.done(false);
  EXPECT_EQ(time_of(log, "a", 1, 10), 7);
  EXPECT_TRUE(log.any_backward());
}

// One transaction can take more than once, and then fail.
TEST(TouchLogTest, AWayBackSurvivesTwoTakesAndAFailure) {
  TouchLog log;
  ItemRef item = make_item("a", {.timestamp = 5});
  log.add(*item, true);
  log.take(SIZE_MAX);
  item->timestamp.store(7);
  log.add(*item, false);
  log.take(SIZE_MAX);
  EXPECT_EQ(time_of(log, "a", 1, 10), 7);
  log.done(false);
  EXPECT_EQ(log.size(), 1u);
  EXPECT_EQ(time_of(log, "a", 1, 10), 7);
}

TEST(TouchLogTest, AnItemOutsideMemoryIsEnteredWithoutItsBytes) {
  TouchLog log;
  ItemRef item = make_item("a", {.version = 9, .id = 4, .timestamp = 5, .value = "many bytes", .resident = false});
  log.add(*item, false);
  TouchLog::Pending pending = log.find(Key("a"));
  ASSERT_TRUE(pending.item);
  EXPECT_NE(pending.item.get(), item.get());
  EXPECT_TRUE(pending.item->value().empty());
  EXPECT_EQ(pending.item->version(), 9u);
  EXPECT_EQ(pending.item->id(), 4);
  EXPECT_EQ(pending.item->size(), 10u);
  EXPECT_EQ(pending.item->timestamp.load(), 5);
  // The copy does not see later times: so the item must not count as entered.
  EXPECT_FALSE(item->touched.load());
}

TEST(TouchLogTest, AnItemThatLeavesMemoryIsReplacedByACopyWithoutItsBytes) {
  TouchLog log;
  ItemRef item = make_item("a", {.timestamp = 5});
  log.add(*item, true);
  item->resident.store(false);
  log.forget_value(*item);
  TouchLog::Pending pending = log.find(Key("a"));
  ASSERT_TRUE(pending.item);
  EXPECT_NE(pending.item.get(), item.get());
  EXPECT_TRUE(pending.item->value().empty());
  EXPECT_TRUE(pending.backward);
  EXPECT_EQ(time_of(log, "a", 1, 9), 5);
  EXPECT_EQ(log.size(), 1u);
  log.forget_value(*item);  // again: nothing more to let go
  EXPECT_EQ(log.find(Key("a")).item.get(), pending.item.get());
}

TEST(TouchLogTest, ForgettingLeavesOtherItemsOfTheKeyAlone) {
  TouchLog log;
  ItemRef first = make_item("a", {.version = 1}), second = make_item("a", {.version = 2});
  log.add(*first, false);
  log.add(*second, false);
  first->touched.store(true);
  log.forget_value(*first);
  EXPECT_EQ(log.find(Key("a")).item.get(), second.get());
  ItemRef stranger = make_item("b");
  stranger->touched.store(true);
  log.forget_value(*stranger);
  EXPECT_FALSE(log.find(Key("b")).item);
}

// The log must not depend on keys that live elsewhere.
TEST(TouchLogTest, EntriesOutliveWhatWasEntered) {
  TouchLog log;
  for (bool resident : {true, false}) {
    {
      std::string key = resident ? "first" : "second";
      ItemRef item = make_item(key, {.timestamp = 5, .resident = resident});
      log.add(*item, false);
      if (resident) log.forget_value(*item);
      item = make_item(key, {.version = 2, .timestamp = 6, .resident = resident});
      log.add(*item, false);
      log.forget_value(*item);
    }
    EXPECT_EQ(time_of(log, resident ? "first" : "second", 2, 0), 6);
  }
  EXPECT_EQ(log.take(SIZE_MAX).size(), 2u);
}

TEST(TouchLogTest, ClearForgetsEverything) {
  TouchLog log;
  ItemRef a = make_item("a", {.timestamp = 5}), b = make_item("b", {.timestamp = 5});
  log.add(*a, true);
  log.take(1);
  log.add(*b, true);
  log.clear();
  EXPECT_EQ(log.size(), 0u);
  EXPECT_FALSE(log.any_backward());
  EXPECT_EQ(time_of(log, "a", 1, 2), 2);
  EXPECT_EQ(time_of(log, "b", 1, 2), 2);
  EXPECT_FALSE(b->touched.load());
  EXPECT_EQ(log.add(*b, false), 1u);
}

// As in the cache: a hit stores its time and then looks at the mark; the writer clears the mark and then reads the
// time. Whatever the order, the last time is written or pending.
TEST(TouchLogTest, NoTouchFallsBetweenTakesOfManyThreads) {
  TouchLog log;
  ItemRef item = make_item("a");
  std::atomic<bool> over{false};
  double written = 0;
  std::thread writer([&] {
    while (!over || log.size() > 0) {
      for (const TouchLog::Pending &pending : log.take(SIZE_MAX))
        written = std::max(written, pending.item->timestamp.load());
      log.done(true);
    }
  });
  constexpr double kLast = 200'000;
  for (double time = 1; time <= kLast; ++time) {
    item->timestamp.store(time);
    if (!item->touched.load()) log.add(*item, false);
  }
  over = true;
  writer.join();
  EXPECT_EQ(written, kLast);
}

}  // namespace
}  // namespace dbc
