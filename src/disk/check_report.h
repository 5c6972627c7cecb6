// CheckReport: what a check of the cache has found: how many problems, and the first of them in words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace dbc {

class CheckReport {
 public:
  // A problem. What came out of a damaged file may be no UTF-8; the report is.
  void add(std::string_view problem) {
    ++problems_;
    say(problem);
  }
  // A line that is no problem of its own.
  void say(std::string_view line) {
    if (text_.size() + line.size() >= kMostBytes) return;
    size_t start = text_.size();
    text_ += line;
    text_ += '\n';
    if (count_code_points(line) != kInvalidUtf8) return;
    for (size_t i = start; i < text_.size(); ++i) {
      if (static_cast<unsigned char>(text_[i]) >= 0x80) text_[i] = '?';
    }
  }

  uint64_t problems() const { return problems_; }
  // Lines that each end with a newline; "" when all is well.
  const std::string &text() const { return text_; }

 private:
  static constexpr size_t kMostBytes = 64 * 1024;

  uint64_t problems_ = 0;
  std::string text_;
};

}  // namespace dbc
