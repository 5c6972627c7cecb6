#include "disk/touch_log.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <numeric>
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

ItemRef make_item(const Spec &spec = {}) {
  ItemRef item =
      Item::create(Key("k" + std::to_string(spec.id)),
                   {.version = spec.version, .id = spec.id, .timestamp = spec.timestamp, .size = spec.value.size()},
                   spec.value.size());
  std::copy(spec.value.begin(), spec.value.end(), item->writable_value());
  item->resident.store(spec.resident);
  return item;
}

// What malloc has given out and not got back.
[[maybe_unused]] size_t given_out() {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// What a reader makes of the time that it read from disk.
double time_of(const TouchLog &log, uint64_t version, double on_disk) {
  log.apply(version, &on_disk);
  return on_disk;
}

TEST(TouchLogTest, AnItemIsEnteredOnceAndMarked) {
  TouchLog log;
  ItemRef a = make_item({.version = 1, .id = 1}), b = make_item({.version = 2, .id = 2});
  EXPECT_EQ(log.add(*a, false), 1u);
  EXPECT_TRUE(a->touched.load());
  EXPECT_EQ(log.add(*a, false), 0u);
  EXPECT_EQ(log.add(*b, false), 2u);
  EXPECT_EQ(log.size(), 2u);
}

TEST(TouchLogTest, TheTimeIsThatOfTheItemWhenAsked) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, false);
  EXPECT_EQ(time_of(log, 1, 2), 5);
  item->timestamp.store(8);
  EXPECT_EQ(time_of(log, 1, 2), 8);
  EXPECT_EQ(time_of(log, 2, 2), 2);
}

TEST(TouchLogTest, AnotherVersionsTimeIsNotApplied) {
  TouchLog log;
  ItemRef item = make_item({.version = 3, .timestamp = 5});
  log.add(*item, false);
  EXPECT_EQ(time_of(log, 4, 2), 2);
  EXPECT_EQ(time_of(log, 2, 2), 2);
}

TEST(TouchLogTest, ForwardTheLaterOfTwoCountsAndBackwardTheLogs) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, false);
  EXPECT_EQ(time_of(log, 1, 9), 9);  // another process was there later
  EXPECT_FALSE(log.any_backward());
  log.add(*item, true);
  EXPECT_TRUE(log.any_backward());
  EXPECT_EQ(time_of(log, 1, 9), 5);
}

TEST(TouchLogTest, TakesInTheOrderOfRows) {
  TouchLog log;
  std::vector<ItemRef> items;
  for (int64_t id : {5, 1, 4, 2, 3}) {
    items.push_back(
        make_item({.version = static_cast<uint64_t>(20 - id), .id = id, .timestamp = 100.0 + static_cast<double>(id)}));
    log.add(*items.back(), id == 4);
  }
  std::vector<TouchLog::Touch> all = log.take(SIZE_MAX);
  ASSERT_EQ(all.size(), 5u);
  for (int64_t i = 0; i < 5; ++i) {
    const TouchLog::Touch &touch = all[static_cast<size_t>(i)];
    EXPECT_EQ(touch.id, i + 1);
    EXPECT_EQ(touch.version, static_cast<uint64_t>(19 - i));
    EXPECT_EQ(touch.timestamp, 101.0 + static_cast<double>(i));
    EXPECT_EQ(touch.backward, i + 1 == 4);
  }
  for (const ItemRef &item : items) EXPECT_FALSE(item->touched.load());
  EXPECT_EQ(log.size(), 0u);
}

TEST(TouchLogTest, TakesNoMoreThanAsked) {
  TouchLog log;
  std::vector<ItemRef> items;
  for (int i = 0; i < 10; ++i) {
    items.push_back(make_item({.version = static_cast<uint64_t>(i + 1), .id = i + 1, .timestamp = 5}));
    log.add(*items.back(), i % 2 == 0);
  }
  EXPECT_EQ(log.take(4).size(), 4u);
  EXPECT_EQ(log.size(), 6u);
  EXPECT_EQ(log.unwritten(), 10u);
  EXPECT_EQ(log.take(0).size(), 0u);
  EXPECT_EQ(log.take(100).size(), 6u);
  EXPECT_FALSE(log.any_backward());
  EXPECT_EQ(log.take(100).size(), 0u);
  for (uint64_t version = 1; version <= 10; ++version) EXPECT_EQ(time_of(log, version, 2), 5) << version;
  log.done(true);
  EXPECT_EQ(log.unwritten(), 0u);
}

