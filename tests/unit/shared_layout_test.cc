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

TEST(SharedLayout, OfVersion5) {
  testing::TemporaryDirectory directory;
  SharedFile file(directory / "cache.db-dbc", 0600);
  std::array<uint64_t, 4> header{};
  std::ifstream(directory / "cache.db-dbc").read(reinterpret_cast<char *>(header.data()), sizeof header);
  EXPECT_EQ(header, (std::array<uint64_t, 4>{0x31656c6966636264, 5, 65536, 0})) << kWhatToDo;
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
  known.waiting.gone_count = 4;
  known.waiting.gone_until = 1.5;
  known.waiting.gone_key_bytes = 3;
  std::memcpy(known.waiting.gone_key.data(), "key", 3);
  known.waiting.fresh_count = 1;
  known.waiting.fresh[0] = {9, 2.5};
  totals.set(known);
  std::array<uint64_t, 336> words;
  static_assert(sizeof words == sizeof area);
  std::memcpy(words.data(), &area, sizeof area);
  std::array<uint64_t, 336> expected{};
  expected[1] = 0x3c6e000000000002;
  // The second bank: counts, room for four schemas, what is gone with its key, what is fresh; at the end number and
  // checksum.
  const std::array<uint64_t, 21> begin = {
      8, 3, 7, 1, 2, 1, 5, 50, 2, 6, 60, 0, 0, 0, 0, 0, 0, 4, 0x3ff8000000000000, 3, 0x79656b};
  const std::array<uint64_t, 3> fresh = {1, 9, 0x4004000000000000};
  constexpr size_t kBank = 2 + 167;
  std::copy(begin.begin(), begin.end(), expected.begin() + kBank);
  std::copy(fresh.begin(), fresh.end(), expected.begin() + kBank + 36);
  expected[kBank + 165] = 1;
  expected[kBank + 166] = 0x5380ad0e3ff491ad;
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
