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