TEST(TouchLogTest, WhatWasTakenIsSeenUntilItIsWritten) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, false);
  log.take(SIZE_MAX);
  EXPECT_EQ(time_of(log, 1, 2), 5);
  log.done(true);
  EXPECT_EQ(time_of(log, 1, 2), 2);
}

// A reader that finds nothing, though the batch was pending when it began, must see that one was written meanwhile.
TEST(TouchLogTest, CountsTheBatchesThatWereWritten) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  uint64_t before = log.written();
  log.done(true);  // of nothing
  EXPECT_EQ(log.written(), before);
  log.add(*item, false);
  log.take(SIZE_MAX);
  EXPECT_EQ(log.written(), before);
  log.done(false);
  EXPECT_EQ(log.written(), before);
  log.take(SIZE_MAX);
  log.done(true);
  EXPECT_EQ(log.written(), before + 1);
}

TEST(TouchLogTest, WhatCouldNotBeWrittenIsPendingAgain) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, true);
  log.take(SIZE_MAX);
  EXPECT_FALSE(log.any_backward());
  log.done(false);
  EXPECT_EQ(log.size(), 1u);
  EXPECT_TRUE(log.any_backward());
  EXPECT_TRUE(item->touched.load());
  EXPECT_EQ(time_of(log, 1, 9), 5);
  EXPECT_EQ(log.take(SIZE_MAX).size(), 1u);
  log.done(true);
  EXPECT_FALSE(log.any_backward());
}

TEST(TouchLogTest, ATouchDuringTheWritingIsPendingAfterIt) {
  for (bool written : {true, false}) {
    TouchLog log;
    ItemRef item = make_item({.timestamp = 5});
    log.add(*item, false);
    log.take(SIZE_MAX);
    item->timestamp.store(7);
    EXPECT_EQ(log.add(*item, false), 1u);
    EXPECT_EQ(time_of(log, 1, 2), 7);
    log.done(written);
    EXPECT_EQ(log.size(), 1u);
    EXPECT_EQ(time_of(log, 1, 5), 7);
    EXPECT_TRUE(item->touched.load());
  }
}

// The way back is not in the file yet, so the later time in the file must not win.
TEST(TouchLogTest, ATouchDuringTheWritingOfAWayBackIsAWayBack) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, true);
  log.take(SIZE_MAX);
  item->timestamp.store(7);
  log.add(*item, false);
  EXPECT_EQ(time_of(log, 1, 10), 7);
  log.done(false);
  EXPECT_EQ(time_of(log, 1, 10), 7);
  EXPECT_TRUE(log.any_backward());
}

// One transaction can take more than once, and then fail.
TEST(TouchLogTest, AWayBackSurvivesTwoTakesAndAFailure) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, true);
  log.take(SIZE_MAX);
  item->timestamp.store(7);
  log.add(*item, false);
  EXPECT_EQ(log.take(SIZE_MAX).size(), 1u);
  EXPECT_EQ(time_of(log, 1, 10), 7);
  log.done(false);
  EXPECT_EQ(log.size(), 1u);
  EXPECT_EQ(time_of(log, 1, 10), 7);
}

// A snapshot that began before a batch was written still reads the times of before.
TEST(TouchLogTest, WhatWasWrittenSinceAPinIsAppliedInSnapshots) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  auto in_snapshot = [&] {
    double time = 2;
    log.apply_in_snapshot(1, &time);
    return time;
  };
  uint64_t pin = log.pin();
  log.add(*item, false);
  log.take(SIZE_MAX);
  log.done(true);
  EXPECT_EQ(in_snapshot(), 5);
  EXPECT_EQ(time_of(log, 1, 2), 2);
  item->timestamp.store(7);
  log.add(*item, false);
  EXPECT_EQ(in_snapshot(), 7);
  log.unpin(log.pin());
  log.take(SIZE_MAX);
  log.done(true);
  EXPECT_EQ(in_snapshot(), 7);
  log.unpin(pin);
  EXPECT_EQ(in_snapshot(), 2);
}

