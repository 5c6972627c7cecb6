#include "base/log.h"

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dbc {
namespace {

using Lines = std::vector<std::pair<int, std::string>>;

// Keeps what is logged, and counts how often the finalizer runs.
struct Recorder {
  Lines lines;
  int finalized = 0;

  std::shared_ptr<LogSink> sink() {
    return std::make_shared<LogSink>(
        [](void *context, int level, const char *message, size_t size) {
          EXPECT_EQ(message[size], '\0');
          static_cast<Recorder *>(context)->lines.emplace_back(level, std::string(message, size));
        },
        this, [](void *context) { ++static_cast<Recorder *>(context)->finalized; });
  }
};

TEST(LogTest, LinesComeInOrderAtTheEndOfTheScope) {
  Recorder recorder;
  Logger logger(recorder.sink(), kTrace);
  {
    LogScope scope(logger);
    scope.add(kTrace, [] { return std::string("first"); });
    scope.add(kError, [] { return std::string("second"); });
    EXPECT_TRUE(recorder.lines.empty());
  }
  EXPECT_EQ(recorder.lines, (Lines{{kTrace, "first"}, {kError, "second"}}));
}

TEST(LogTest, WhatIsOffIsNotEvenMade) {
  Recorder recorder;
  Logger logger(recorder.sink(), kWarning);
  bool made = false;
  {
    LogScope scope(logger);
    scope.add(kInfo, [&] {
      made = true;
      return std::string("no");
    });
    scope.add(kWarning, [] { return std::string("yes"); });
  }
  EXPECT_FALSE(made);
  EXPECT_EQ(recorder.lines, (Lines{{kWarning, "yes"}}));
}

TEST(LogTest, TheLevelCanChange) {
  Recorder recorder;
  Logger logger(recorder.sink(), kInfo);
  EXPECT_FALSE(logger.enabled(kTrace));
  logger.set_level(kTrace);
  EXPECT_TRUE(logger.enabled(kTrace));
  logger.set_level(kLogOff);
  EXPECT_FALSE(logger.enabled(kError));
}

TEST(LogTest, WithoutASinkEverythingIsOff) {
  Logger logger(nullptr, kTrace);
  EXPECT_FALSE(logger.enabled(kError));
  logger.set_level(kTrace);
  EXPECT_FALSE(logger.enabled(kError));
  logger.defer(kError, "into nothing");
  LogScope scope(logger);
  scope.add(kError, [] { return std::string("into nothing"); });
}

TEST(LogTest, ASinkWithoutACallbackSwallows) {
  Logger logger(std::make_shared<LogSink>(nullptr, nullptr, nullptr), kTrace);
  LogScope scope(logger);
  scope.add(kError, [] { return std::string("into nothing"); });
}

TEST(LogTest, DeferredLinesComeWithTheNextScopeAndBeforeItsOwn) {
  Recorder recorder;
  Logger logger(recorder.sink(), kInfo);
  std::thread([&] {
    logger.defer(kWarning, "from the background");
    logger.defer(kTrace, "too low");
  }).join();
  EXPECT_TRUE(recorder.lines.empty());
  {
    LogScope scope(logger);
    scope.add(kInfo, [] { return std::string("own"); });
  }
  EXPECT_EQ(recorder.lines, (Lines{{kWarning, "from the background"}, {kInfo, "own"}}));
  { LogScope scope(logger); }
  EXPECT_EQ(recorder.lines.size(), 2u);
}

TEST(LogTest, DeferredLinesAreBounded) {
  Recorder recorder;
  Logger logger(recorder.sink(), kInfo);
  for (int i = 0; i < 5000; ++i) logger.defer(kInfo, std::to_string(i).c_str());
  { LogScope scope(logger); }
  ASSERT_EQ(recorder.lines.size(), 1000u);
  EXPECT_EQ(recorder.lines.front().second, "0");  // the first ones tell the most
}

TEST(LogTest, TheFinalizerRunsOnceWithTheLastOwner) {
  Recorder recorder;
  {
    auto sink = recorder.sink();
    {
      Logger first(sink, kInfo), second(sink, kInfo);
      sink.reset();
      EXPECT_EQ(recorder.finalized, 0);
    }
  }
  EXPECT_EQ(recorder.finalized, 1);
}

// A callback that logs: its lines come too, and nothing locks up.
TEST(LogTest, ACallbackMayLogItself) {
  struct Nested {
    Logger *logger = nullptr;
    Lines lines;
  } nested;
  Logger logger(std::make_shared<LogSink>(
                    [](void *context, int level, const char *message, size_t size) {
                      auto *all = static_cast<Nested *>(context);
                      all->lines.emplace_back(level, std::string(message, size));
                      if (all->lines.size() > 1) return;
                      all->logger->defer(kInfo, "deferred inside");
                      LogScope inner(*all->logger);
                      inner.add(kInfo, [] { return std::string("inner"); });
                    },
                    &nested, nullptr),
                kInfo);
  nested.logger = &logger;
  {
    LogScope scope(logger);
    scope.add(kInfo, [] { return std::string("outer"); });
  }
  EXPECT_EQ(nested.lines, (Lines{{kInfo, "outer"}, {kInfo, "deferred inside"}, {kInfo, "inner"}}));
}

TEST(LogTest, QuotedKeysForgeNoLine) {
  EXPECT_EQ(quoted("user:1"), "'user:1'");
  EXPECT_EQ(quoted(""), "''");
  EXPECT_EQ(quoted("it's"), "'it\\'s'");
  EXPECT_EQ(quoted("a\\b"), "'a\\\\b'");
  EXPECT_EQ(quoted("a\nERROR b\r\x1B[2J\x7F"), "'a\\x0aERROR b\\x0d\\x1b[2J\\x7f'");
  EXPECT_EQ(quoted("\xC3\xA9\xE6\x97\xA5"), "'\xC3\xA9\xE6\x97\xA5'");
}

}  // namespace
}  // namespace dbc
