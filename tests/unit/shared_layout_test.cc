// What the bytes of the shared file mean, as other releases of the library read them: processes of several may use one
// file. (Where the bytes lie is checked by the compiler, in shared_file.cc.)
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/key.h"
#include "processes.h"
#include "share/generations.h"
#include "share/shared_file.h"
#include "share/shared_totals.h"

namespace dbc {
namespace {

constexpr const char *kWhatToDo =
    "what the shared file holds has another meaning now, which another release in another process does not know: raise "
    "kLayoutVersion in src/share/shared_file.cc, then write the new meaning here";

TEST(SharedLayout, OfVersion4) {
  testing::TemporaryDirectory directory;
  SharedFile file(directory / "cache.db-dbc", 0600);
  std::array<uint64_t, 4> header{};
  std::ifstream(directory / "cache.db-dbc").read(reinterpret_cast<char *>(header.data()), sizeof header);
  EXPECT_EQ(header, (std::array<uint64_t, 4>{0x31656c6966636264, 4, 65536, 0})) << kWhatToDo;
}

TEST(SharedLayout, OfTheTotals) {
  SharedTotals::Area area{};
  SharedTotals totals(&area);
  FileTotals known;
  known.last_version = 8;
  known.evidence = 3;
  known.evidence_version = 7;
  known.table_is_stale = true;
  known.count = 2;
  known.schemas[0] = {1, 5, 50};
  known.schemas[1] = {2, 6, 60};
  totals.set(known);
  std::array<uint64_t, 40> words;
  static_assert(sizeof words == sizeof area);
  std::memcpy(words.data(), &area, sizeof area);
  std::array<uint64_t, 40> expected{};
  expected[1] = 0x3c6e000000000002;
  const std::array<uint64_t, 19> bank = {8, 3, 7, 1, 2, 1, 5, 50, 2, 6, 60, 0, 0, 0, 0, 0, 0, 1, 0x7227432575baaf8f};
  std::copy(bank.begin(), bank.end(), expected.begin() + 2 + bank.size());
  EXPECT_EQ(words, expected) << kWhatToDo;
  totals.prepare(known);
  EXPECT_EQ(area.state.load(), 0xdaa6000000000003) << kWhatToDo;
}

TEST(SharedLayout, OfTheGenerations) {
  std::vector<std::atomic<uint64_t>> words(Generations::kMemory);
  Generations generations(words.data());
  uint64_t hash = Key("user:1").hash;
  EXPECT_EQ(hash, 0x3b577afd7fed9501u) << kWhatToDo;
  generations.begin(hash);
  EXPECT_EQ(words[hash % 65536].load(), 1u) << kWhatToDo;
  EXPECT_EQ(words[65536 + hash % 65536].load(), 0xfffffffffaf5370bu) << kWhatToDo;
  generations.end(hash);
  EXPECT_EQ(words[hash % 65536].load(), 2u) << kWhatToDo;
}

}  // namespace
}  // namespace dbc