// Where several threads scan there is always some snapshot.
TEST(TouchLogTest, WhatWasWrittenBeforeTheFirstOfThePresentSnapshotsIsForgotten) {
  TouchLog log;
  ItemRef early = make_item({.timestamp = 5});
  ItemRef late = make_item({.version = 2, .timestamp = 6});
  auto in_snapshot = [&](uint64_t version) {
    double time = 2;
    log.apply_in_snapshot(version, &time);
    return time;
  };
  auto write = [&](Item &item) {
    log.add(item, false);
    log.take(SIZE_MAX);
    log.done(true);
  };
  uint64_t first = log.pin();
  write(*early);
  uint64_t second = log.pin(), third = log.pin();
  write(*late);
  log.unpin(second);
  EXPECT_EQ(in_snapshot(1), 5);
  log.unpin(first);
  EXPECT_EQ(in_snapshot(1), 2);
  EXPECT_EQ(in_snapshot(2), 6);
  log.unpin(third);
  EXPECT_EQ(in_snapshot(2), 2);
}

TEST(TouchLogTest, ASnapshotOfBeforeAWayBackAndATouchAfterItSeesTheTouch) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 1});
  uint64_t pin = log.pin();
  for (double time : {1.0, 3.0}) {
    item->timestamp.store(time);
    log.add(*item, time == 1);
    log.take(SIZE_MAX);
    log.done(true);
  }
  double time = 9;  // as in the file when the snapshot began
  log.apply_in_snapshot(1, &time);
  EXPECT_EQ(time, 3);
  log.unpin(pin);
}

TEST(TouchLogTest, WhatCameFirstIsWrittenFirst) {
  TouchLog log;
  std::vector<ItemRef> items;
  for (uint64_t version = 1; version <= 100; ++version) items.push_back(make_item({.version = version}));
  auto taken = [&](size_t most) {
    std::vector<uint64_t> versions;
    for (const TouchLog::Touch &touch : log.take(most)) versions.push_back(touch.version);
    std::sort(versions.begin(), versions.end());
    return versions;
  };
  auto numbers = [](uint64_t first, uint64_t last) {
    std::vector<uint64_t> all(last - first + 1);
    std::iota(all.begin(), all.end(), first);
    return all;
  };
  for (int i = 0; i < 60; ++i) log.add(*items[i], false);
  EXPECT_EQ(taken(20), numbers(1, 20));
  for (int i = 60; i < 100; ++i) log.add(*items[i], false);
  EXPECT_EQ(taken(10), numbers(21, 30));
  log.done(false);  // they are the first still
  EXPECT_EQ(taken(30), numbers(1, 30));
  log.done(true);
  EXPECT_EQ(taken(40), numbers(31, 70));
  EXPECT_EQ(taken(100), numbers(71, 100));
  log.done(true);
  EXPECT_EQ(log.size(), 0u);
}

TEST(TouchLogTest, OfAnItemOutsideMemoryOnlyTheTimeIsKept) {
  TouchLog log;
  ItemRef item = make_item({.version = 9, .id = 4, .timestamp = 5, .resident = false});
  log.add(*item, false);
  item->timestamp.store(6);
  EXPECT_EQ(time_of(log, 9, 2), 5);
  EXPECT_FALSE(item->touched.load());  // the log does not see later times, so it must be told of them
  log.add(*item, false);
  EXPECT_EQ(time_of(log, 9, 2), 6);
  EXPECT_EQ(log.size(), 1u);
}

TEST(TouchLogTest, OfAnItemThatLeavesMemoryOnlyTheTimeIsKept) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, true);
  item->resident.store(false);
  log.left_memory(*item);
  EXPECT_FALSE(item->touched.load());
  item->timestamp.store(6);
  EXPECT_EQ(time_of(log, 1, 9), 5);  // still a way back
  EXPECT_EQ(log.size(), 1u);
  log.add(*item, false);  // a hit that had found it before it left
  EXPECT_EQ(time_of(log, 1, 9), 6);
  EXPECT_EQ(log.take(SIZE_MAX).at(0).backward, true);
}

// Also when it left while its entry was being written, which then failed.
TEST(TouchLogTest, NothingIsKeptOfItemsThatHaveLeft) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.add(*item, false);
  log.take(SIZE_MAX);
  item->resident.store(false);
  log.left_memory(*item);
  log.done(false);
  EXPECT_FALSE(item->touched.load());
  item->timestamp.store(6);
  EXPECT_EQ(time_of(log, 1, 2), 5);
}

TEST(TouchLogTest, LeavingConcernsThatItemOnly) {
  TouchLog log;
  ItemRef first = make_item({.version = 1, .timestamp = 5}), second = make_item({.version = 2, .timestamp = 6});
  log.add(*first, false);
  log.add(*second, false);
  first->touched.store(true);
  log.left_memory(*first);
  second->timestamp.store(7);
  EXPECT_EQ(time_of(log, 2, 0), 7);
  ItemRef stranger = make_item({.version = 3});
  stranger->touched.store(true);
  log.left_memory(*stranger);
  EXPECT_EQ(log.size(), 2u);
}

