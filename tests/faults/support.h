// What the tests of this folder share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace dbc::faults {

// `make faults` sets it: then nothing is left out.
inline bool run_is_long() {
  const char *value = std::getenv("DBC_FAULTS_LONG");
  return value && *value;
}

// Which of the calls 1 to `all` are made to fail: in a long run each, else some, spread evenly, others for each `turn`.
inline std::vector<uint64_t> chosen(uint64_t all, uint64_t turn, uint64_t some = 6) {
  uint64_t step = run_is_long() || all <= some ? 1 : all / some;
  std::vector<uint64_t> numbers;
  for (uint64_t k = 1 + (turn * 5 + all) % step; k <= all; k += step) numbers.push_back(k);
  return numbers;
}

// A folder of one's own, in memory where that can be had.
class Folder {
 public:
  Folder() {
    path_ = std::filesystem::exists("/dev/shm") ? "/dev/shm/dbc-faults-XXXXXX" : "/tmp/dbc-faults-XXXXXX";
    if (!mkdtemp(path_.data())) std::abort();
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder &) = delete;
  Folder &operator=(const Folder &) = delete;
  const std::string &path() const { return path_; }
  void clear() const {
    for (const auto &entry : std::filesystem::directory_iterator(path_)) std::filesystem::remove_all(entry.path());
  }

 private:
  std::string path_;
};

}  // namespace dbc::faults
