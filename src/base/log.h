// Logging: lines are collected while a call runs and delivered when it has let go of every lock.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace dbc {

enum LogLevel { kTrace = 5, kDebug = 10, kInfo = 20, kWarning = 30, kError = 40, kLogOff = 100 };

// Where lines go: the caller's callback with its context, finalized when the last owner lets go.
class LogSink {
 public:
  using Callback = void (*)(void *context, int level, const char *message, size_t message_size);
  using Finalizer = void (*)(void *context);

  LogSink(Callback callback, void *context, Finalizer finalizer)
      : callback_(callback), context_(context), finalizer_(finalizer) {}
  ~LogSink() {
    if (finalizer_) finalizer_(context_);
  }
  LogSink(const LogSink &) = delete;
  LogSink &operator=(const LogSink &) = delete;

  void write(int level, const std::string &message) const {
    if (callback_) callback_(context_, level, message.c_str(), message.size());
  }

 private:
  const Callback callback_;
  void *const context_;
  const Finalizer finalizer_;
};

// One per cache. Thread safety: everything from any thread.
class Logger {
 public:
  Logger(std::shared_ptr<LogSink> sink, int level);

  bool enabled(int level) const { return level >= level_.load(std::memory_order_relaxed); }
  void set_level(int level);
  // Would a call that has no more to tell than what is below `level` have nothing to deliver at all?
  bool silent(int level) const { return !enabled(level) && !has_deferred_.load(std::memory_order_relaxed); }

  // For threads of the library's own, which must not call back: the line waits for the next call of a user's thread.
  void defer(int level, const char *message, const char *detail = "") noexcept;

 private:
  friend class LogScope;
  struct Line {
    int level;
    std::string message;
  };

  const std::shared_ptr<LogSink> sink_;
  std::atomic<int> level_;
  std::atomic<bool> has_deferred_{false};
  std::mutex mutex_;  // guards deferred_; a leaf
  std::vector<Line> deferred_;
};

// The lines of one call. Make it before any lock is taken: its end delivers the lines, in order.
class LogScope {
 public:
  explicit LogScope(Logger &logger) : logger_(logger) {}
  ~LogScope() {
    if (postponed_) return;
    if (!lines_.empty() || logger_.has_deferred_.load(std::memory_order_relaxed)) deliver();
  }
  LogScope(const LogScope &) = delete;
  LogScope &operator=(const LogScope &) = delete;

  // `make` returns the text; it runs only if the level is on.
  template <typename Make>
  void add(int level, Make &&make) noexcept {
    if (logger_.enabled(level)) [[unlikely]] {
      // A line that finds no memory is lost: logging must not turn a call that did its work into a failure.
      try {
        lines_.push_back({level, make()});
      } catch (const std::bad_alloc &) {
      }
    }
  }

  // Leaves the lines to the end of the next call: for when a callback could not use the cache yet.
  void postpone() noexcept;

 private:
  void deliver() noexcept;

  Logger &logger_;
  std::vector<Logger::Line> lines_;
  bool postponed_ = false;
};

// A key for a log line: in quotes, with quotes, backslashes and control characters escaped, so that no key forges a
// line.
std::string quoted(std::string_view key);

}  // namespace dbc
