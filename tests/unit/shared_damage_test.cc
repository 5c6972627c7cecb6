// A database that is damaged while handles use it, such that its header speaks of another journal mode: who opens it
// then must not wait for those who have it open. And an index of the WAL that would lead SQLite out of its memory.
#include <dbc.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "processes.h"

namespace dbc {
namespace {

constexpr double kBusyTimeout = 8;

enum class Damage { kOtherJournalMode, kOtherJournalModeAndNoWal, kNoHeader, kEmpty };

// What "nBackfill" of the WAL's index may not be. With the second SQLite 3.40 reads before the start of an array.
constexpr uint32_t kTooManyCopied[] = {1000, 0xFFFFF800, 0xFFFFFFFF};

std::string name_of(const ::testing::TestParamInfo<Damage> &damage) {
  constexpr const char *kNames[] = {"OtherJournalMode", "OtherJournalModeAndNoWal", "NoHeader", "Empty"};
  return kNames[static_cast<int>(damage.param)];
}

class DamageInUse : public ::testing::TestWithParam<Damage> {
 protected:
  ~DamageInUse() override {
    dbc_free(first_);
    dbc_free(second_);
  }

  dbc_cache *open_cache(dbc_on_corrupt on_corrupt = DBC_ON_CORRUPT_RESTART) {
    dbc_options *options = dbc_options_new();
    dbc_options_set_double(options, DBC_BUSY_TIMEOUT_SECONDS, kBusyTimeout);
    dbc_options_set_u64(options, DBC_ON_CORRUPT, on_corrupt);
    dbc_cache *cache = nullptr;
    status_ = dbc_open(path_.c_str(), "1", options, &cache);
    dbc_options_free(options);
    return cache;
  }
  static dbc_status put(dbc_cache *cache, const std::string &key, const std::string &value) {
    return dbc_put(cache, key.data(), key.size(), value.data(), value.size(), 0, nullptr, nullptr);
  }
  static std::string get(dbc_cache *cache, const std::string &key) {
    dbc_value *value = nullptr;
    dbc_status status = dbc_get(cache, key.data(), key.size(), nullptr, &value);
    if (status != DBC_OK) return dbc_status_name(status);
    std::string text(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
    dbc_value_release(value);
    return text;
  }

  // From another process: closing a descriptor of the file here would take SQLite's locks away.
  void damage() {
    testing::Child child([&] {
      int file = open(path_.c_str(), O_RDWR);
      if (GetParam() == Damage::kEmpty) return ftruncate(file, 0);
      if (GetParam() == Damage::kNoHeader) return pwrite(file, std::string(100, 0).data(), 100, 0) == 100 ? 0 : 1;
      if (GetParam() == Damage::kOtherJournalModeAndNoWal) unlink((path_ + "-wal").c_str());
      return pwrite(file, "\1\1", 2, 18) == 2 ? 0 : 1;
    });
    ASSERT_EQ(child.wait(), 0);
  }

  size_t moved_aside() const {
    size_t count = 0;
    for (const auto &entry : std::filesystem::directory_iterator(directory_.path())) {
      std::string name = entry.path().filename();
      if (name.find(".corrupt-") != name.npos && name.find("-wal") == name.npos) ++count;
    }
    return count;
  }

  testing::TemporaryDirectory directory_;
  const std::string path_ = directory_ / "cache.db";
  dbc_status status_ = DBC_OK;
  dbc_cache *first_ = open_cache(), *second_ = open_cache();
};

TEST_P(DamageInUse, NobodyWaitsForThoseWhoHaveItOpen) {
  ASSERT_EQ(put(first_, "a", "1"), DBC_OK);
  ASSERT_EQ(get(second_, "a"), "1");
  damage();
  auto began = std::chrono::steady_clock::now();
  dbc_cache *third = open_cache();
  ASSERT_NE(third, nullptr) << dbc_last_error();
  for (dbc_cache *cache : {first_, second_, third}) {
    EXPECT_EQ(put(cache, "b", "2"), DBC_OK) << dbc_last_error();
  }
  EXPECT_EQ(put(first_, "b", "3"), DBC_OK) << dbc_last_error();
  for (dbc_cache *cache : {first_, second_, third}) EXPECT_EQ(get(cache, "b"), "3");
  dbc_free(third);
  EXPECT_LE(moved_aside(), 1u);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::duration<double>(kBusyTimeout / 2));
}

TEST_P(DamageInUse, WhoWantsAnErrorGetsItAtOnce) {
  ASSERT_EQ(put(first_, "a", "1"), DBC_OK);
  damage();
  auto began = std::chrono::steady_clock::now();
  dbc_cache *third = open_cache(DBC_ON_CORRUPT_FAIL);
  if (!third) {
    EXPECT_EQ(status_, DBC_CORRUPT) << dbc_last_error();
    EXPECT_EQ(moved_aside(), 0u);
  }
  dbc_free(third);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::duration<double>(kBusyTimeout / 2));
}

class DamagedWalIndex : public DamageInUse {
 protected:
  void set_copied(uint32_t pages) {
    testing::Child child([&] {
      int file = open((path_ + "-shm").c_str(), O_RDWR);
      return pwrite(file, &pages, sizeof pages, 96) == static_cast<ssize_t>(sizeof pages) ? 0 : 1;
    });
    ASSERT_EQ(child.wait(), 0);
  }
};

TEST_P(DamagedWalIndex, IsMadeAnewBeforeAReadOrAWrite) {
  int round = 0;
  for (uint32_t pages : kTooManyCopied) {
    std::string value = std::to_string(++round);
    ASSERT_EQ(put(first_, "a", value), DBC_OK);
    set_copied(pages);
    EXPECT_EQ(get(second_, "a"), value) << dbc_last_error();
    set_copied(pages);
    EXPECT_EQ(put(second_, "b", value), DBC_OK) << dbc_last_error();
    set_copied(pages);
    EXPECT_EQ(dbc_flush(first_), DBC_OK) << dbc_last_error();
    EXPECT_EQ(get(first_, "b"), value) << dbc_last_error();
    set_copied(pages);
    uint64_t problems = 1;
    EXPECT_EQ(dbc_check(first_, 0, nullptr, 0, &problems), DBC_OK) << dbc_last_error();
    EXPECT_EQ(problems, 0u);
  }
  EXPECT_EQ(moved_aside(), 0u);
}

INSTANTIATE_TEST_SUITE_P(OfTheWal, DamagedWalIndex, ::testing::Values(Damage::kNoHeader));

INSTANTIATE_TEST_SUITE_P(Kinds, DamageInUse,
                         ::testing::Values(Damage::kOtherJournalMode, Damage::kOtherJournalModeAndNoWal,
                                           Damage::kNoHeader, Damage::kEmpty),
                         name_of);

// The counter of versions in the shared file: what it says is borne out by the file, or not believed.
TEST(SharedDamage, AnyBitOfTheCounterOfVersions) {
  constexpr off_t kVersions = 2816;
  testing::TemporaryDirectory directory;
  for (int bit = 0; bit < 64; ++bit) {
    SCOPED_TRACE(bit);
    std::string path = directory.path() + "/bit" + std::to_string(bit) + ".db";
    dbc_options *behind = dbc_options_new();
    dbc_options_set_u64(behind, DBC_WRITE_MODE, DBC_WRITE_BEHIND);
    dbc_options_set_double(behind, DBC_WRITE_BEHIND_DELAY_SECONDS, 3600);
    dbc_cache *writer = nullptr, *reader = nullptr;
    ASSERT_EQ(dbc_open(path.c_str(), "1", behind, &writer), DBC_OK);
    ASSERT_EQ(dbc_open(path.c_str(), "1", nullptr, &reader), DBC_OK);
    dbc_options_free(behind);
    auto put = [](dbc_cache *cache, char key) {
      uint64_t version = 0;
      EXPECT_EQ(dbc_put(cache, &key, 1, &key, 1, 0, nullptr, &version), DBC_OK) << dbc_last_error();
      return version;
    };
    auto get = [](dbc_cache *cache, char key) {
      dbc_value *value = nullptr;
      EXPECT_EQ(dbc_get(cache, &key, 1, nullptr, &value), DBC_OK) << key;
      dbc_value_release(value);
    };
    uint64_t first = put(writer, 'a');
    ASSERT_EQ(dbc_flush(writer), DBC_OK);
    int file = open((path + "-dbc").c_str(), O_RDWR);
    uint64_t word = 0;
    ASSERT_EQ(pread(file, &word, sizeof word, kVersions), ssize_t{sizeof word});
    word ^= uint64_t{1} << bit;
    ASSERT_EQ(pwrite(file, &word, sizeof word, kVersions), ssize_t{sizeof word});
    close(file);
    EXPECT_GT(put(writer, 'a'), first);
    put(writer, 'b');
    ASSERT_EQ(dbc_flush(writer), DBC_OK);
    get(reader, 'b');
    uint64_t before = put(reader, 'c');
    EXPECT_LT(before, uint64_t{1} << 62);
    get(writer, 'c');
    EXPECT_GT(put(reader, 'c'), before);
    get(reader, 'a');
    uint64_t problems = 1;
    EXPECT_EQ(dbc_check(reader, 0, nullptr, 0, &problems), DBC_OK);
    EXPECT_EQ(problems, 0u);
    dbc_free(writer);
    dbc_free(reader);
  }
}

}  // namespace
}  // namespace dbc
