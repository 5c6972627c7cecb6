#include "disk/compression.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#ifdef DBC_WITH_ZSTD
#include <zstd.h>
#endif

namespace dbc {
namespace {

std::string json(size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i)
    text += "{\"number\": " + std::to_string(i * 7919) + ", \"name\": \"Ada\"}, ";
  text.resize(size);
  return text;
}

std::string compressed(std::string_view value) {
  Compressed result = Compressor().compress(value);
  return std::string(result.bytes());
}

// What comes out, or "(nothing)".
std::string decompressed(std::string_view bytes, size_t size) {
  if (!may_hold(bytes, size)) return "(nothing)";
  std::string value(size, '?');
  return Decompressor().decompress(bytes, value.data(), size) ? value : "(nothing)";
}

#ifdef DBC_WITH_ZSTD

std::string noise(size_t size) {
  std::mt19937_64 random(size);
  std::string bytes(size, '\0');
  for (char &byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST(CompressionTest, WhatWentInComesOut) {
  ASSERT_TRUE(has_zstd());
  Compressor compressor;
  Decompressor decompressor;
  // Up and down, in one context each.
  for (size_t size : {200, 3'000'000, 200, 100, 100'000, 5'000}) {
    for (const std::string &value : {json(size), std::string(size, 'x'), std::string(size, '\0')}) {
      Compressed result = compressor.compress(value);
      ASSERT_TRUE(result) << size;
      EXPECT_LE(result.size, size - size / 8);
      ASSERT_TRUE(may_hold(result.bytes(), size));
      std::string back(size, '?');
      ASSERT_TRUE(decompressor.decompress(result.bytes(), back.data(), size));
      EXPECT_EQ(back, value);
    }
  }
}

TEST(CompressionTest, WhatSavesTooLittleIsLeftAlone) {
  Compressor compressor;
  EXPECT_FALSE(compressor.compress(""));
  EXPECT_FALSE(compressor.compress(std::string(63, 'x')));
  EXPECT_TRUE(compressor.compress(std::string(64, 'x')));
  for (size_t size : {64, 1000, 100'000}) EXPECT_FALSE(compressor.compress(noise(size))) << size;
  // Nine parts in ten that cannot be compressed.
  EXPECT_FALSE(compressor.compress(noise(9000) + std::string(1000, 'x')));
  EXPECT_TRUE(compressor.compress(noise(8000) + std::string(2000, 'x')));
  EXPECT_TRUE(compressor.compress(json(1000)));  // and it works on after that
}

TEST(CompressionTest, AFrameIsOfItsSizeAndNothingElse) {
  std::string value = json(1000), frame = compressed(value);
  EXPECT_EQ(decompressed(frame, 1000), value);
  for (size_t size : {0, 1, 999, 1001, 4096}) EXPECT_FALSE(may_hold(frame, size)) << size;
  for (size_t cut = 0; cut < frame.size(); ++cut) EXPECT_FALSE(may_hold(frame.substr(0, cut), 1000)) << cut;
  EXPECT_FALSE(may_hold(frame + '\0', 1000));
  EXPECT_FALSE(may_hold(frame + frame, 1000));
  EXPECT_FALSE(may_hold(frame + frame, 2000));
  EXPECT_FALSE(may_hold('x' + frame, 1000));
  // Whoever does not ask first gets no more than fits either.
  std::string place(500, '?');
  EXPECT_FALSE(Decompressor().decompress(frame, place.data(), place.size()));
  place.resize(2000);
  EXPECT_FALSE(Decompressor().decompress(frame, place.data(), place.size()));
}

TEST(CompressionTest, FramesOfOtherKindsAreRefused) {
  std::string value = json(1000), frame = compressed(value);
  // A skippable frame, alone and before one of ours.
  std::string skippable("\x50\x2A\x4D\x18\x04\0\0\0abcd", 12);
  EXPECT_FALSE(may_hold(skippable, 0));
  EXPECT_FALSE(may_hold(skippable + frame, 1000));
  // Formats of zstd before 0.8, which are read by code that nobody maintains.
  for (char old = 0x1E; old < 0x28; ++old) {
    std::string legacy = frame;
    legacy[0] = old;
    EXPECT_FALSE(may_hold(legacy, 1000)) << int{old};
  }
  auto made_with = [&](ZSTD_cParameter parameter, int setting, std::string_view dictionary = "") {
    std::string made(2000, '\0');
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, parameter, setting);
    ZSTD_CCtx_loadDictionary(context, dictionary.data(), dictionary.size());
    made.resize(ZSTD_compress2(context, made.data(), made.size(), value.data(), value.size()));
    ZSTD_freeCCtx(context);
    return made;
  };
  EXPECT_EQ(decompressed(made_with(ZSTD_c_contentSizeFlag, 0), 1000), "(nothing)");
  EXPECT_NE(decompressed(made_with(ZSTD_c_compressionLevel, 3, value), 1000), value);  // with a dictionary
  // Whatever the level, and with a checksum of zstd's own, it is the same format.
  EXPECT_EQ(decompressed(made_with(ZSTD_c_checksumFlag, 1), 1000), value);
  EXPECT_EQ(decompressed(made_with(ZSTD_c_compressionLevel, 19), 1000), value);
}

// A frame that says its size in 8 bytes, with one block of zeros behind.
std::string frame_that_claims(uint64_t size) {
  std::string frame("\x28\xB5\x2F\xFD\xE0", 5);
  frame.append(reinterpret_cast<const char *>(&size), sizeof size);
  uint32_t header = 1 | 1 << 1 | 1000 << 3;  // the last block, one byte repeated 1000 times
  frame.append(reinterpret_cast<const char *>(&header), 3);
  return frame + '\0';
}

TEST(CompressionTest, AClaimTakesNoMemory) {
  EXPECT_EQ(decompressed(frame_that_claims(1000), 1000), std::string(1000, '\0'));
  constexpr uint64_t kGibibyte = 1u << 30;
  for (uint64_t claim : {kGibibyte / 100, kGibibyte, 4 * kGibibyte, 4 * kGibibyte + 1000, UINT64_MAX - 1, UINT64_MAX}) {
    EXPECT_FALSE(may_hold(frame_that_claims(claim), claim)) << claim;
  }
  EXPECT_EQ(decompressed(frame_that_claims(2000), 2000), "(nothing)");
  // Long enough for its claim by its length, but no value may have that size: a size of 32 bits would wrap around.
  std::string blocks(4 * 40'000, '\0');
  for (size_t at = 0; at < blocks.size(); at += 4) {
    uint32_t header = (at + 4 == blocks.size() ? 1 : 0) | 1 << 1 | ZSTD_BLOCKSIZE_MAX << 3;
    std::memcpy(blocks.data() + at, &header, 3);
  }
  uint64_t claim = uint64_t{40'000} * ZSTD_BLOCKSIZE_MAX;
  std::string bomb = frame_that_claims(claim).substr(0, 13) + blocks;
  ASSERT_EQ(ZSTD_findFrameCompressedSize(bomb.data(), bomb.size()), bomb.size());
  EXPECT_FALSE(may_hold(bomb, claim));
}

TEST(CompressionTest, NoBytesCanDoHarm) {
  std::mt19937_64 random(1);
  Compressor compressor;
  Decompressor decompressor;
  std::vector<std::string> frames;
  for (size_t size : {100, 300, 5000}) frames.push_back(compressed(json(size)));
  int came_through = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = frames[random() % frames.size()];
    for (uint64_t flips = 1 + random() % 4; flips > 0; --flips) bytes[random() % bytes.size()] ^= 1 << random() % 8;
    if (round % 4 == 0) bytes.resize(random() % bytes.size());
    if (round % 5 == 0) bytes = frames[0].substr(0, 6) + noise(random() % 100);
    // Of exactly its size, so that a sanitizer sees the first byte too many.
    size_t size = round % 3 == 0 ? random() % 6000 : size_t{100};
    if (round % 3 == 1) size = static_cast<size_t>(ZSTD_getFrameContentSize(bytes.data(), bytes.size()));
    if (size > 1'000'000) continue;
    std::unique_ptr<char[]> value(new char[size]);
    if (may_hold(bytes, size) && decompressor.decompress(bytes, value.get(), size)) ++came_through;
  }
  EXPECT_GT(came_through, 0);  // most likely with other bytes: that is what the checksum is for
  std::string value = json(1000), back(1000, '?');
  EXPECT_TRUE(decompressor.decompress(compressed(value), back.data(), back.size()));
  EXPECT_EQ(back, value);
}

#else

TEST(CompressionTest, WithoutZstdNothingIsCompressedAndNothingRead) {
  EXPECT_FALSE(has_zstd());
  EXPECT_EQ(compressed(json(1000)), "");
  std::string frame("\x28\xB5\x2F\xFD\x20\x00\x01\x00\x00", 9);  // a sound one, of an empty value
  EXPECT_EQ(decompressed(frame, 0), "(nothing)");
}

#endif

}  // namespace
}  // namespace dbc
