#include "power.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace dbc::faults {
namespace {

constexpr int64_t kSector = 512;

sqlite3_vfs *real_vfs = nullptr;

struct File {
  sqlite3_file base;
  sqlite3_file *real;  // in the memory behind this one
  const char *name;    // null: a temporary file
};

File *self_of(sqlite3_file *file) { return reinterpret_cast<File *>(file); }
sqlite3_file *real_of(sqlite3_file *file) { return self_of(file)->real; }
const sqlite3_io_methods *methods_of(sqlite3_file *file) { return real_of(file)->pMethods; }

sqlite3_io_methods make_methods() {
  sqlite3_io_methods methods{};
  methods.iVersion = 2;
  methods.xClose = [](sqlite3_file *file) { return methods_of(file)->xClose(real_of(file)); };
  methods.xRead = [](sqlite3_file *file, void *data, int size, sqlite3_int64 at) {
    return methods_of(file)->xRead(real_of(file), data, size, at);
  };
  methods.xWrite = [](sqlite3_file *file, const void *data, int size, sqlite3_int64 at) {
    if (self_of(file)->name) power_disk().wrote(self_of(file)->name, data, static_cast<size_t>(size), at);
    return methods_of(file)->xWrite(real_of(file), data, size, at);
  };
  methods.xTruncate = [](sqlite3_file *file, sqlite3_int64 size) {
    if (self_of(file)->name) power_disk().truncated(self_of(file)->name, size);
    return methods_of(file)->xTruncate(real_of(file), size);
  };
  methods.xSync = [](sqlite3_file *file, int) {
    if (self_of(file)->name) power_disk().synced(self_of(file)->name);
    return SQLITE_OK;
  };
  methods.xFileSize = [](sqlite3_file *file, sqlite3_int64 *size) {
    return methods_of(file)->xFileSize(real_of(file), size);
  };
  methods.xLock = [](sqlite3_file *file, int level) { return methods_of(file)->xLock(real_of(file), level); };
  methods.xUnlock = [](sqlite3_file *file, int level) { return methods_of(file)->xUnlock(real_of(file), level); };
  methods.xCheckReservedLock = [](sqlite3_file *file, int *reserved) {
    return methods_of(file)->xCheckReservedLock(real_of(file), reserved);
  };
  methods.xFileControl = [](sqlite3_file *file, int operation, void *argument) {
    return methods_of(file)->xFileControl(real_of(file), operation, argument);
  };
  methods.xSectorSize = [](sqlite3_file *file) { return methods_of(file)->xSectorSize(real_of(file)); };
  methods.xDeviceCharacteristics = [](sqlite3_file *file) {
    return methods_of(file)->xDeviceCharacteristics(real_of(file));
  };
  methods.xShmMap = [](sqlite3_file *file, int region, int size, int extend, void volatile **map) {
    return methods_of(file)->xShmMap(real_of(file), region, size, extend, map);
  };
  methods.xShmLock = [](sqlite3_file *file, int offset, int count, int flags) {
    return methods_of(file)->xShmLock(real_of(file), offset, count, flags);
  };
  methods.xShmBarrier = [](sqlite3_file *file) { methods_of(file)->xShmBarrier(real_of(file)); };
  methods.xShmUnmap = [](sqlite3_file *file, int remove) { return methods_of(file)->xShmUnmap(real_of(file), remove); };
  return methods;
}

int open_file(sqlite3_vfs *, const char *name, sqlite3_file *file, int flags, int *out_flags) {
  static const sqlite3_io_methods methods = make_methods();
  File *self = self_of(file);
  self->base.pMethods = nullptr;
  self->real = reinterpret_cast<sqlite3_file *>(self + 1);
  self->real->pMethods = nullptr;
  self->name = name;
  int result = real_vfs->xOpen(real_vfs, name, self->real, flags, out_flags);
  if (self->real->pMethods) self->base.pMethods = &methods;
  // As SQLite's own VFS does: the first sync of a new journal or WAL syncs the folder too.
  bool journal = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0 && (flags & SQLITE_OPEN_CREATE) != 0;
  if (result == SQLITE_OK && name) power_disk().opened(name, journal);
  return result;
}

int delete_file(sqlite3_vfs *, const char *name, int sync_folder) {
  int there = 0;
  real_vfs->xAccess(real_vfs, name, SQLITE_ACCESS_EXISTS, &there);
  if (there) power_disk().removed(name, sync_folder != 0);
  return real_vfs->xDelete(real_vfs, name, 0);
}

void write_file(const std::string &path, const PowerDisk::Bytes &bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

PowerDisk &power_disk() {
  static PowerDisk disk;
  return disk;
}

void install_power_vfs() {
  if (real_vfs) return;
  real_vfs = sqlite3_vfs_find(nullptr);
  static sqlite3_vfs vfs = *real_vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(File)) + real_vfs->szOsFile;
  vfs.pNext = nullptr;
  vfs.zName = "power";
  vfs.xOpen = open_file;
  vfs.xDelete = delete_file;
  sqlite3_vfs_register(&vfs, 1);
}

void PowerDisk::reset(std::function<void(uint64_t)> before_change) {
  std::lock_guard lock(mutex_);
  files_.clear();
  changes_ = 0;
  before_change_ = std::move(before_change);
}

// Before the mutex is taken: it may cut.
void PowerDisk::changing() {
  uint64_t number;
  std::function<void(uint64_t)> tell;
  {
    std::lock_guard lock(mutex_);
    number = changes_++;
    tell = before_change_;
  }
  if (tell) tell(number);
}

void PowerDisk::wrote(const std::string &path, const void *data, size_t size, int64_t at) {
  {
    std::lock_guard lock(mutex_);
    const char *bytes = static_cast<const char *>(data);
    files_[path].changes.push_back({at, Bytes(bytes, bytes + size)});
  }
  changing();  // now: a part of the write may be what is left
}

void PowerDisk::truncated(const std::string &path, int64_t size) {
  {
    std::lock_guard lock(mutex_);
    files_[path].changes.push_back({size, std::nullopt});
  }
  changing();
}

void PowerDisk::synced(const std::string &path) {
  changing();
  std::lock_guard lock(mutex_);
  File &file = files_[path];
  for (const Change &change : file.changes) apply(&file.durable, change);
  file.changes.clear();
  file.lasting = true;
  file.removed.reset();
  if (std::exchange(file.syncs_folder, false)) sync_folder();
}

// All files are in one.
void PowerDisk::sync_folder() {
  for (auto &[path, file] : files_) {
    file.lasting = file.exists;
    file.removed.reset();
  }
}

void PowerDisk::opened(const std::string &path, bool syncs_folder) {
  std::lock_guard lock(mutex_);
  File &file = files_[path];
  file.exists = true;
  file.syncs_folder = syncs_folder;
}

void PowerDisk::removed(const std::string &path, bool for_good) {
  changing();
  std::lock_guard lock(mutex_);
  File &file = files_[path];
  std::optional<Bytes> before;
  if (!for_good && file.exists) {
    before = file.durable;
    for (const Change &change : file.changes) apply(&*before, change);
  }
  file = File();
  file.exists = false;
  file.removed = std::move(before);
  if (for_good) sync_folder();
}

void PowerDisk::apply(Bytes *bytes, const Change &change) {
  size_t at = static_cast<size_t>(change.at);
  if (!change.data) {
    bytes->resize(std::min(bytes->size(), at));
    return;
  }
  if (bytes->size() < at + change.data->size()) bytes->resize(at + change.data->size());
  std::copy(change.data->begin(), change.data->end(), bytes->begin() + change.at);
}

void PowerDisk::apply_torn(Bytes *bytes, const Change &change, std::mt19937_64 &random) {
  if (!change.data) return apply(bytes, change);
  int64_t end = change.at + static_cast<int64_t>(change.data->size());
  for (int64_t at = change.at; at < end;) {
    int64_t next = std::min(end, (at / kSector + 1) * kSector);
    auto from = change.data->begin() + (at - change.at);
    if (random() % 2 == 0) apply(bytes, {at, Bytes(from, from + (next - at))});
    at = next;
  }
}

void PowerDisk::cut(const std::string &folder, uint64_t seed) {
  std::mt19937_64 random(seed);
  auto chance = [&](uint64_t percent) { return random() % 100 < percent; };
  const uint64_t kept = std::array<uint64_t, 6>{0, 10, 50, 90, 100, 100}[random() % 6];
  const uint64_t torn = chance(50) ? 0 : 30;
  std::lock_guard lock(mutex_);
  std::filesystem::create_directories(folder);
  for (const auto &[path, file] : files_) {
    std::string target = folder + "/" + std::filesystem::path(path).filename().string();
    Bytes bytes = file.durable;
    bool there = file.exists;
    if (!file.lasting && (!file.exists || chance(30))) {
      // The name stands for what it stood for before, or for nothing.
      there = file.removed.has_value() && chance(50);
      if (there) write_file(target, *file.removed);
      continue;
    }
    for (const Change &change : file.changes) {
      if (!chance(kept)) continue;
      if (chance(torn)) {
        apply_torn(&bytes, change, random);
      } else {
        apply(&bytes, change);
      }
    }
    if (there) write_file(target, bytes);
  }
  // Beside it, what processes share.
  for (const auto &[path, file] : files_) {
    std::string shared = path + "-dbc";
    if (!std::filesystem::exists(shared) || chance(30)) continue;
    std::ifstream source(shared, std::ios::binary);
    Bytes bytes((std::istreambuf_iterator<char>(source)), std::istreambuf_iterator<char>());
    if (chance(50)) {
      for (size_t at = 0; at < bytes.size(); at += 4096) {
        size_t size = std::min<size_t>(4096, bytes.size() - at);
        if (chance(50)) std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size, '\0');
      }
    }
    write_file(folder + "/" + std::filesystem::path(shared).filename().string(), bytes);
  }
}

}  // namespace dbc::faults
