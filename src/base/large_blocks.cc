#include "base/large_blocks.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <new>
#include <utility>

namespace dbc {
namespace {

// Smaller ones malloc keeps itself.
constexpr size_t kLarge = 256 * 1024;
constexpr size_t kMostKeptBytes = 16 * 1024 * 1024;
constexpr size_t kMostKept = 16;

// Large blocks are maps of their own: among those of malloc, what is kept would hold on to what was freed below it.
// When the kernel gives no more maps (it has a limit of their number), malloc may still have room; so each block says
// of what kind it is.
struct alignas(16) Header {
  bool mapped;
};

// Sizes that differ by little share their blocks. The most that this adds, an eighth, is at the end, and costs no
// memory as long as nobody writes there.
size_t rounded(size_t bytes) {
  bytes += sizeof(Header);
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class KeptBlocks {
 public:
  constexpr KeptBlocks() = default;
  // What is freed later is not kept, since the flag stays set.
  ~KeptBlocks() {
    if (in_use_.test_and_set(std::memory_order_acquire)) return;
    for (Block &block : blocks_) unmap(std::exchange(block, {}));
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

  void keep_or_unmap(void *memory, size_t bytes) noexcept {
    if (bytes > kMostKeptBytes || in_use_.test_and_set(std::memory_order_acquire)) return unmap({memory, bytes});
    Block *place = find(0);
    // In turn, so that no size that is not asked for any more stays for ever.
    for (; !place || kept_bytes_ + bytes > kMostKeptBytes; next_ = (next_ + 1) % kMostKept) {
      if (!blocks_[next_].memory) continue;
      place = &blocks_[next_];
      kept_bytes_ -= place->bytes;
      unmap(std::exchange(*place, {}));
    }
    *place = {memory, bytes};
    kept_bytes_ += bytes;
    in_use_.clear(std::memory_order_release);
  }

  void unmap_all() noexcept {
    if (in_use_.test_and_set(std::memory_order_acquire)) return;
    for (Block &block : blocks_) unmap(std::exchange(block, {}));
    kept_bytes_ = 0;
    in_use_.clear(std::memory_order_release);
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
  static void unmap(Block block) {
    if (block.memory) munmap(block.memory, block.bytes);
  }

  std::atomic_flag in_use_;
  std::array<Block, kMostKept> blocks_;
  size_t kept_bytes_ = 0;
  size_t next_ = 0;  // whose turn to go it is
};

constinit KeptBlocks kept;

void *map(size_t bytes) {
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

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
  void *memory = kept.take(size);
  if (!memory) memory = map(size);
  if (!memory) {
    kept.unmap_all();
    memory = map(size);
  }
  const bool mapped = memory != nullptr;
  if (!mapped) memory = std::malloc(size);
  return memory ? new (memory) Header{mapped} + 1 : nullptr;
}

void free_block(void *block, size_t bytes) noexcept {
  if (!kKeeping || bytes < kLarge) return std::free(block);
  auto *header = static_cast<Header *>(block) - 1;
  if (header->mapped) return kept.keep_or_unmap(header, rounded(bytes));
  std::free(header);
}

}  // namespace dbc
