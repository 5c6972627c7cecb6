#include "share/shared_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "processes.h"
#include "share/generations.h"
#include "share/writer_lock.h"

namespace dbc {
namespace {

using testing::Child;
using testing::SharedObject;
using testing::TemporaryDirectory;
using testing::wait_for;

constexpr size_t kWordsOffset = 4096;
constexpr size_t kSize = kWordsOffset + Generations::kMemory * 8;

std::vector<uint64_t> copy_of_words(const SharedFile &file) {
  return std::vector<uint64_t>(file.words(), file.words() + Generations::kWords);
}

// The error that opening gives; kOk if it succeeds.
Status open_status(const std::string &path, std::string *message) {
  try {
    SharedFile file(path, 0600);
    return Status::kOk;
  } catch (const Error &error) {
    *message = error.what();
    return error.status();
  }
}

class SharedFileTest : public ::testing::Test {
 protected:
  void expect_refused(const std::string &path, const std::string &reason) {
    std::string message;
    EXPECT_EQ(open_status(path, &message), Status::kIo);
    EXPECT_NE(message.find(path), std::string::npos) << message;
    EXPECT_NE(message.find(reason), std::string::npos) << message;
  }

  void write_at(off_t offset, uint64_t value) {
    int descriptor = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(pwrite(descriptor, &value, sizeof value, offset), ssize_t{sizeof value});
    close(descriptor);
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_ / "cache.db-dbc";
};

TEST_F(SharedFileTest, ANewFileIsAllZero) {
  SharedFile file(path_, 0600);
  EXPECT_EQ(file.path(), path_);
  EXPECT_EQ(file.database_id(), 0u);
  EXPECT_EQ(file.incarnation(), 0u);
  EXPECT_EQ(file.queue()->arrived, 0u);
  EXPECT_EQ(copy_of_words(file), std::vector<uint64_t>(Generations::kWords));
  EXPECT_EQ(std::filesystem::file_size(path_), kSize);
}

TEST_F(SharedFileTest, TheModeIsAppliedUnderTheUmask) {
  mode_t before = umask(027);
  { SharedFile file(path_, 0666); }
  umask(before);
  struct stat status;
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(SharedFileTest, TheDescriptorIsClosedOnExec) {
  SharedFile file(path_, 0600);
  EXPECT_EQ(fcntl(file.descriptor(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(SharedFileTest, WhatOneStoresAllSee) {
  SharedFile a(path_, 0600), b(path_, 0600);
  a.words()[0] = 4;
  a.words()[Generations::kWords - 1] = 6;
  a.adopt(77);
  EXPECT_EQ(b.incarnation(), 1u) << "who has another database open is to know";
  a.next_incarnation();
  EXPECT_EQ(copy_of_words(a), copy_of_words(b));
  EXPECT_EQ(b.database_id(), 77u);
  EXPECT_EQ(b.incarnation(), 2u);
  Child child([&] {
    SharedFile file(path_, 0600);
    if (file.database_id() != 77 || copy_of_words(file) != copy_of_words(a)) return 1;
    file.words()[5] = 1234;
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(a.words()[5], 1234u);
}

TEST_F(SharedFileTest, TheContentsOutliveTheirUsers) {
  std::vector<uint64_t> words;
  {
    SharedFile file(path_, 0600);
    file.adopt(77);
    file.next_incarnation();
    file.words()[9] += 2;
    words = copy_of_words(file);
  }
  SharedFile file(path_, 0600);
  EXPECT_EQ(file.database_id(), 77u);
  EXPECT_EQ(file.incarnation(), 2u);
  EXPECT_EQ(copy_of_words(file), words);
}

TEST_F(SharedFileTest, AdoptChangesEveryWordAndMakesItEven) {
  SharedFile file(path_, 0600);
  Generations generations(file.words());
  for (int i = 0; i < 100; ++i) {
    generations.begin(1);
    generations.end(1);
  }
  generations.begin(2);  // left odd
  for (uint64_t id : {77u, 78u}) {
    std::vector<uint64_t> before = copy_of_words(file);
    file.adopt(id);
    EXPECT_EQ(file.database_id(), id);
    for (size_t i = 0; i < Generations::kWords; ++i) {
      ASSERT_GT(file.words()[i], before[i] + 1'000'000) << i;  // far beyond what a reader may have seen
      ASSERT_TRUE(Generations::stable(file.words()[i])) << i;
    }
  }
}

TEST_F(SharedFileTest, ADamagedHeaderIsLaidOutAnewWithOtherWords) {
  for (off_t offset : {0, 8, 16}) {  // magic, layout version, number of words
    std::vector<uint64_t> before;
    uint64_t incarnation;
    {
      SharedFile file(path_, 0600);
      file.adopt(77);
      file.words()[3] += 1;
      before = copy_of_words(file);
      incarnation = file.incarnation();
    }
    write_at(offset, 0xbadbadbadbad);
    SharedFile file(path_, 0600);
    EXPECT_EQ(file.database_id(), 0u);
    EXPECT_NE(file.incarnation(), incarnation);
    for (size_t i = 0; i < Generations::kWords; ++i) {
      ASSERT_GT(file.words()[i], before[i] + 1'000'000) << i;
      ASSERT_EQ(file.words()[i] & 1, before[i] & 1) << "a writer may be at work: " << i;
    }
    std::vector<uint64_t> after = copy_of_words(file);
    SharedFile again(path_, 0600);
    EXPECT_EQ(copy_of_words(again), after);
  }
}

// Another release of the library may lay the file out in another way, and cannot share this one.
TEST_F(SharedFileTest, AnotherLayoutIsRefusedWhileInUseAndLaidOutAnewLater) {
  auto other = std::make_unique<SharedFile>(path_, 0600);
  write_at(8, 1000);  // as if that were the layout of whoever has it open
  std::vector<uint64_t> before = copy_of_words(*other);
  std::string message;
  EXPECT_EQ(open_status(path_, &message), Status::kVersion);
  EXPECT_NE(message.find("layout 1000"), std::string::npos) << message;
  EXPECT_EQ(copy_of_words(*other), before);
  other.reset();
  EXPECT_EQ(open_status(path_, &message), Status::kOk);
  SharedFile mine(path_, 0600);
  EXPECT_NE(copy_of_words(mine), before);
}

TEST_F(SharedFileTest, LayingOutAnewIsSafeDuringAWrite) {
  SharedFile writer(path_, 0600);
  Generations generations(writer.words());
  for (off_t offset : {0, 16}) {  // magic, number of words
    uint64_t remembered = generations.word(7);
    generations.begin(7);
    write_at(offset, 0);
    SharedFile opener(path_, 0600);
    Generations seen(opener.words());
    EXPECT_FALSE(Generations::stable(seen.word(7)));
    generations.end(7);
    EXPECT_TRUE(Generations::stable(seen.word(7)));
    EXPECT_NE(seen.word(7), remembered);
    EXPECT_EQ(seen.word(7), generations.word(7));
  }
}

TEST_F(SharedFileTest, AShortFileIsExtendedWithOtherWords) {
  for (off_t length : {off_t{10}, off_t{5000}, static_cast<off_t>(kSize - 1)}) {
    std::vector<uint64_t> before;
    {
      SharedFile file(path_, 0600);
      before = copy_of_words(file);
    }
    ASSERT_EQ(truncate(path_.c_str(), length), 0);
    write_at(0, 0);
    SharedFile file(path_, 0600);
    EXPECT_EQ(std::filesystem::file_size(path_), kSize);
    for (size_t i = 0; i < Generations::kWords; ++i) ASSERT_NE(file.words()[i], before[i]) << i << " at " << length;
  }
}

TEST_F(SharedFileTest, ALongerFileIsNeverShortened) {
  { std::ofstream(path_) << std::string(2 * kSize, 'x'); }
  SharedFile file(path_, 0600);
  EXPECT_EQ(std::filesystem::file_size(path_), 2 * kSize);
  EXPECT_EQ(file.database_id(), 0u);
}

TEST_F(SharedFileTest, BlocksAreReservedAlsoWhereACopyHasHoles) {
  { SharedFile file(path_, 0600); }
  struct stat status;
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  const bool can_reserve = static_cast<size_t>(status.st_blocks) * 512 >= kSize;
  int descriptor = open(path_.c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_EQ(fallocate(descriptor, 0, 0, kSize) == 0, can_reserve);
  ASSERT_EQ(ftruncate(descriptor, kWordsOffset), 0);
  ASSERT_EQ(ftruncate(descriptor, kSize), 0);
  close(descriptor);
  SharedFile file(path_, 0600);
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(static_cast<size_t>(status.st_blocks) * 512 >= kSize, can_reserve);
}

TEST_F(SharedFileTest, OfManyOpenersOneLaysOut) {
  constexpr int kOpeners = 8;
  { SharedFile file(path_, 0600); }
  for (uint64_t round = 1; round <= 5; ++round) {
    write_at(0, 0);
    SharedObject<std::atomic<bool>> go;
    std::list<Child> openers;
    for (int i = 0; i < kOpeners; ++i) {
      openers.emplace_back([&] {
        while (!*go) sched_yield();
        SharedFile file(path_, 0600);
        return file.words()[Generations::kWords - 1] == 0 ? 1 : 0;
      });
    }
    *go = true;
    for (Child &opener : openers) EXPECT_EQ(opener.wait(), 0);
    // One step is at least 2^40, and less than 2^40 + 2^34.
    SharedFile file(path_, 0600);
    EXPECT_GE(file.words()[0], round << 40);
    EXPECT_LT(file.words()[0], (round << 40) + (round << 34));
  }
}

TEST_F(SharedFileTest, ASymbolicLinkIsRefused) {
  std::string target = directory_ / "target";
  std::filesystem::create_symlink(target, path_);
  expect_refused(path_, "symbolic link");
  EXPECT_FALSE(std::filesystem::exists(target));
  { SharedFile file(target, 0600); }
  expect_refused(path_, "symbolic link");
}

TEST_F(SharedFileTest, WhatIsNoRegularFileIsRefused) {
  expect_refused(directory_.path(), "directory");
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  expect_refused(path_, "not a regular file");
}

TEST_F(SharedFileTest, AMissingDirectoryIsAnError) { expect_refused(directory_ / "no/such", "No such file"); }

TEST_F(SharedFileTest, AFileThatMayNotBeWrittenIsAnError) {
  { SharedFile file(path_, 0600); }
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(path_.c_str(), 0444), 0);
  Child child([&] {
    if (geteuid() == 0 && setuid(65534) != 0) return 3;  // permissions mean nothing to root
    std::string message;
    if (open_status(path_, &message) != Status::kIo) return 1;
    return message.find(path_) != std::string::npos && message.find("Permission denied") != std::string::npos ? 0 : 2;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(SharedFileTest, AFailedOpenLeavesNoDescriptorBehind) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  int before = dup(0);
  close(before);
  std::string message;
  EXPECT_EQ(open_status(path_, &message), Status::kIo);
  int after = dup(0);
  close(after);
  EXPECT_EQ(after, before);
}

TEST_F(SharedFileTest, AFullDiskIsAnErrorNotASignal) {
  constexpr int kCannotMount = 77;
  Child child([&] {
    // Root may; others may where the kernel lets them be root in a user namespace.
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      return kCannotMount;
    }
    std::string message;
    if (open_status(path_, &message) != Status::kFull) return 1;
    return message.find(path_) != std::string::npos ? 0 : 2;
  });
  int result = child.wait();
  if (result == kCannotMount) {
    ASSERT_EQ(std::getenv("CI"), nullptr) << "here it must be possible to mount a small file system";
    GTEST_SKIP() << "neither root nor allowed to have a user namespace: no small file system to fill";
  }
  EXPECT_EQ(result, 0);
}

TEST_F(SharedFileTest, AWordThatAKilledWriterLeftOddIsMended) {
  SharedFile file(path_, 0600);
  Generations generations(file.words());
  uint64_t remembered = generations.word(7);
  SharedObject<std::atomic<bool>> begun;
  Child writer([&] {
    SharedFile own(path_, 0600);
    WriterLock lock(own.descriptor(), own.queue());
    if (!lock.try_lock_for(std::chrono::seconds(30))) return 1;
    Generations(own.words()).begin(7);
    *begun = true;
    pause();
    return 2;
  });
  ASSERT_TRUE(wait_for([&] { return begun->load(); }));
  writer.kill_and_wait();
  EXPECT_FALSE(Generations::stable(generations.word(7)));

  WriterLock lock(file.descriptor(), file.queue());
  ASSERT_TRUE(lock.try_lock_for(std::chrono::seconds(30)));
  generations.begin(7);
  EXPECT_FALSE(Generations::stable(generations.word(7)));
  generations.end(7);
  lock.unlock();
  EXPECT_TRUE(Generations::stable(generations.word(7)));
  EXPECT_GT(generations.word(7), remembered);
}

}  // namespace
}  // namespace dbc
