// SharedFile: the small file beside a database, `<path>-dbc`, through which the processes that use it see each other: a
// memory map with the generation words, and the descriptor that the writer lock is taken on.
//
// The file holds no data that a cache needs: losing it while nobody uses the cache is harmless. Cutting it short while
// it is mapped is not (SIGBUS), as with any map; nothing here ever makes the file shorter.
//
// In a forked child the descriptor is closed (see base/fork.h); the map stays, and the object is not to be used or
// destroyed.
// Thread safety: after construction, all functions from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "share/shared_totals.h"
#include "share/writer_lock.h"

namespace dbc {

// Here no such file can be had, whatever is tried: no permission, a file system that cannot map, lock or share between
// machines. (Not for what may pass: no space, no memory; nor for what somebody put in its place.)
class NoSharedFile : public Error {
 public:
  explicit NoSharedFile(const std::string &message) : Error(Status::kIo, message) {}
};

class SharedFile {
 public:
  // Opens or creates the file (never through a symbolic link), with the permission bits `mode` less the umask, brings
  // it to its size with its blocks reserved, and maps it. Throws Error(kIo / kFull) naming the path, or NoSharedFile. A
  // file that is too short or with damaged header is laid out anew (under a lock of its own, so that two openers do not
  // do it at once), with words that differ from all earlier ones where those could be read. That is safe while others
  // use the file, one between begin() and end() of its generations included: words keep being odd or even. A file of
  // another layout is laid out anew only when nobody uses it; else Error(kVersion).
  SharedFile(const std::string &path, unsigned mode);
  ~SharedFile();
  SharedFile(const SharedFile &) = delete;
  SharedFile &operator=(const SharedFile &) = delete;

  // Closes the descriptor, and lets go of the locks on it. The map stays.
  void let_go();

  int descriptor() const { return descriptor_; }
  const std::string &path() const { return path_; }
  std::atomic<uint64_t> *words() const;
  WriterQueue *queue() const;
  SharedTotals::Area *totals() const;
  // The last version that was given out, or any other number (see SqliteStore).
  std::atomic<uint64_t> *versions() const;

  // Which database the words speak of: a random number that the database stores too. 0: not said yet. If the two
  // differ, the file beside was left by another database: adopt() makes every word differ from all earlier ones, and
  // even, and then stores the number. Under the writer lock.
  uint64_t database_id() const;
  void adopt(uint64_t database_id);

  // Counts how often the database at this path was replaced by a fresh one (after corruption). Who sees another number
  // than at open has an old file open, and opens again.
  uint64_t incarnation() const;
  void next_incarnation();  // under the writer lock

  // The database_id of a database that somebody found damaged while it was in use, or another number: whoever opens it
  // next is to move it aside.
  uint64_t damaged_database() const;
  void set_damaged_database(uint64_t database_id);

 private:
  struct Layout;

  static constexpr void check_layout_version();
  void open_file(unsigned mode);
  uint64_t check_size() const;
  void reserve(uint64_t size) const;
  void map_file();
  void claim() const;
  void lay_out(bool is_new);
  [[noreturn]] void fail(const char *what, int error) const;
  void release();

  std::string path_;
  int descriptor_ = -1;
  Layout *map_ = nullptr;
};

}  // namespace dbc
