// What the fuzzers share: an input that is taken apart byte by byte, and a folder in memory.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "dbc.h"

namespace fuzz {

class Input {
 public:
  Input(const uint8_t *data, size_t size) : bytes_(reinterpret_cast<const char *>(data), size) {}
  bool empty() const { return bytes_.empty(); }
  uint8_t byte() {
    if (bytes_.empty()) return 0;
    auto first = static_cast<uint8_t>(bytes_[0]);
    bytes_.remove_prefix(1);
    return first;
  }
  template <typename Number>
  Number number() {
    Number number{};
    char raw[sizeof number];
    for (char &each : raw) each = static_cast<char>(byte());
    std::memcpy(&number, raw, sizeof number);
    return number;
  }
  std::string_view take(size_t size) {
    std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() { return take(bytes_.size()); }

 private:
  std::string_view bytes_;
};

// Says what is wrong and ends the process, as a fuzzer wants it.
inline void require(bool right, const char *what, const char *detail = "") {
  if (right) return;
  std::fprintf(stderr, "wrong: %s %s\n", what, detail);
  std::abort();
}

class Folder {
 public:
  Folder() {
    std::string name = (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") + std::string("/dbc-fuzz-XXXXXX");
    if (!mkdtemp(name.data())) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string &name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace fuzz
