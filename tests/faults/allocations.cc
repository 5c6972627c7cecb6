// The program's operator new and delete are replaced; the linker puts wrappers in place of the core's malloc() and
// free() (--wrap, see meson.build); SQLite is told to use an allocator of ours. What the C library allocates for itself
// is left alone.
#include "allocations.h"

#include <sqlite3.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "injector.h"

extern "C" void __real_free(void *block);

namespace dbc::faults {
namespace {

std::atomic<int64_t> blocks{0};
sqlite3_mem_methods sqlite_methods;

}  // namespace

void *allocate(size_t size, size_t alignment) noexcept {
  if (injector().ask(Call::kAllocate)) return nullptr;
  void *block = nullptr;
  if (posix_memalign(&block, alignment, size == 0 ? 1 : size) != 0) return nullptr;
  blocks.fetch_add(1);
  return block;
}

void *allocate_or_throw(size_t size, size_t alignment) {
  void *block = allocate(size, alignment);
  if (!block) throw std::bad_alloc();
  return block;
}

void release(void *block) noexcept {
  if (!block) return;
  blocks.fetch_sub(1);
  __real_free(block);
}

void install_fault_allocator() {
  static bool installed = false;
  if (installed) return;
  installed = true;
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_methods);
  sqlite3_mem_methods methods = sqlite_methods;
  methods.xMalloc = [](int size) -> void * {
    return injector().ask(Call::kAllocate) ? nullptr : sqlite_methods.xMalloc(size);
  };
  methods.xRealloc = [](void *block, int size) -> void * {
    return injector().ask(Call::kAllocate) ? nullptr : sqlite_methods.xRealloc(block, size);
  };
  // Without lookaside memory, so that every request comes here.
  if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
      sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK) {
    std::abort();
  }
}

int64_t live_blocks() { return blocks.load(); }
int64_t live_sqlite_bytes() { return sqlite3_memory_used(); }

}  // namespace dbc::faults

namespace {

constexpr size_t kUsual = alignof(std::max_align_t);
size_t number(std::align_val_t alignment) { return static_cast<size_t>(alignment); }

}  // namespace

using dbc::faults::allocate;
using dbc::faults::allocate_or_throw;
using dbc::faults::release;

extern "C" {
// The core's.
void *__wrap_malloc(size_t size) { return allocate(size, kUsual); }
void __wrap_free(void *block) { release(block); }
}

void *operator new(size_t size) { return allocate_or_throw(size, kUsual); }
void *operator new[](size_t size) { return allocate_or_throw(size, kUsual); }
void *operator new(size_t size, std::align_val_t alignment) { return allocate_or_throw(size, number(alignment)); }
void *operator new[](size_t size, std::align_val_t alignment) { return allocate_or_throw(size, number(alignment)); }
void *operator new(size_t size, const std::nothrow_t &) noexcept { return allocate(size, kUsual); }
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return allocate(size, kUsual); }
void *operator new(size_t size, std::align_val_t alignment, const std::nothrow_t &) noexcept {
  return allocate(size, number(alignment));
}
void *operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t &) noexcept {
  return allocate(size, number(alignment));
}
void operator delete(void *block) noexcept { release(block); }
void operator delete[](void *block) noexcept { release(block); }
void operator delete(void *block, size_t) noexcept { release(block); }
void operator delete[](void *block, size_t) noexcept { release(block); }
void operator delete(void *block, std::align_val_t) noexcept { release(block); }
void operator delete[](void *block, std::align_val_t) noexcept { release(block); }
void operator delete(void *block, size_t, std::align_val_t) noexcept { release(block); }
void operator delete[](void *block, size_t, std::align_val_t) noexcept { release(block); }
void operator delete(void *block, const std::nothrow_t &) noexcept { release(block); }
void operator delete[](void *block, const std::nothrow_t &) noexcept { release(block); }
void operator delete(void *block, std::align_val_t, const std::nothrow_t &) noexcept { release(block); }
void operator delete[](void *block, std::align_val_t, const std::nothrow_t &) noexcept { release(block); }
