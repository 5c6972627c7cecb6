#include "share/shared_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <random>
#include <system_error>
#include <thread>

#include "base/fork.h"
#include "base/status.h"
#include "share/byte_lock.h"
#include "share/file_system.h"
#include "share/generations.h"

namespace dbc {
namespace {

// "dbcfile1" in little-endian order: another byte order is another layout.
constexpr uint64_t kMagic = 0x31656c6966636264;
constexpr uint64_t kLayoutVersion = 5;

// An even step that takes a word past every value anyone may remember: words grow by 2 a write, so one that was laid
// out anew never meets its past. Random, so that words that were lost and began at zero again differ from the last time
// too.
uint64_t large_even_step() {
  std::random_device random;
  return (uint64_t{1} << 40) + 2 * (uint64_t{random()} & 0xffffffff);
}

}  // namespace

struct SharedFile::Layout {
  // Constants. `magic` is stored last: a file that has it has everything.
  std::atomic<uint64_t> magic;
  std::atomic<uint64_t> layout_version;
  std::atomic<uint64_t> word_count;
  // Any value of these is safe, so damage to them needs no detection.
  std::atomic<uint64_t> database_id;
  std::atomic<uint64_t> incarnation;
  std::atomic<uint64_t> damaged_database;
  alignas(64) WriterQueue queue;  // stored to while others read the words above
  alignas(64) SharedTotals::Area totals;
  alignas(64) std::atomic<uint64_t> versions;
  alignas(4096) std::atomic<uint64_t> words[Generations::kMemory];  // see Generations

  bool is_ours() const { return magic.load(std::memory_order_acquire) == kMagic; }
  bool sound() const {
    return is_ours() && layout_version.load() == kLayoutVersion && word_count.load() == Generations::kWords;
  }
};

// Releases that share a file must agree on what lies where; that they agree on what it means is for shared_layout_test.
constexpr void SharedFile::check_layout_version() {
  using Area = SharedTotals::Area;
  using Bank = Area::Bank;
  static_assert(kLayoutVersion == 5 && sizeof(Layout) == 4096 + 131072 * 8 && offsetof(Layout, magic) == 0 &&
                    offsetof(Layout, layout_version) == 8 && offsetof(Layout, word_count) == 16 &&
                    offsetof(Layout, database_id) == 24 && offsetof(Layout, incarnation) == 32 &&
                    offsetof(Layout, damaged_database) == 40 && offsetof(Layout, queue) == 64 &&
                    offsetof(Layout, totals) == 128 && offsetof(Layout, versions) == 2816 &&
                    offsetof(Layout, words) == 4096,
                "the layout of the shared file has changed: raise kLayoutVersion, then write here what it is now");
  static_assert(kLayoutVersion == 5 && sizeof(WriterQueue) == 12 && offsetof(WriterQueue, arrived) == 0 &&
                    offsetof(WriterQueue, served) == 4 && offsetof(WriterQueue, event) == 8,
                "the queue in the shared file has changed: raise kLayoutVersion, then write here what it is now");
  static_assert(kLayoutVersion == 5 && sizeof(Area) == 2688 && offsetof(Area, boot) == 0 &&
                    offsetof(Area, state) == 8 && offsetof(Area, banks) == 16 && sizeof(Bank) == 1336 &&
                    offsetof(Bank, words) == 0 && offsetof(Bank, sequence) == 1320 && offsetof(Bank, checksum) == 1328,
                "the totals in the shared file have changed: raise kLayoutVersion, then write here what they are now");
  static_assert(kLayoutVersion == 5 && LockByte::kWriter == LockByte{0} && LockByte::kLayout == LockByte{1} &&
                    LockByte::kInUse == LockByte{2},
                "the locks on the shared file have changed: raise kLayoutVersion, then write here what they are now");
}

SharedFile::SharedFile(const std::string &path, unsigned mode) : path_(path) {
  static_assert(std::atomic<uint64_t>::is_always_lock_free, "processes share these");
  static_assert(sizeof(std::atomic<uint64_t>) == sizeof(uint64_t));
  check_layout_version();
  if (const char *name = network_file_system(std::filesystem::path(path).parent_path().string())) {
    throw NoSharedFile("'" + path + "' would be on a file system of the kind " + name +
                       ", which other machines may share");
  }
  try {
    open_file(mode);
    if (int error = share_byte(descriptor_, LockByte::kInUse)) fail("lock", error);
    // The usual file needs no lock: it has its size, which only grows, and its magic, which comes last.
    uint64_t size = check_size();
    if (size >= sizeof(Layout)) {
      reserve(size);
      map_file();
      if (map_->sound()) return;
    }
    unlock_byte(descriptor_, LockByte::kInUse);  // whoever is laying it out may need it alone
    if (int error = lock_byte(descriptor_, LockByte::kLayout, true)) fail("lock", error);
    size = check_size();
    reserve(size);
    if (!map_) map_file();
    if (map_->is_ours() && map_->layout_version.load() != kLayoutVersion) claim();
    if (!map_->sound()) lay_out(size == 0);
    if (int error = share_byte(descriptor_, LockByte::kInUse)) fail("lock", error);
    unlock_byte(descriptor_, LockByte::kLayout);
  } catch (...) {
    // Not left to close(): a child that another thread forks meanwhile shares the description, and would keep the lock.
    if (descriptor_ >= 0) unlock_byte(descriptor_, LockByte::kLayout);
    release();
    throw;
  }
}

SharedFile::~SharedFile() { release(); }

void SharedFile::release() {
  if (map_) munmap(map_, sizeof(Layout));
  let_go();
}

void SharedFile::let_go() {
  if (descriptor_ < 0) return;
  NoFork no_fork;
  forget_descriptor(descriptor_);
  close(descriptor_);
  descriptor_ = -1;
}

void SharedFile::open_file(unsigned mode) {
  {
    // A child's copy of the descriptor would keep the parent's lock alive when the parent dies.
    NoFork no_fork;
    descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, static_cast<mode_t>(mode));
    if (descriptor_ >= 0) {
      close_in_child(descriptor_);
      return;
    }
  }
  if (errno == ELOOP) throw Error(Status::kIo, "cannot open '" + path_ + "': it is a symbolic link; remove it");
  fail("open", errno);
}