TEST(TouchLogTest, ClearForgetsEverything) {
  TouchLog log;
  ItemRef a = make_item({.version = 1, .timestamp = 5}), b = make_item({.version = 2, .timestamp = 5});
  log.add(*a, true);
  log.take(1);
  log.add(*b, true);
  log.clear();
  EXPECT_EQ(log.size(), 0u);
  EXPECT_FALSE(log.any_backward());
  EXPECT_EQ(time_of(log, 1, 2), 2);
  EXPECT_EQ(time_of(log, 2, 2), 2);
  EXPECT_FALSE(b->touched.load());
  EXPECT_EQ(log.add(*b, false), 1u);
}

// As in the cache: a hit stores its time and then looks at the marks; the writer clears the mark and then reads the
// time. Whatever the order, the last time is written or pending, also of an item that leaves memory meanwhile.
TEST(TouchLogTest, NoTouchFallsBetweenTakesOfManyThreads) {
  for (bool leaves : {false, true}) {
    TouchLog log;
    ItemRef item = make_item();
    std::atomic<bool> over{false};
    double written = 0;
    std::thread writer([&] {
      while (!over || log.size() > 0) {
        for (const TouchLog::Touch &touch : log.take(SIZE_MAX)) written = std::max(written, touch.timestamp);
        log.done(true);
      }
    });
    constexpr double kLast = 200'000;
    std::thread evictor([&] {
      if (!leaves) return;
      while (item->timestamp.load() < kLast / 2) std::this_thread::yield();
      item->resident.store(false);
      log.left_memory(*item);
    });
    for (double time = 1; time <= kLast; ++time) {
      item->timestamp.store(time);
      if (!item->touched.load() || !item->resident.load()) log.add(*item, false);
    }
    evictor.join();
    over = true;
    writer.join();
    EXPECT_EQ(written, kLast);
  }
}

// A hit had found the object before it left memory, and tells of it when the item is back, as another object.
TEST(TouchLogTest, AStragglerDoesNotUndoALaterTouch) {
  TouchLog log;
  ItemRef left = make_item({.timestamp = 100});
  log.add(*left, false);
  left->resident.store(false);
  log.left_memory(*left);
  ItemRef again = make_item({.timestamp = 200});
  log.add(*again, false);
  left->timestamp.store(150);
  log.add(*left, false);
  EXPECT_EQ(time_of(log, 1, 50), 200);
  again->resident.store(false);
  log.left_memory(*again);
  EXPECT_EQ(time_of(log, 1, 50), 200);
}

TEST(TouchLogTest, OutsideMemoryTheLaterOfTwoForwardTouchesCounts) {
  TouchLog log;
  ItemRef later = make_item({.timestamp = 200, .resident = false}),
          earlier = make_item({.timestamp = 199, .resident = false});
  log.add(*later, false);
  log.add(*earlier, false);
  EXPECT_EQ(time_of(log, 1, 50), 200);
}

TEST(TouchLogTest, AStragglerOfAnOlderVersionDoesNotPushOutWhatIsBeingWritten) {
  for (bool takes_again : {false, true}) {
    TouchLog log;
    ItemRef v1 = make_item({.version = 1, .timestamp = 5}), v2 = make_item({.version = 2, .timestamp = 9});
    log.add(*v2, false);
    log.take(SIZE_MAX);
    log.add(*v1, false);
    if (takes_again) log.take(SIZE_MAX);
    EXPECT_EQ(time_of(log, 2, 0), 9);
    log.done(false);
    EXPECT_EQ(time_of(log, 2, 0), 9);
  }
}

// Else a reader of the older version, whose row was read before the put, would take the time on disk for the true one.
TEST(TouchLogTest, TheTimesOfAllVersionsAreKept) {
  TouchLog log;
  ItemRef v1 = make_item({.version = 1, .timestamp = 8}), v2 = make_item({.version = 2, .timestamp = 9});
  log.add(*v1, false);
  log.add(*v2, false);
  EXPECT_EQ(time_of(log, 1, 0), 8);
  EXPECT_EQ(time_of(log, 2, 0), 9);
  std::vector<TouchLog::Touch> batch = log.take(SIZE_MAX);
  ASSERT_EQ(batch.size(), 2u);
  EXPECT_EQ(batch[0].version, 2u);  // which makes the other moot
}

