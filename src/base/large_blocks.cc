#include "base/large_blocks.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace dbc {
namespace {

// Smaller ones malloc keeps itself.
constexpr size_t kLarge = 64 * 1024;
constexpr size_t kMostKeptBytes = 16 * 1024 * 1024;
constexpr size_t kMostKept = 16;

// Sizes that differ by little share their blocks. The most that this adds, an eighth, is at the end, and costs no memory
// as long as nobody writes there.
size_t rounded(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class KeptBlocks {
 public:
  constexpr KeptBlocks() = default;
  // What is freed later goes to malloc, since the flag stays set.
  ~KeptBlocks() {
    if (in_use_.test_and_set(std::memory_order_acquire)) return;
    for (Block &block : blocks_) std::free(block.memory);
  }

  // Null when none of that size is kept.
  void *take(size_t bytes) noexcept {
    if (in_use_.test_and_set(std::memory_order_acquire)) return nullptr;
    void *found = nullptr;
    if (Block *block = find(bytes)) {
      found = std::exchange(*block, {}).memory;
      kept_bytes_ -= bytes;
    }
    in_use_.clear(std::memory_order_release);
    return found;
  }

  // False when it cannot be kept. In its place, others may have to be freed.
  bool keep(void *memory, size_t bytes, std::array<void *, kMostKept> *displaced) noexcept {
    if (bytes > kMostKeptBytes || in_use_.test_and_set(std::memory_order_acquire)) return false;
    size_t count = 0;
    Block *place = find(0);
    // In turn, so that no size that is not asked for any more stays for ever.
    for (; !place || kept_bytes_ + bytes > kMostKeptBytes; next_ = (next_ + 1) % kMostKept) {
      if (!blocks_[next_].memory) continue;
      place = &blocks_[next_];
      kept_bytes_ -= place->bytes;
      (*displaced)[count++] = std::exchange(*place, {}).memory;
    }
    *place = {memory, bytes};
    kept_bytes_ += bytes;
    in_use_.clear(std::memory_order_release);
    return true;
  }

 private:
  struct Block {
    void *memory = nullptr;
    size_t bytes = 0;
  };
  // The first of that size; 0: an empty one.
  Block *find(size_t bytes) {
    auto at = std::find_if(blocks_.begin(), blocks_.end(), [&](const Block &block) { return block.bytes == bytes; });
    return at == blocks_.end() ? nullptr : &*at;
  }

  std::atomic_flag in_use_;
  std::array<Block, kMostKept> blocks_;
  size_t kept_bytes_ = 0;
  size_t next_ = 0;  // whose turn to go it is
};

constinit KeptBlocks kept;

// A sanitizer shall see every use of what was freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKeeping = false;
#else
constexpr bool kKeeping = true;
#endif

}  // namespace

void *allocate_block(size_t bytes) noexcept {
  if (!kKeeping || bytes < kLarge) return std::malloc(bytes);
  const size_t size = rounded(bytes);
  void *block = kept.take(size);
  return block ? block : std::malloc(size);
}

void free_block(void *block, size_t bytes) noexcept {
  std::array<void *, kMostKept> displaced{};
  if (!kKeeping || bytes < kLarge || !kept.keep(block, rounded(bytes), &displaced)) return std::free(block);
  for (void *other : displaced) std::free(other);
}

}  // namespace dbc
