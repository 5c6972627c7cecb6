// The core's own system calls, with the Injector asked first. The linker puts these wrappers in place of the calls in
// the core and in the tests (--wrap, see meson.build), and not in SQLite, whose calls fault_vfs.cc fails.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <string_view>

#include "injector.h"
#include "system_calls.h"

using dbc::faults::Call;
using dbc::faults::injector;

namespace dbc::faults {
std::atomic<uint64_t> simulated_boot{0};
std::atomic<bool> shared_file_denied{false};
}  // namespace dbc::faults

namespace {

int open_simulated_boot_id(uint64_t boot) {
  int descriptor = memfd_create("boot_id", MFD_CLOEXEC);
  char text[64];
  int size = std::snprintf(text, sizeof text, "%036llu\n", static_cast<unsigned long long>(boot));
  if (descriptor < 0) return -1;
  bool written = write(descriptor, text, static_cast<size_t>(size)) == size;
  if (written && lseek(descriptor, 0, SEEK_SET) == 0) return descriptor;
  close(descriptor);
  return -1;
}

}  // namespace

extern "C" {

int __real_open64(const char *path, int flags, mode_t mode);
int __real_stat64(const char *path, struct stat64 *status);
int __real_fstat64(int descriptor, struct stat64 *status);
int __real_fallocate64(int descriptor, int mode, off64_t offset, off64_t size);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int descriptor, off64_t offset);
int __real_fcntl64(int descriptor, int command, void *argument);
int __real_rename(const char *from, const char *to);

int __wrap_open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (injector().ask(Call::kSystemOpen)) return -1;
  std::string_view name = path;
  if (dbc::faults::shared_file_denied.load() && name.ends_with("-dbc")) {
    errno = EACCES;
    return -1;
  }
  uint64_t boot = dbc::faults::simulated_boot.load();
  if (boot != 0 && name == "/proc/sys/kernel/random/boot_id") return open_simulated_boot_id(boot);
  return __real_open64(path, flags, mode);
}

int __wrap_stat64(const char *path, struct stat64 *status) {
  return injector().ask(Call::kSystemStat) ? -1 : __real_stat64(path, status);
}

int __wrap_fstat64(int descriptor, struct stat64 *status) {
  return injector().ask(Call::kSystemStat) ? -1 : __real_fstat64(descriptor, status);
}

int __wrap_fallocate64(int descriptor, int mode, off64_t offset, off64_t size) {
  return injector().ask(Call::kSystemReserve) ? -1 : __real_fallocate64(descriptor, mode, offset, size);
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int descriptor, off64_t offset) {
  if (injector().ask(Call::kSystemMap)) return MAP_FAILED;
  return __real_mmap64(address, size, protection, flags, descriptor, offset);
}

int __wrap_fcntl64(int descriptor, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  // Nobody can do anything about an unlock that fails, and it does not.
  bool locks = command == F_DUPFD_CLOEXEC || static_cast<struct flock *>(argument)->l_type != F_UNLCK;
  return locks && injector().ask(Call::kSystemLock) ? -1 : __real_fcntl64(descriptor, command, argument);
}

int __wrap_rename(const char *from, const char *to) {
  return injector().ask(Call::kSystemRename) ? -1 : __real_rename(from, to);
}

}  // extern "C"
