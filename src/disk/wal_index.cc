#include "disk/wal_index.h"

namespace dbc {
namespace {

constexpr int kFirstBlockBytes = 32768;
constexpr uint32_t kIndexVersion = 3007000;
// In 32-bit words: "mxFrame" of the header, and "nBackfill" behind its two copies.
constexpr std::size_t kPagesAt = 4, kCopiedAt = 24;

}  // namespace

bool WalIndex::find(sqlite3 *connection) {
  sqlite3_file *file = nullptr;
  if (sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK) return false;
  if (!file || !file->pMethods || file->pMethods->iVersion < 2 || !file->pMethods->xShmMap) return false;
  volatile void *block = nullptr;
  // Mapped already by the connection's first read; never made longer from here.
  if (file->pMethods->xShmMap(file, 0, kFirstBlockBytes, 0, &block) != SQLITE_OK || !block) return false;
  const auto *header = static_cast<const uint64_t *>(const_cast<const void *>(block));
  if (static_cast<uint32_t>(__atomic_load_n(header, __ATOMIC_ACQUIRE)) != kIndexVersion) return false;
  header_ = header;
  return true;
}

WalIndex::Header WalIndex::header() const {
  Header copy;
  for (std::size_t i = 0; i < copy.size(); ++i) copy[i] = __atomic_load_n(header_ + i, __ATOMIC_ACQUIRE);
  return copy;
}

uint32_t WalIndex::pages() const {
  return __atomic_load_n(reinterpret_cast<const uint32_t *>(header_) + kPagesAt, __ATOMIC_ACQUIRE);
}

uint32_t WalIndex::pages_to_copy() const {
  const auto *words = reinterpret_cast<const uint32_t *>(header_);
  return __atomic_load_n(words + kPagesAt, __ATOMIC_ACQUIRE) - __atomic_load_n(words + kCopiedAt, __ATOMIC_ACQUIRE);
}

bool WalIndex::plausible() const {
  const auto *words = reinterpret_cast<const uint32_t *>(header_);
  uint32_t copied = __atomic_load_n(words + kCopiedAt, __ATOMIC_ACQUIRE);
  return copied <= __atomic_load_n(words + kPagesAt, __ATOMIC_ACQUIRE);
}

// The two copies of the header differ then, as when a writer has died while it wrote them.
void WalIndex::invalidate() const { __atomic_store_n(const_cast<uint64_t *>(header_), uint64_t{0}, __ATOMIC_SEQ_CST); }

}  // namespace dbc
