// A disk that can lose power: what SQLite writes goes to the real files, and is remembered until it is synced. A cut
// leaves what was synced, and of the rest a random part, whole writes or single sectors, in no order.
//
// The state that processes share (`-dbc`, a memory map that nobody syncs) may be there, half there or gone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace dbc::faults {

class PowerDisk {
 public:
  using Bytes = std::vector<char>;

  // Forgets everything. `before_change` is called at each change from now on, with its number; it may cut.
  void reset(std::function<void(uint64_t)> before_change);

  // What the power leaves, as files in `folder`, a new one.
  void cut(const std::string &folder, uint64_t seed);

  void changing();
  void wrote(const std::string &path, const void *data, size_t size, int64_t at);
  void truncated(const std::string &path, int64_t size);
  void synced(const std::string &path);
  void opened(const std::string &path, bool syncs_folder);
  void removed(const std::string &path, bool for_good);

 private:
  struct Change {
    int64_t at;
    std::optional<Bytes> data;  // none: the file ends at `at`
  };
  struct File {
    bool exists = true;
    bool lasting = false;  // its name is known to be on the disk
    bool syncs_folder = false;
    Bytes durable;
    std::vector<Change> changes;
    std::optional<Bytes> removed;  // that had the name before, if it is not known to be gone
  };
  void sync_folder();
  static void apply(Bytes *bytes, const Change &change);
  static void apply_torn(Bytes *bytes, const Change &change, std::mt19937_64 &random);

  std::mutex mutex_;
  std::map<std::string, File> files_;
  std::function<void(uint64_t)> before_change_;
  uint64_t changes_ = 0;
};

PowerDisk &power_disk();

// The VFS "power", over the default one; afterwards it is the default.
void install_power_vfs();

}  // namespace dbc::faults
