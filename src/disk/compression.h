// Compression: what becomes of values on their way into rows, and back: zstd, where the library was built with it
// (DBC_WITH_ZSTD).
//
// What comes from a file is never trusted: whatever its bytes are, decompressing them does no harm, and takes memory in
// proportion to them. Whether the value is the right one is for its checksum to say.
//
// A Compressor and a Decompressor keep their working memory, and are used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace dbc {

enum class Compression { kNone = 0, kZstd = 1 };

// How a row holds its value: the column `encoding`.
enum class Encoding : int64_t {
  kAsGiven = 0,    // TEXT when its writer said that it is text, else BLOB
  kZstdText = 1,   // a zstd frame of text
  kZstdBytes = 2,  // a zstd frame of other bytes
};

bool has_zstd();

struct Compressed {
  std::unique_ptr<char[]> data;
  size_t size = 0;

  explicit operator bool() const { return data != nullptr; }
  std::string_view bytes() const { return {data.get(), size}; }
};

class Compressor {
 public:
  // Nothing when it saves too little to be worth it. Throws std::bad_alloc.
  Compressed compress(std::string_view value);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s *context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

// May these bytes be a value of that size, compressed? To be asked before memory is taken for it.
bool may_hold(std::string_view compressed, uint64_t size);

class Decompressor {
 public:
  // Fills `value` with exactly `size` bytes, or returns false: then anything may be there. Throws std::bad_alloc.
  bool decompress(std::string_view compressed, char *value, size_t size);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s *context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
};

}  // namespace dbc
