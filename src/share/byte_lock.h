// Locks on single bytes of the shared file, each with one meaning. They belong to the open file description: the kernel
// gives them up when its last descriptor is closed (so when the process dies), and requests on one description never
// conflict.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace dbc {

enum class LockByte : off_t {
  kWriter = 0,  // held by the one writer
  kLayout = 1,  // held while the file is laid out
  kInUse = 2,   // shared by all who have the file open; held alone by who lays out a file of another layout
};

// Both return 0 or an errno; without `wait`, a lock that somebody else holds gives EAGAIN.
inline int change_byte_lock(int descriptor, LockByte byte, short type, bool wait) {
  struct flock request {};
  request.l_type = type;
  request.l_whence = SEEK_SET;
  request.l_start = static_cast<off_t>(byte);
  request.l_len = 1;
  while (fcntl(descriptor, wait ? F_OFD_SETLKW : F_OFD_SETLK, &request) != 0) {
    if (errno != EINTR) return errno == EACCES ? EAGAIN : errno;
  }
  return 0;
}

inline int lock_byte(int descriptor, LockByte byte, bool wait) {
  return change_byte_lock(descriptor, byte, F_WRLCK, wait);
}
inline int share_byte(int descriptor, LockByte byte) { return change_byte_lock(descriptor, byte, F_RDLCK, true); }
inline int unlock_byte(int descriptor, LockByte byte) { return change_byte_lock(descriptor, byte, F_UNLCK, false); }

}  // namespace dbc
