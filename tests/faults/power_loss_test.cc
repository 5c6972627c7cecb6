// The power goes at random moments: what the disk has then is opened after another boot. With full and normal
// durability it holds what some prefix of the commits produced (full: all that were acknowledged); with none, no value
// that nobody put.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "../model/random_run.h"
#include "power.h"
#include "support.h"
#include "system_calls.h"

namespace dbc::faults {
namespace {

using model::Mismatch;
using Items = std::map<std::string, std::string>;

struct Cut {
  std::string folder;
  uint64_t change;
  size_t acknowledged;  // the number of calls that had returned
};

struct Settings {
  dbc_durability durability;
  bool shared;  // else without the shared file, in rollback journal mode
};

dbc_cache *open_or_fail(const std::string &path, dbc_durability durability) {
  dbc_options *options = dbc_options_new();
  dbc_options_set_u64(options, DBC_DURABILITY, durability);
  dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, 12);
  dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, 0.001);
  dbc_options_set_double(options, DBC_DISK_TTL_SECONDS, model::kForever);
  dbc_cache *cache = nullptr;
  dbc_status status = dbc_open(path.c_str(), "1", options, &cache);
  dbc_options_free(options);
  if (status != DBC_OK) throw Mismatch(std::string("open: ") + dbc_status_name(status) + ": " + dbc_last_error());
  return cache;
}

class CutRun {
 public:
  CutRun(const Settings &settings, uint64_t seed, uint64_t cuts) : settings_(settings), seed_(seed), random_(seed) {
    for (uint64_t i = 0; i < cuts; ++i) moments_.push_back(random_() % kChanges);
    std::sort(moments_.begin(), moments_.end());
  }

  void write() {
    shared_file_denied.store(!settings_.shared);
    simulated_boot.store(++boots);
    power_disk().reset([this](uint64_t change) { changing(change); });
    states_.push_back({});
    dbc_cache *cache = open_or_fail(folder_.path() + "/cache.db", settings_.durability);
    for (int i = 0; i < 60; ++i) {
      if (i % 20 == 19) {
        dbc_close(cache);
        dbc_free(cache);
        cache = open_or_fail(folder_.path() + "/cache.db", settings_.durability);
      }
      step(cache, i);
      states_.push_back(items_);
      acknowledged_.store(states_.size() - 1);
    }
    dbc_free(cache);
    power_disk().reset(nullptr);
  }

  // Throws Mismatch.
  void check() {
    for (const Cut &cut : cuts_) {
      try {
        check(cut);
      } catch (const Mismatch &mismatch) {
        throw Mismatch("seed " + std::to_string(seed_) + ", cut at change " + std::to_string(cut.change) + " (" +
                       std::to_string(cut.acknowledged) + " calls acknowledged): " + mismatch.what());
      }
    }
  }
  size_t cuts() const { return cuts_.size(); }
  uint64_t lost() const { return lost_; }
  uint64_t given_up() const { return given_up_; }

 private:
  static constexpr uint64_t kChanges = 450;
  static inline uint64_t boots = 0;

  void changing(uint64_t change) {
    std::lock_guard lock(mutex_);
    while (!moments_.empty() && moments_.front() <= change) {
      moments_.erase(moments_.begin());
      std::string folder = folder_.path() + "/cut" + std::to_string(cuts_.size());
      cuts_.push_back({folder, change, acknowledged_.load()});
      power_disk().cut(folder, seed_ * 1000 + cuts_.size());
    }
  }

  // Values tell which call put them.
  void step(dbc_cache *cache, int number) {
    double time = number;
    auto value = [&](uint64_t salt) {
      std::string text = "call " + std::to_string(number) + "." + std::to_string(salt) + " ";
      size_t size = random_() % 10 == 0 ? 20'000 : random_() % 500;
      while (text.size() < size) text += text;
      return text;
    };
    auto key = [&] { return "key" + std::to_string(random_() % 20); };
    dbc_status status = DBC_OK;
    switch (random_() % 12) {
      case 0: {
        std::string name = key();
        status = dbc_delete(cache, name.data(), name.size());
        items_.erase(name);
        times_.erase(name);
        break;
      }
      case 1:
        if (number % 4 == 0) {
          status = dbc_clear(cache);
          items_.clear();
          times_.clear();
        } else {
          status = dbc_flush(cache);
        }
        break;
      case 2: {
        std::string keys, values;
        std::vector<size_t> key_sizes, value_sizes;
        for (uint64_t i = 0; i < 5; ++i) {
          std::string name = key(), text = value(i);
          keys += name, values += text;
          key_sizes.push_back(name.size()), value_sizes.push_back(text.size());
          items_[name] = text, times_[name] = time;
        }
        status =
            dbc_put_many(cache, 5, keys.data(), key_sizes.data(), values.data(), value_sizes.data(), 0, &time, nullptr);
        break;
      }
      case 3: {
        std::string name = key();
        dbc_value *found = nullptr;
        status = dbc_get(cache, name.data(), name.size(), &time, &found);
        dbc_value_release(found);
        if (items_.contains(name)) times_[name] = time;
        break;
      }
      default: {
        std::string name = key(), text = value(0);
        status = dbc_put(cache, name.data(), name.size(), text.data(), text.size(), 0, &time, nullptr);
        items_[name] = text, times_[name] = time;
      }
    }
    if (status >= DBC_INVALID_ARGUMENT) throw Mismatch(std::string("call: ") + dbc_last_error());
    while (items_.size() > 12) {
      auto oldest = std::min_element(times_.begin(), times_.end(),
                                     [](const auto &a, const auto &b) { return a.second < b.second; });
      items_.erase(oldest->first);
      times_.erase(oldest);
    }
    for (const auto &[name, text] : items_) ever_.emplace(text, name);
  }

