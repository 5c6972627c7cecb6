#include "disk/compression.h"

#ifdef DBC_WITH_ZSTD

#include <zstd.h>
#include <zstd_errors.h>

#include <cstring>
#include <new>

#include "base/item.h"

namespace dbc {
namespace {

// zstd's own default. Against level 1 it takes a tenth longer and makes JSON a twentieth smaller; level 6 takes two to
// four times as long and gains next to nothing more.
constexpr int kLevel = 3;

// Below that a frame saves nothing worth the time.
constexpr size_t kLeastSize = 64;

// A block of a frame takes at least its header and one byte, and holds at most this.
constexpr uint64_t kLeastBlock = 4;
constexpr uint64_t kMostInBlock = ZSTD_BLOCKSIZE_MAX;

bool failed(size_t result) {
  if (!ZSTD_isError(result)) return false;
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  return true;
}

}  // namespace

bool has_zstd() { return true; }

void Compressor::Free::operator()(ZSTD_CCtx_s *context) const { ZSTD_freeCCtx(context); }
void Decompressor::Free::operator()(ZSTD_DCtx_s *context) const { ZSTD_freeDCtx(context); }

Compressed Compressor::compress(std::string_view value) {
  if (value.size() < kLeastSize) return {};
  if (!context_) context_.reset(ZSTD_createCCtx());
  if (!context_) throw std::bad_alloc();
  // Too small a place for what saves less than an eighth: zstd then gives up.
  size_t most = value.size() - value.size() / 8;
  Compressed compressed{std::unique_ptr<char[]>(new char[most]), 0};
  compressed.size = ZSTD_compressCCtx(context_.get(), compressed.data.get(), most, value.data(), value.size(), kLevel);
  if (failed(compressed.size)) return {};
  return compressed;
}

bool may_hold(std::string_view compressed, uint64_t size) {
  // One frame of the present format, since older ones are read by older code, and nothing behind it.
  uint32_t magic = 0;
  if (compressed.size() < sizeof magic) return false;
  if (size > kMaxValueBytes || size > compressed.size() / kLeastBlock * kMostInBlock) return false;
  std::memcpy(&magic, compressed.data(), sizeof magic);
  return magic == ZSTD_MAGICNUMBER && ZSTD_getFrameContentSize(compressed.data(), compressed.size()) == size &&
         ZSTD_findFrameCompressedSize(compressed.data(), compressed.size()) == compressed.size();
}

bool Decompressor::decompress(std::string_view compressed, char *value, size_t size) {
  if (!context_) context_.reset(ZSTD_createDCtx());
  if (!context_) throw std::bad_alloc();
  size_t result = ZSTD_decompressDCtx(context_.get(), value, size, compressed.data(), compressed.size());
  return !failed(result) && result == size;
}

}  // namespace dbc

#else

namespace dbc {

bool has_zstd() { return false; }

void Compressor::Free::operator()(ZSTD_CCtx_s *) const {}
void Decompressor::Free::operator()(ZSTD_DCtx_s *) const {}

Compressed Compressor::compress(std::string_view) { return {}; }
bool may_hold(std::string_view, uint64_t) { return false; }
bool Decompressor::decompress(std::string_view, char *, size_t) { return false; }

}  // namespace dbc

#endif
