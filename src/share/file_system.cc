#include "share/file_system.h"

#include <sys/param.h>
#ifdef __linux__
#include <sys/vfs.h>
#else
#include <sys/mount.h>
#endif

namespace dbc {

const char *network_file_system(const std::string &directory) {
  struct statfs status;
  if (statfs(directory.c_str(), &status) != 0) return nullptr;
#ifdef __linux__
  // statfs(2). FUSE and 9P may well be local, and are then slower than they need be.
  switch (static_cast<unsigned>(status.f_type)) {
    case 0x6969:
      return "NFS";
    case 0x517b:
    case 0xfe534d42:
    case 0xff534d42:
      return "SMB";
    case 0x65735546:
      return "FUSE";
    case 0x01021997:
      return "9P";
    case 0x00c36400:
      return "Ceph";
    case 0x5346414f:
    case 0x6b414653:
      return "AFS";
    case 0x0bd00bd0:
      return "Lustre";
    case 0x47504653:
      return "GPFS";
    case 0x19830326:
      return "BeeGFS";
    case 0x786f4256:
      return "VirtualBox shared folder";
    default:
      return nullptr;
  }
#else
  return (status.f_flags & MNT_LOCAL) ? nullptr : "network file system";
#endif
}

}  // namespace dbc
