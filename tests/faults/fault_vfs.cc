// The VFS "faulty": what SQLite asks of the operating system, with the Injector asked first.
#include <sqlite3.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

#include "injector.h"

namespace dbc::faults {
namespace {

sqlite3_vfs *real_vfs = nullptr;
thread_local int last_error = 0;

// What a call returns instead of being done; SQLITE_OK: do it.
int fault_of(Call call, Extent *extent = nullptr) {
  const Fault *fault = injector().ask(call);
  if (!fault) return SQLITE_OK;
  last_error = fault->error;
  if (extent) *extent = fault->extent;
  return fault->result;
}

struct File {
  sqlite3_file base;
  sqlite3_file *real;  // in the memory behind this one
};

sqlite3_file *real_of(sqlite3_file *file) { return reinterpret_cast<File *>(file)->real; }

int close_file(sqlite3_file *file) { return real_of(file)->pMethods->xClose(real_of(file)); }

int read_file(sqlite3_file *file, void *data, int size, sqlite3_int64 at) {
  Extent extent = Extent::kNothing;
  int result = fault_of(Call::kRead, &extent);
  if (result == SQLITE_OK) return real_of(file)->pMethods->xRead(real_of(file), data, size, at);
  if (extent == Extent::kHalf) {
    // As at the end of a file: the rest is zero.
    real_of(file)->pMethods->xRead(real_of(file), data, size, at);
    std::memset(static_cast<char *>(data) + size / 2, 0, static_cast<size_t>(size - size / 2));
  }
  return result;
}

int write_file(sqlite3_file *file, const void *data, int size, sqlite3_int64 at) {
  Extent extent = Extent::kNothing;
  int result = fault_of(Call::kWrite, &extent);
  if (result == SQLITE_OK) return real_of(file)->pMethods->xWrite(real_of(file), data, size, at);
  if (extent == Extent::kHalf && size > 1) real_of(file)->pMethods->xWrite(real_of(file), data, size / 2, at);
  return result;
}

int truncate_file(sqlite3_file *file, sqlite3_int64 size) {
  int result = fault_of(Call::kTruncate);
  return result == SQLITE_OK ? real_of(file)->pMethods->xTruncate(real_of(file), size) : result;
}

// The machine does not lose power here.
int sync_file(sqlite3_file *, int) { return fault_of(Call::kSync); }

int file_size(sqlite3_file *file, sqlite3_int64 *size) {
  int result = fault_of(Call::kFileSize);
  return result == SQLITE_OK ? real_of(file)->pMethods->xFileSize(real_of(file), size) : result;
}

int lock_file(sqlite3_file *file, int level) {
  int result = fault_of(Call::kLock);
  return result == SQLITE_OK ? real_of(file)->pMethods->xLock(real_of(file), level) : result;
}

int unlock_file(sqlite3_file *file, int level) { return real_of(file)->pMethods->xUnlock(real_of(file), level); }

int check_reserved(sqlite3_file *file, int *reserved) {
  return real_of(file)->pMethods->xCheckReservedLock(real_of(file), reserved);
}

int control_file(sqlite3_file *file, int operation, void *argument) {
  return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

int sector_size(sqlite3_file *file) { return real_of(file)->pMethods->xSectorSize(real_of(file)); }

int characteristics(sqlite3_file *file) { return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file)); }

int map_shared(sqlite3_file *file, int region, int size, int extend, void volatile **map) {
  *map = nullptr;
  int result = fault_of(Call::kMapShared);
  return result == SQLITE_OK ? real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, map) : result;
}

int lock_shared(sqlite3_file *file, int offset, int count, int flags) {
  // SQLite, like everybody, takes it that an unlock cannot fail.
  int result = (flags & SQLITE_SHM_LOCK) != 0 ? fault_of(Call::kLockShared) : SQLITE_OK;
  return result == SQLITE_OK ? real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags) : result;
}

void barrier_shared(sqlite3_file *file) { real_of(file)->pMethods->xShmBarrier(real_of(file)); }

int unmap_shared(sqlite3_file *file, int remove) { return real_of(file)->pMethods->xShmUnmap(real_of(file), remove); }

const sqlite3_io_methods kMethods = {
    2,           close_file,     read_file,      write_file,   truncate_file, sync_file,       file_size,
    lock_file,   unlock_file,    check_reserved, control_file, sector_size,   characteristics, map_shared,
    lock_shared, barrier_shared, unmap_shared,   nullptr,      nullptr,
};

int open_file(sqlite3_vfs *, const char *name, sqlite3_file *file, int flags, int *out_flags) {
  auto *self = reinterpret_cast<File *>(file);
  self->base.pMethods = nullptr;
  self->real = reinterpret_cast<sqlite3_file *>(self + 1);
  self->real->pMethods = nullptr;
  int result = fault_of(Call::kOpen);
  if (result == SQLITE_OK) result = real_vfs->xOpen(real_vfs, name, self->real, flags, out_flags);
  if (self->real->pMethods) self->base.pMethods = &kMethods;
  return result;
}

int delete_file(sqlite3_vfs *, const char *name, int sync_folder) {
  int result = fault_of(Call::kDelete);
  return result == SQLITE_OK ? real_vfs->xDelete(real_vfs, name, sync_folder & 0) : result;
}

int access_file(sqlite3_vfs *, const char *name, int flags, int *answer) {
  int result = fault_of(Call::kAccess);
  return result == SQLITE_OK ? real_vfs->xAccess(real_vfs, name, flags, answer) : result;
}

int full_path(sqlite3_vfs *, const char *name, int capacity, char *full) {
  int result = fault_of(Call::kFullPath);
  return result == SQLITE_OK ? real_vfs->xFullPathname(real_vfs, name, capacity, full) : result;
}

// SQLite waits for locks that are busy because the Injector says so, and now and then for another thread: not as long
// as it would, but long enough for that.
int sleep_little(sqlite3_vfs *, int microseconds) {
  std::this_thread::sleep_for(std::chrono::microseconds(1));
  return microseconds;
}

int get_last_error(sqlite3_vfs *, int size, char *text) {
  if (last_error == 0) return real_vfs->xGetLastError(real_vfs, size, text);
  int error = last_error;
  last_error = 0;
  return error;
}

}  // namespace

void install_fault_vfs() {
  if (real_vfs) return;
  real_vfs = sqlite3_vfs_find(nullptr);
  static sqlite3_vfs vfs = *real_vfs;  // time and randomness are the real one's
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(File)) + real_vfs->szOsFile;
  vfs.pNext = nullptr;
  vfs.zName = "faulty";
  vfs.xOpen = open_file;
  vfs.xDelete = delete_file;
  vfs.xAccess = access_file;
  vfs.xFullPathname = full_path;
  vfs.xSleep = sleep_little;
  vfs.xGetLastError = get_last_error;
  sqlite3_vfs_register(&vfs, 1);
}

}  // namespace dbc::faults
