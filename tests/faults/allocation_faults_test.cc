// Every allocation of a run fails once, and from then on: the core's and SQLite's.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>

#include "../model/random_run.h"
#include "allocations.h"
#include "script.h"
#include "support.h"

namespace dbc::faults {
namespace {

const Fault kNoMemory = {"allocation", Call::kAllocate};

struct Setting {
  const char *name;
  Limits limits;
  dbc_compression compression = DBC_COMPRESSION_NONE;
};

class AllocationFaults : public ::testing::TestWithParam<Setting> {
 protected:
  static void SetUpTestSuite() {
    install_fault_allocator();
    install_fault_vfs();
  }
};

TEST_P(AllocationFaults, EveryAllocationMayFail) {
  Folder folder;
  uint64_t runs = 0, failures = 0;
  auto run = [&](uint64_t k, bool lasting) {
    folder.clear();
    int64_t blocks = live_blocks(), bytes = live_sqlite_bytes();
    {
      const Setting &setting = GetParam();
      Script script({folder.path(), kNoMemory, k, lasting, DBC_DURABILITY_NORMAL, setting.limits, setting.compression});
      try {
        script.run();
      } catch (const model::Mismatch &mismatch) {
        injector().disarm();  // the report needs memory
        throw model::Mismatch("allocation " + std::to_string(k) + (lasting ? " and all later ones" : "") + "\n" +
                              mismatch.what() + "\n" + script.history());
      }
      failures += script.failures();
    }
    // What is made once and kept is there since the first run.
    if (runs++ == 0) return;
    if (live_blocks() == blocks && live_sqlite_bytes() == bytes) return;
    throw model::Mismatch("allocation " + std::to_string(k) + (lasting ? " and all later ones" : "") + ": " +
                          std::to_string(live_blocks() - blocks) + " blocks and " +
                          std::to_string(live_sqlite_bytes() - bytes) + " bytes of SQLite leaked");
  };
  // Without a fault they are counted.
  run(UINT64_MAX, false);
  run(UINT64_MAX, false);
  uint64_t all = injector().calls(Call::kAllocate);
  for (bool lasting : {false, true}) {
    for (uint64_t k : chosen(all, lasting ? 1 : 0, 50)) run(k, lasting);
  }
  std::printf("   %llu allocations in a run, %llu runs, %llu errors\n", static_cast<unsigned long long>(all),
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(failures));
}

// The buffer has what memory could not be told of.
TEST(WriteBehindAllocationFaults, NoPutBehindIsHiddenByWhatMemoryHasOfBefore) {
  install_fault_allocator();
  Folder folder;
  bool failed = true;
  for (uint64_t k = 1; failed; ++k) {
    folder.clear();
    dbc_options *options = dbc_options_new();
    ASSERT_EQ(dbc_options_set_u64(options, DBC_WRITE_MODE, DBC_WRITE_BEHIND), DBC_OK);
    ASSERT_EQ(dbc_options_set_double(options, DBC_WRITE_BEHIND_DELAY_SECONDS, 3600), DBC_OK);
    dbc_cache *cache = nullptr;
    ASSERT_EQ(dbc_open((folder.path() + "/cache.db").c_str(), "1", options, &cache), DBC_OK);
    ASSERT_EQ(dbc_put(cache, "a", 1, "old", 3, DBC_TEXT, nullptr, nullptr), DBC_OK);
    ASSERT_EQ(dbc_flush(cache), DBC_OK);
    injector().arm(kNoMemory, k, false);
    dbc_status put = dbc_put(cache, "a", 1, "new", 3, DBC_TEXT, nullptr, nullptr);
    failed = injector().fired();
    injector().disarm();
    dbc_value *value = nullptr;
    ASSERT_EQ(dbc_get(cache, "a", 1, nullptr, &value), DBC_OK);
    EXPECT_EQ(std::string(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value)),
              put == DBC_OK ? "new" : "old")
        << "allocation " << k;
    dbc_value_release(value);
    dbc_free(cache);
    dbc_options_free(options);
  }
}

const Setting kSettings[] = {
    {"WithoutMemoryTier", Limits::kDiskOnly},
    {"WithoutDiskEviction", Limits::kMemoryOnly},
#ifdef DBC_WITH_ZSTD
    {"WithCompression", Limits::kDiskOnly, DBC_COMPRESSION_ZSTD},
#endif
};

INSTANTIATE_TEST_SUITE_P(Settings, AllocationFaults, ::testing::ValuesIn(kSettings),
                         [](const auto &setting) { return setting.param.name; });

}  // namespace
}  // namespace dbc::faults
