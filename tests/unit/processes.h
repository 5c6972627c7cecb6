// What tests with several processes share: a directory that goes away, and children that run a function.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <string>

namespace dbc::testing {

class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(::testing::TempDir() + "/dbc-XXXXXX") {
    if (!mkdtemp(path_.data())) std::abort();
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const char *name) const { return path_ + "/" + name; }
  const std::string &path() const { return path_; }

 private:
  std::string path_;
};

// A forked child that runs a function and ends with what it returns: 0 is well. Killed at the end of the scope.
class Child {
 public:
  template <typename Function>
  explicit Child(Function function) {
    std::fflush(nullptr);  // or the child would write what the parent has buffered
    process_ = fork();
    if (process_ != 0) return;
    int result = 99;
    try {
      result = function();
    } catch (const std::exception &error) {
      std::fprintf(stderr, "in a child: %s\n", error.what());
    }
    _exit(result);
  }
  ~Child() { kill_and_wait(); }
  Child(const Child &) = delete;
  Child &operator=(const Child &) = delete;

  pid_t process() const { return process_; }
  void signal(int number) const { kill(process_, number); }
  void kill_and_wait() {
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    wait();
  }
  // The exit code; 1000 and the number of the signal that killed it.
  int wait() {
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t process_;
};

// One object that parent and children see alike.
template <typename T>
class SharedObject {
 public:
  SharedObject()
      : object_(new (mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) T()) {}
  ~SharedObject() { munmap(object_, sizeof(T)); }
  SharedObject(const SharedObject &) = delete;
  SharedObject &operator=(const SharedObject &) = delete;
  T *operator->() const { return object_; }
  T &operator*() const { return *object_; }

 private:
  T *object_;
};

// Until `ready` is true; false when that takes unreasonably long.
template <typename Ready>
bool wait_for(Ready ready) {
  for (int i = 0; i < 30'000; ++i) {
    if (ready()) return true;
    usleep(1'000);
  }
  return false;
}

}  // namespace dbc::testing