// Written behind, a put may come to a row with a version from before the one that the row had last.
TEST(TouchLogTest, ARowMayComeToHoldALowerVersion) {
  TouchLog log;
  ItemRef gone = make_item({.version = 6, .timestamp = 5});
  ItemRef item = make_item({.version = 5, .timestamp = 9, .resident = false});
  log.add(*gone, false);
  log.add(*item, false);
  EXPECT_EQ(time_of(log, 5, 0), 9);
}

TEST(TouchLogTest, AWayBackOfAnotherVersionIsNone) {
  TouchLog log;
  ItemRef v1 = make_item({.version = 1, .timestamp = 5}), v2 = make_item({.version = 2, .timestamp = 6});
  log.add(*v1, true);
  log.add(*v2, false);
  EXPECT_EQ(time_of(log, 2, 9), 9);  // another process was there later
}

TEST(TouchLogTest, ASnapshotSeesAWayBackWrittenSinceAndATouchAfterIt) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5});
  log.pin();
  log.add(*item, true);
  log.take(SIZE_MAX);
  log.done(true);
  item->timestamp.store(7);
  log.add(*item, false);
  double time = 10;  // of the snapshot, from before the batch
  log.apply_in_snapshot(1, &time);
  EXPECT_EQ(time, 7);
}

TEST(TouchLogTest, ASnapshotOfAnOldVersionSeesItsTouchesThoughTheNewOneIsTouched) {
  for (bool written : {false, true}) {
    TouchLog log;
    ItemRef v1 = make_item({.version = 1, .timestamp = 8}), v2 = make_item({.version = 2, .timestamp = 9});
    log.pin();
    for (const ItemRef &item : {v1, v2}) {
      log.add(*item, false);
      if (!written) continue;
      log.take(SIZE_MAX);
      log.done(true);
    }
    double time = 0;
    log.apply_in_snapshot(1, &time);
    EXPECT_EQ(time, 8) << written;
  }
}

TEST(TouchLogTest, ASnapshotSeesTheLaterOfTwoBatchesAndNoOtherVersion) {
  TouchLog log;
  ItemRef first = make_item({.version = 2, .timestamp = 5, .resident = false}),
          second = make_item({.version = 2, .timestamp = 7, .resident = false});
  log.pin();
  for (const ItemRef &item : {first, second}) {
    log.add(*item, false);
    log.take(SIZE_MAX);
    log.done(true);
  }
  double time = 2, other = 2;
  log.apply_in_snapshot(2, &time);
  log.apply_in_snapshot(1, &other);
  EXPECT_EQ(time, 7);
  EXPECT_EQ(other, 2);
}

TEST(TouchLogTest, OfTwoTakesTheLaterIsSeenAndComesBack) {
  TouchLog log;
  ItemRef first = make_item({.timestamp = 5, .resident = false}),
          second = make_item({.timestamp = 7, .resident = false});
  log.add(*first, false);
  log.take(SIZE_MAX);
  log.add(*second, false);
  log.take(SIZE_MAX);
  EXPECT_EQ(time_of(log, 1, 2), 7);
  log.done(false);
  EXPECT_EQ(time_of(log, 1, 2), 7);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their malloc does not say
// Is the log the last to hold an item? Then letting go of its own reference frees it.
TEST(TouchLogTest, WhatIsKeptForSnapshotsKeepsNoItem) {
  TouchLog log;
  ItemRef item = make_item({.timestamp = 5, .value = std::string(200'000, 'x')});
  uint64_t pin = log.pin();
  log.add(*item, false);
  log.take(SIZE_MAX);
  log.done(true);
  size_t before = given_out();
  item = {};
  EXPECT_LT(given_out() + 190'000, before);
  log.unpin(pin);
}
#endif

TEST(TouchLogTest, AnItemThatLeavesWhileItIsEnteredIsLetGo) {
  for (int round = 0; round < 2000; ++round) {
    TouchLog log;
    ItemRef item = make_item({.timestamp = 5});
    std::atomic<bool> begun{false};
    std::thread evictor([&] {
      begun = true;
      item->resident.store(false);
      log.left_memory(*item);
    });
    while (!begun) std::this_thread::yield();
    log.add(*item, false);
    evictor.join();
    ASSERT_FALSE(item->touched.load());
    ASSERT_EQ(time_of(log, 1, 2), 5);
  }
}

}  // namespace
}  // namespace dbc