uint64_t SharedFile::check_size() const {
  struct stat status;
  if (fstat(descriptor_, &status) != 0) fail("examine", errno);
  if (!S_ISREG(status.st_mode))
    throw Error(Status::kIo, "cannot use '" + path_ + "': it is not a regular file; remove it");
  return static_cast<uint64_t>(status.st_size);
}

// Gives the file its size and its blocks: a store to a map whose block the disk has no room for is a SIGBUS. Also for a
// file that has its size, as a copy of it may have holes. Not posix_fallocate(): where the file system cannot reserve,
// that writes to blocks, and so over what other processes store through their maps.
void SharedFile::reserve(uint64_t size) const {
#ifdef __linux__
  int result;
  do {
    result = fallocate(descriptor_, 0, 0, sizeof(Layout));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS) fail("reserve blocks for", errno);
#endif
  // Only ever longer: who finds the file too short holds the layout lock, and nobody has mapped what it lacks.
  // Written, so that it has blocks.
  static constexpr char kZeros[65536] = {};
  while (size < sizeof(Layout)) {
    ssize_t written =
        pwrite(descriptor_, kZeros, std::min(sizeof kZeros, sizeof(Layout) - size), static_cast<off_t>(size));
    if (written < 0 && errno != EINTR) fail("extend", errno);
    if (written > 0) size += static_cast<uint64_t>(written);
  }
}

void SharedFile::map_file() {
  // By an open file description of its own: a map keeps it alive, in forked children too, and the locks taken on it
  // with it.
  int descriptor = open(path_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) fail("open", errno);
  struct stat locked, mapped;
  void *map = MAP_FAILED;
  int error = ESTALE;  // somebody has put another file in its place
  if (fstat(descriptor_, &locked) == 0 && fstat(descriptor, &mapped) == 0 && locked.st_dev == mapped.st_dev &&
      locked.st_ino == mapped.st_ino) {
    map = mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    error = errno;
  }
  close(descriptor);
  if (map == MAP_FAILED) fail("map", error);
  map_ = static_cast<Layout *>(map);
}

// A file of another layout is another release's: laid out under the feet of a process that uses it, it would tell that
// process nothing any more of what changes. Those who have only just opened it let go in a moment.
void SharedFile::claim() const {
  for (int tries = 0; lock_byte(descriptor_, LockByte::kInUse, false) != 0; ++tries) {
    if (tries == 100) {
      throw Error(Status::kVersion, "cannot use '" + path_ +
                                        "': a process with another version of libdbc has it open (layout " +
                                        std::to_string(map_->layout_version.load()) + ", here it is " +
                                        std::to_string(kLayoutVersion) + "); let all use the same version");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Under the layout lock, not the writer lock: others may be between begin() and end() of their words, so words are
// moved on by atomic additions that leave odd words odd. An odd word that a dead writer left stays one.
void SharedFile::lay_out(bool is_new) {
  map_->magic.store(0);
  if (!is_new) {
    uint64_t step = large_even_step();
    for (std::atomic<uint64_t> &word : map_->words) word.fetch_add(step);
    map_->incarnation.fetch_add(step);
  }
  map_->database_id.store(0);
  SharedTotals(&map_->totals).forget();
  map_->layout_version.store(kLayoutVersion);
  map_->word_count.store(Generations::kWords);
  map_->magic.store(kMagic, std::memory_order_release);
}

void SharedFile::fail(const char *what, int error) const {
  std::string message = std::string("cannot ") + what + " '" + path_ + "': " + std::system_category().message(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      throw Error(Status::kFull, message);
    case EACCES:
    case EPERM:
    case EROFS:
    case ENODEV:  // the file system cannot map
    case ENOLCK:
    case ENOSYS:
    case EOPNOTSUPP:
      throw NoSharedFile(message);
    default:
      throw Error(Status::kIo, message);
  }
}

std::atomic<uint64_t> *SharedFile::words() const { return map_->words; }
WriterQueue *SharedFile::queue() const { return &map_->queue; }
SharedTotals::Area *SharedFile::totals() const { return &map_->totals; }
std::atomic<uint64_t> *SharedFile::versions() const { return &map_->versions; }

uint64_t SharedFile::database_id() const { return map_->database_id.load(); }

void SharedFile::adopt(uint64_t database_id) {
  uint64_t step = large_even_step();
  // No writer is at work: an odd word was left by a dead one. The addition is atomic for the sake of lay_out().
  for (std::atomic<uint64_t> &word : map_->words) word.fetch_add(step + (word.load() & 1));
  SharedTotals(&map_->totals).forget();
  // Who has the file open that was here before is to open the one that is.
  map_->incarnation.fetch_add(1);
  map_->database_id.store(database_id);  // last: who dies before leaves it to be done again
}

uint64_t SharedFile::incarnation() const { return map_->incarnation.load(); }
void SharedFile::next_incarnation() { map_->incarnation.fetch_add(1); }

uint64_t SharedFile::damaged_database() const { return map_->damaged_database.load(); }
void SharedFile::set_damaged_database(uint64_t database_id) { map_->damaged_database.store(database_id); }

}  // namespace dbc
