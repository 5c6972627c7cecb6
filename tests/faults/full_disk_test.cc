// A disk that is really full, files that may not grow, and a process without descriptors left: errors are clear, what
// was there stays, and the handle works again when there is room.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "../model/random_run.h"
#include "injector.h"
#include "support.h"

namespace dbc::faults {
namespace {

using model::Mismatch;

// In a process of its own, whose limits and mounts are its own. The exit code 77: this machine does not allow the
// setting.
void in_child(const std::function<void()> &body) {
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    try {
      body();
      _exit(0);
    } catch (const std::exception &error) {
      std::fprintf(stderr, "%s\n", error.what());
      _exit(1);
    }
  }
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status)) << "it died of signal " << WTERMSIG(status);
  ASSERT_EQ(WEXITSTATUS(status), 0);
}

void require(bool condition, const std::string &what) {
  if (!condition) throw Mismatch(what + ": " + dbc_last_error());
}

dbc_cache *open_cache(const std::string &path) {
  dbc_cache *cache = nullptr;
  require(dbc_open(path.c_str(), "1", nullptr, &cache) == DBC_OK, "open");
  return cache;
}

const std::string kValue(30'000, 'v');

dbc_status put(dbc_cache *cache, int number) {
  std::string key = "key" + std::to_string(number);
  return dbc_put(cache, key.data(), key.size(), kValue.data(), kValue.size(), 0, nullptr, nullptr);
}

void expect_there(dbc_cache *cache, int puts) {
  for (int i = 0; i < puts; ++i) {
    std::string key = "key" + std::to_string(i);
    dbc_value *value = nullptr;
    require(dbc_get(cache, key.data(), key.size(), nullptr, &value) == DBC_OK, "get " + key);
    require(dbc_value_size(value) == kValue.size(), "the size of " + key);
    dbc_value_release(value);
  }
  uint64_t items = 0;
  require(dbc_count(cache, &items) == DBC_OK && items == static_cast<uint64_t>(puts), "count");
}

// Puts until that is refused; how many there are then.
int fill(dbc_cache *cache) {
  int puts = 0;
  dbc_status status;
  while ((status = put(cache, puts)) == DBC_OK && puts < 10'000) ++puts;
  require(status == DBC_FULL, std::string("a put without room gives DBC_FULL, not ") + dbc_status_name(status));
  require(std::string(dbc_last_error()).find("cache.db") != std::string::npos, "the message names the file");
  return puts;
}

void on_small_disk(const std::function<void(const std::string &mounted)> &body, const char *size = "size=8m") {
  if (geteuid() != 0) {
    ASSERT_EQ(std::getenv("CI"), nullptr) << "here it must be possible to mount a small file system";
    GTEST_SKIP() << "mounting a small file system needs root";
  }
  Folder folder;
  const std::string mounted = folder.path();
  ASSERT_EQ(mount("tmpfs", mounted.c_str(), "tmpfs", 0, size), 0);
  in_child([&] { body(mounted); });
  EXPECT_EQ(umount(mounted.c_str()), 0);
}

void make_ballast(const std::string &path, off_t size) {
  int descriptor = open(path.c_str(), O_CREAT | O_RDWR, 0600);
  require(posix_fallocate(descriptor, 0, size) == 0, "ballast");
  close(descriptor);
}

TEST(FullDisk, PutsAreRefusedAndWorkAgainWithRoom) {
  on_small_disk([](const std::string &mounted) {
    std::string ballast = mounted + "/ballast";
    make_ballast(ballast, 2 << 20);
    dbc_cache *cache = open_cache(mounted + "/cache.db");
    int puts = fill(cache);
    require(puts > 50, "there was room for more");
    require(put(cache, puts) == DBC_FULL, "and again");
    expect_there(cache, puts);
    // Others too: what needs room is refused, what does not is done.
    dbc_cache *other = open_cache(mounted + "/cache.db");
    expect_there(other, puts);
    dbc_free(other);
    unlink(ballast.c_str());
    require(put(cache, puts) == DBC_OK, "a put with room");
    expect_there(cache, puts + 1);
    require(dbc_clear(cache) == DBC_OK, "clear");
    require(put(cache, 0) == DBC_OK, "a put after clear");
    expect_there(cache, 1);
    dbc_free(cache);
    expect_there(cache = open_cache(mounted + "/cache.db"), 1);
    dbc_free(cache);
  });
}

// A WAL that has grown because somebody read an earlier state can fill the disk. When the reader is gone its pages go
// into the file, which is as large as it will be, and there is room again.
TEST(FullDisk, AWalThatFillsTheDiskIsFoldedWhenItsReaderIsGone) {
  on_small_disk(
      [](const std::string &mounted) {
        const std::string path = mounted + "/cache.db";
        dbc_cache *cache = open_cache(path);
        for (int i = 0; i < 200; ++i) require(put(cache, i) == DBC_OK, "fill");
        require(dbc_flush(cache) == DBC_OK, "flush");
        dbc_free(cache);
        cache = open_cache(path);
        sqlite3 *reader = nullptr;
        require(sqlite3_open(path.c_str(), &reader) == SQLITE_OK, "a reader");
        require(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM item", nullptr, nullptr, nullptr) == SQLITE_OK,
                "it reads");
        dbc_status status = DBC_OK;
        for (int i = 0; i < 10'000 && status == DBC_OK; ++i) status = put(cache, i % 200);
        require(status == DBC_FULL, "the WAL fills the disk");
        sqlite3_exec(reader, "COMMIT", nullptr, nullptr, nullptr);
        sqlite3_close(reader);
        for (int i = 0; i < 200 && status == DBC_FULL; ++i) {
          usleep(50'000);
          status = put(cache, 0);
        }
        require(status == DBC_OK, "a put when the reader is gone");
        dbc_free(cache);
      },
      "size=40m");
}

// A store to a hole of a map that the disk has no room for would end the process, so the shared file has none, also
// where the file system cannot reserve blocks.
TEST(FullDisk, TheSharedFileHasNoHolesWhereNothingCanBeReserved) {
  on_small_disk([](const std::string &mounted) {
    make_ballast(mounted + "/ballast", (8 << 20) - (512 << 10));
    injector().arm({"core fallocate: EOPNOTSUPP", Call::kSystemReserve, 0, EOPNOTSUPP}, 1, true);
    dbc_cache *cache = nullptr;
    require(dbc_open((mounted + "/cache.db").c_str(), "1", nullptr, &cache) == DBC_FULL, "an open without room");
    require(injector().fired(), "it was to reserve something");
    unlink((mounted + "/ballast").c_str());
    dbc_free(cache = open_cache(mounted + "/cache.db"));
  });
}

// What docs/reliability.md says of a disk without any room, and of how little is enough.
TEST(FullDisk, ARemovalNeedsALittleRoom) {
  on_small_disk([](const std::string &mounted) {
    std::string ballast = mounted + "/ballast", more = mounted + "/more";
    make_ballast(ballast, 64 << 10);
    make_ballast(more, 128 << 10);
    dbc_cache *cache = open_cache(mounted + "/cache.db");
    int puts = fill(cache);
    int rest = open((mounted + "/rest").c_str(), O_CREAT | O_RDWR, 0600);
    while (write(rest, kValue.data(), 512) > 0) {
    }
    close(rest);
    auto remove_last = [&] {
      std::string last = "key" + std::to_string(puts - 1);
      dbc_status status = dbc_delete(cache, last.data(), last.size());
      if (status == DBC_OK) --puts;
      return status;
    };
    // What the put that failed has left of the WAL may be enough for some.
    while (remove_last() == DBC_OK) require(puts > 50, "deletes without any room go on and on");
    require(remove_last() == DBC_FULL, "a delete without any room");
    require(dbc_clear(cache) == DBC_FULL, "a clear without any room");
    expect_there(cache, puts);
    unlink(ballast.c_str());
    require(remove_last() == DBC_OK, "a delete with 64 KiB");
    expect_there(cache, puts);
    unlink(more.c_str());
    require(dbc_clear(cache) == DBC_OK, "a clear with 128 KiB");
    expect_there(cache, 0);
    dbc_free(cache);
  });
}

// The limit of a process on the size of its files: SIGXFSZ is the application's to ignore, as with every library that
// writes.
TEST(FullDisk, AFileSizeLimitIsAFullDisk) {
  Folder folder;
  in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    dbc_cache *cache = open_cache(folder.path() + "/cache.db");
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 2 << 20;
    require(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    int puts = 0;
    dbc_status status;
    while ((status = put(cache, puts)) == DBC_OK && puts < 10'000) ++puts;
    bool refused = status == DBC_FULL || status == DBC_IO;
    require(puts > 20 && refused, std::string("a put gives ") + dbc_status_name(status));
    expect_there(cache, puts);
    limit.rlim_cur = before;
    require(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
    require(put(cache, puts) == DBC_OK, "a put with room");
    expect_there(cache, puts + 1);
    dbc_free(cache);
  });
}

// The sanitizer for undefined behaviour, which comes with that for addresses, needs descriptors to look at an error.
#ifndef __SANITIZE_ADDRESS__
TEST(FullDisk, WithoutDescriptorsAnOpenIsRefused) {
  Folder folder;
  in_child([&] {
    dbc_cache *cache = open_cache(folder.path() + "/cache.db"), *other = nullptr;
    require(put(cache, 0) == DBC_OK, "put");
    rlimit limit{}, before{};
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    // One descriptor more each time, until an open succeeds.
    int next = dup(0), refused = 0;
    close(next);
    for (int more = 0;; ++more) {
      limit.rlim_cur = static_cast<rlim_t>(next + more);
      setrlimit(RLIMIT_NOFILE, &limit);
      dbc_status status = dbc_open((folder.path() + "/cache.db").c_str(), "1", nullptr, &other);
      require(put(cache, 0) == DBC_OK, "a put through the handle that is open");
      if (status == DBC_OK) break;
      require(status == DBC_IO && !other && more < 100, std::string("an open gives ") + dbc_status_name(status));
      ++refused;
    }
    require(refused > 0, "some opens were refused");
    setrlimit(RLIMIT_NOFILE, &before);
    expect_there(other, 1);
    dbc_free(other);
    dbc_free(cache);
  });
}
#endif

}  // namespace
}  // namespace dbc::faults