  void check(const Cut &cut) {
    std::string path = cut.folder + "/cache.db";
    std::string files;
    for (const auto &entry : std::filesystem::directory_iterator(cut.folder)) {
      files += " " + entry.path().filename().string() + " of " + std::to_string(entry.file_size()) + " bytes";
    }
    simulated_boot.store(++boots);
    bool safe = settings_.durability != DBC_DURABILITY_OFF;
    dbc_cache *cache = open_or_fail(path, settings_.durability);
    Items found = items_of(cache);
    uint64_t count = 0;
    dbc_count(cache, &count);
    bool moved = false;
    for (const auto &entry : std::filesystem::directory_iterator(cut.folder)) {
      moved = moved || entry.path().string().find(".corrupt-") != std::string::npos;
    }
    given_up_ += moved;
    for (const auto &[name, text] : found) {
      if (auto put = ever_.find(text); put == ever_.end() || put->second != name) throw Mismatch("nobody put " + name);
    }
    if (safe) {
      if (moved) throw Mismatch("the file was given up");
      model::expect_equal(uint64_t{found.size()}, count, "count");
      model::expect_sound(cache);
      // The call that was under way may have happened.
      size_t latest = std::min(cut.acknowledged + 1, states_.size() - 1);
      auto begin = states_.begin(), end = begin + static_cast<std::ptrdiff_t>(latest) + 1;
      size_t least = settings_.durability == DBC_DURABILITY_FULL ? cut.acknowledged : 0;
      auto match = std::find(std::make_reverse_iterator(end), std::make_reverse_iterator(begin), found);
      if (match == std::make_reverse_iterator(begin)) {
        throw Mismatch("what it holds, no prefix of the calls produced; the power left" + files);
      }
      size_t prefix = static_cast<size_t>(match.base() - begin) - 1;
      if (prefix < least) throw Mismatch("only " + std::to_string(prefix) + " calls are there; the power left" + files);
      lost_ += prefix < cut.acknowledged;
    }
    double time = 100;
    dbc_status status = dbc_put(cache, "new", 3, "value", 5, 0, &time, nullptr);
    if (status != DBC_OK && safe) throw Mismatch(std::string("put: ") + dbc_last_error());
    dbc_free(cache);
    if (safe) {
      model::expect_equal(std::string("ok"), query(path, "PRAGMA integrity_check"), "integrity");
    }
  }

  static Items items_of(dbc_cache *cache) {
    Items items;
    for (int i = 0; i < 20; ++i) {
      std::string name = "key" + std::to_string(i);
      dbc_value *value = nullptr;
      dbc_status status = dbc_get(cache, name.data(), name.size(), nullptr, &value);
      if (status >= DBC_INVALID_ARGUMENT) throw Mismatch(std::string("get: ") + dbc_last_error());
      if (value) items[name] = std::string(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
      dbc_value_release(value);
    }
    return items;
  }

  static std::string query(const std::string &path, const char *sql) {
    sqlite3 *database = nullptr;
    std::string text;
    sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, "unix");
    auto add = [](void *out, int, char **values, char **) {
      *static_cast<std::string *>(out) += values[0] ? values[0] : "";
      return 0;
    };
    sqlite3_exec(database, sql, add, &text, nullptr);
    sqlite3_close(database);
    return text;
  }

  const Settings settings_;
  const uint64_t seed_;
  std::mt19937_64 random_;
  Folder folder_;
  std::mutex mutex_;
  std::vector<uint64_t> moments_;
  std::vector<Cut> cuts_;
  std::vector<Items> states_;  // after each call
  std::atomic<size_t> acknowledged_{0};
  Items items_;
  std::map<std::string, double> times_;
  std::map<std::string, std::string> ever_;  // key by value
  uint64_t lost_ = 0, given_up_ = 0;
};

class PowerLoss : public ::testing::TestWithParam<Settings> {
 protected:
  static void SetUpTestSuite() { install_power_vfs(); }
  void TearDown() override {
    shared_file_denied.store(false);
    simulated_boot.store(0);
  }
};

TEST_P(PowerLoss, LeavesAPrefix) {
  uint64_t runs = run_is_long() ? 50 : 3, cuts = 0, lost = 0, given_up = 0;
  for (uint64_t seed = 1; seed <= runs; ++seed) {
    CutRun run(GetParam(), seed, 12);
    run.write();
    run.check();
    cuts += run.cuts(), lost += run.lost(), given_up += run.given_up();
  }
  std::printf("   %llu cuts (seeds 1 to %llu), %llu of them lost acknowledged calls, %llu files given up\n",
              static_cast<unsigned long long>(cuts), static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(lost), static_cast<unsigned long long>(given_up));
  EXPECT_GE(cuts, runs * 8);
}

std::string name_of(const ::testing::TestParamInfo<Settings> &settings) {
  const char *names[] = {"Normal", "Full", "Off"};
  return std::string(names[settings.param.durability]) + (settings.param.shared ? "" : "Unshared");
}

INSTANTIATE_TEST_SUITE_P(Durability, PowerLoss,
                         ::testing::Values(Settings{DBC_DURABILITY_NORMAL, true}, Settings{DBC_DURABILITY_FULL, true},
                                           Settings{DBC_DURABILITY_OFF, true}, Settings{DBC_DURABILITY_NORMAL, false},
                                           Settings{DBC_DURABILITY_FULL, false}),
                         name_of);

}  // namespace
}  // namespace dbc::faults
