// Every I/O call of a run, of every kind, fails once, and from then on.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "../model/random_run.h"
#include "script.h"
#include "support.h"

namespace dbc::faults {
namespace {

class IoFaults : public ::testing::TestWithParam<Fault> {
 protected:
  static void SetUpTestSuite() { install_fault_vfs(); }

  // Whether the fault happened. Throws where the library did not keep its word.
  bool run(uint64_t k, bool lasting, dbc_durability durability, dbc_compression compression = DBC_COMPRESSION_NONE) {
    folder_.clear();
    // When the file is given up, what the memory tier holds is gone with it.
    Limits limits = GetParam().damages ? Limits::kDiskOnly : Limits::kBoth;
    Script script({folder_.path(), GetParam(), k, lasting, durability, limits, compression});
    try {
      script.run();
    } catch (const model::Mismatch &mismatch) {
      throw model::Mismatch(std::string(GetParam().name) + ", call " + std::to_string(k) +
                            (lasting ? " and all later ones" : "") +
                            (durability == DBC_DURABILITY_FULL ? ", full durability" : "") +
                            (compression != DBC_COMPRESSION_NONE ? ", compressing" : "") + "\n" + mismatch.what() +
                            "\n" + script.history());
    }
    ++runs_;
    failures_ += script.failures();
    compressed_seen_ += script.compressed_seen();
    return script.fired();
  }

  uint64_t runs_ = 0, failures_ = 0, compressed_seen_ = 0;

 private:
  Folder folder_;
};

TEST_P(IoFaults, EveryCallMayFail) {
  uint64_t calls = 0;
  for (dbc_durability durability : {DBC_DURABILITY_NORMAL, DBC_DURABILITY_FULL}) {
    // In a run without a fault they are counted.
    ASSERT_FALSE(run(UINT64_MAX, false, durability));
    uint64_t all = injector().calls(GetParam().call);
    for (bool lasting : {false, true}) {
      for (uint64_t k : chosen(all, lasting ? 1 : 0)) run(k, lasting, durability);
      // The library may do more after a failure, but not at the end of a run.
      if (run_is_long()) {
        for (uint64_t k = all + 1; run(k, lasting, durability); ++k) {
        }
      }
    }
    calls += all;
  }
  std::printf("   %-28s %4llu calls in a run, %5llu runs, %5llu errors\n", GetParam().name,
              static_cast<unsigned long long>(calls / 2), static_cast<unsigned long long>(runs_),
              static_cast<unsigned long long>(failures_));
}

#ifdef DBC_WITH_ZSTD

TEST_P(IoFaults, EveryCallMayFailWithCompression) {
  ASSERT_FALSE(run(UINT64_MAX, false, DBC_DURABILITY_NORMAL, DBC_COMPRESSION_ZSTD));
  if (!GetParam().damages) {
    EXPECT_GT(compressed_seen_, 0u);
  }
  uint64_t all = injector().calls(GetParam().call);
  for (bool lasting : {false, true}) {
    for (uint64_t k : chosen(all, lasting ? 3 : 2, 2)) run(k, lasting, DBC_DURABILITY_NORMAL, DBC_COMPRESSION_ZSTD);
  }
}

#endif

INSTANTIATE_TEST_SUITE_P(Kinds, IoFaults, ::testing::ValuesIn(io_faults()), [](const auto &fault) {
  std::string name = fault.param.name;
  std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
  return name;
});

}  // namespace
}  // namespace dbc::faults
