#include "injector.h"

#include <sqlite3.h>

#include <cerrno>

namespace dbc::faults {

constinit thread_local int Spared::depth_ = 0;

const std::vector<Fault> &io_faults() {
  static const std::vector<Fault> faults = {
      {"open: EACCES", Call::kOpen, SQLITE_CANTOPEN, EACCES},
      {"open: EMFILE", Call::kOpen, SQLITE_CANTOPEN, EMFILE},
      {"read: EIO", Call::kRead, SQLITE_IOERR_READ, EIO},
      {"short read", Call::kRead, SQLITE_IOERR_SHORT_READ, 0, Extent::kHalf, true},
      {"write: EIO", Call::kWrite, SQLITE_IOERR_WRITE, EIO},
      {"write: EIO after half", Call::kWrite, SQLITE_IOERR_WRITE, EIO, Extent::kHalf},
      {"write: ENOSPC after half", Call::kWrite, SQLITE_FULL, ENOSPC, Extent::kHalf},
      {"write: EDQUOT", Call::kWrite, SQLITE_IOERR_WRITE, EDQUOT},
      {"sync: EIO", Call::kSync, SQLITE_IOERR_FSYNC, EIO},
      {"sync: ENOSPC", Call::kSync, SQLITE_IOERR_FSYNC, ENOSPC},
      {"truncate: EIO", Call::kTruncate, SQLITE_IOERR_TRUNCATE, EIO},
      {"lock: ENOLCK", Call::kLock, SQLITE_IOERR_LOCK, ENOLCK},
      {"lock: busy", Call::kLock, SQLITE_BUSY, EAGAIN},
      {"map shared memory: EACCES", Call::kMapShared, SQLITE_CANTOPEN, EACCES},
      {"map shared memory: ENOSPC", Call::kMapShared, SQLITE_IOERR_SHMSIZE, ENOSPC},
      {"map shared memory: ENOMEM", Call::kMapShared, SQLITE_IOERR_SHMMAP, ENOMEM},
      {"lock shared memory: EIO", Call::kLockShared, SQLITE_IOERR_SHMLOCK, EIO},
      {"lock shared memory: busy", Call::kLockShared, SQLITE_BUSY, EAGAIN},
      {"delete: EACCES", Call::kDelete, SQLITE_IOERR_DELETE, EACCES},
      {"file size: EIO", Call::kFileSize, SQLITE_IOERR_FSTAT, EIO},
      {"access: EACCES", Call::kAccess, SQLITE_IOERR_ACCESS, EACCES},
      {"full path: EACCES", Call::kFullPath, SQLITE_CANTOPEN_FULLPATH, EACCES},
      {"core open: EACCES", Call::kSystemOpen, 0, EACCES},
      {"core open: EMFILE", Call::kSystemOpen, 0, EMFILE},
      {"core open: ENOSPC", Call::kSystemOpen, 0, ENOSPC},
      {"core stat: EIO", Call::kSystemStat, 0, EIO},
      {"core stat: EACCES", Call::kSystemStat, 0, EACCES},
      {"core fallocate: ENOSPC", Call::kSystemReserve, 0, ENOSPC},
      {"core fallocate: EIO", Call::kSystemReserve, 0, EIO},
      {"core fallocate: EOPNOTSUPP", Call::kSystemReserve, 0, EOPNOTSUPP},
      {"core mmap: ENOMEM", Call::kSystemMap, 0, ENOMEM},
      {"core fcntl: ENOLCK", Call::kSystemLock, 0, ENOLCK},
      {"core rename: EACCES", Call::kSystemRename, 0, EACCES},
  };
  return faults;
}

void Injector::arm(const Fault &fault, uint64_t k, bool lasting) {
  armed_.store(false);
  for (auto &count : counts_) count.store(0);
  fault_ = fault;
  first_.store(k);
  lasting_.store(lasting);
  fired_.store(false);
  armed_.store(true);
}

const Fault *Injector::ask(Call call) noexcept {
  if (Spared::here() || !armed_.load()) return nullptr;
  uint64_t number = counts_[static_cast<size_t>(call)].fetch_add(1) + 1;
  uint64_t first = first_.load();
  if (call != fault_.call || number < first || (number > first && !lasting_.load())) return nullptr;
  fired_.store(true);
  errno = fault_.error;
  return &fault_;
}

Injector &injector() {
  static constinit Injector instance;  // asked before anything can be constructed
  return instance;
}

}  // namespace dbc::faults
