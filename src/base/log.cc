#include "base/log.h"

#include <cstdio>
#include <utility>

namespace dbc {

Logger::Logger(std::shared_ptr<LogSink> sink, int level)
    : sink_(std::move(sink)), level_(sink_ ? level : static_cast<int>(kLogOff)) {}

void Logger::set_level(int level) {
  if (sink_) level_.store(level, std::memory_order_relaxed);
}

void Logger::defer(int level, const char *message, const char *detail) noexcept {
  if (!enabled(level)) return;
  try {
    std::string text = std::string(message) + detail;
    std::lock_guard lock(mutex_);
    if (deferred_.size() >= 1000) return;  // nobody calls; the first lines tell the most
    deferred_.push_back({level, std::move(text)});
    has_deferred_.store(true, std::memory_order_relaxed);
  } catch (const std::bad_alloc &) {
    // As in LogScope::add().
  }
}

void LogScope::postpone() noexcept {
  for (const auto &line : lines_) logger_.defer(line.level, line.message.c_str());
  postponed_ = true;
}

void LogScope::deliver() noexcept {
  std::vector<Logger::Line> deferred;
  if (logger_.has_deferred_.load(std::memory_order_relaxed)) {
    std::lock_guard lock(logger_.mutex_);
    deferred.swap(logger_.deferred_);
    logger_.has_deferred_.store(false, std::memory_order_relaxed);
  }
  for (const auto &line : deferred) logger_.sink_->write(line.level, line.message);
  for (const auto &line : lines_) logger_.sink_->write(line.level, line.message);
}

std::string quoted(std::string_view key) {
  std::string text = "'";
  for (char c : key) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '\'' || c == '\\') {
      text += '\\';
      text += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      char escape[5];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      text += escape;
    } else {
      text += c;
    }
  }
  return text += '\'';
}

}  // namespace dbc
