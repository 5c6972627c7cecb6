// Every kind of I/O call of a run fails, once or from then on, while puts are written behind. A put that was
// acknowledged and not flushed is in memory only; nothing else may be lost, and nobody may be told otherwise:
//
// - What a flush (or a removal, which commits what waits first) had acknowledged is in the file as after a crash at any
//   later moment, and with it what some prefix of the later calls produced.
// - A call that fails gives a documented error that names the file. What waited is kept, is still seen by the handle,
//   and is committed when the fault is gone.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "../model/random_run.h"
#include "injector.h"
#include "support.h"

namespace dbc::faults {
namespace {

using model::Mismatch;
using Items = std::map<std::string, std::string>;

// After so many failures a lasting fault ends, so that the run gets through.
constexpr uint64_t kFailuresOfALastingFault = 4;
constexpr int kKeys = 12;

class BehindScript {
 public:
  explicit BehindScript(const std::string &folder) : folder_(folder) {}
  ~BehindScript() {
    injector().disarm();
    dbc_free(cache_);
  }
  BehindScript(const BehindScript &) = delete;
  BehindScript &operator=(const BehindScript &) = delete;

  // Throws where the library did not keep its word. True if the fault happened.
  bool go(const Fault &fault, uint64_t k, bool lasting) {
    Spared spared;
    lasting_ = lasting;
    injector().arm(fault, k, lasting);
    open();
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 9; ++i) put(i + round, 10 + 400 * i);
      put(3, 20'000);  // larger than the buffer: written through
      get(1), get(4), get(11);
      for (int i = 0; i < 3; ++i) put(2 * i, 300 + round);
      flush();
      for (int i = 0; i < 4; ++i) put(11 - i, 50);
      remove(round + 1);
      put(round + 1, 5);
      put(round + 2, 6);
    }
    close();
    open();
    for (int i = 0; i < 4; ++i) put(i, 77);
    clear();
    for (int i = 3; i < 9; ++i) put(i, 99);
    get(4);
    bool fired = injector().fired();
    injector().disarm();
    // The fault is gone.
    flush();
    close();
    open();
    for (int i = 0; i < kKeys; ++i) get(i);
    return fired;
  }
  uint64_t failures() const { return failures_; }
  std::string history() const { return history_; }

 private:
  static std::string key_of(int number) { return "key" + std::to_string(number); }
  Items &present() { return states_.back(); }
  std::string path() const { return folder_ + "/cache.db"; }

  // Makes a call; true when it has succeeded. `after`: what the file may hold when it has, or has failed late.
  bool call(const std::string &what, const std::function<dbc_status()> &function, const Items *after = nullptr) {
    dbc_status status;
    {
      Exposed exposed;
      status = function();
    }
    history_ += "    " + what + ": " + dbc_status_name(status);
    history_ += injector().fired() ? "  (after the fault)\n" : "\n";
    bool failed = status >= DBC_INVALID_ARGUMENT;
    if (failed) {
      const std::string message = dbc_last_error();
      ++failures_;
      if (!injector().armed() || !injector().fired()) throw Mismatch(what + " failed without a fault: " + message);
      static const std::set<int> kErrors = {DBC_BUSY, DBC_IO, DBC_FULL, DBC_NO_MEMORY};
      if (!kErrors.contains(status)) {
        throw Mismatch(what + " failed with an error that is not among those documented: " + message);
      }
      if (message.find(folder_) == std::string::npos) throw Mismatch(what + ": the message does not name the file");
      if (!lasting_ || failures_ >= kFailuresOfALastingFault) injector().disarm();
    } else if (status != DBC_OK && status != DBC_NOT_FOUND) {
      throw Mismatch(what + ": " + dbc_status_name(status));
    }
    status_ = status;
    if (injector().fired()) check_crash(what, after);
    return !failed;
  }

  void open() {
    dbc_options *options = dbc_options_new();
    dbc_options_set_u64(options, DBC_WRITE_MODE, DBC_WRITE_BEHIND);
    dbc_options_set_u64(options, DBC_WRITE_BEHIND_ITEMS, 6);
    dbc_options_set_u64(options, DBC_WRITE_BEHIND_SIZE_BYTES, 15'000);
    dbc_options_set_double(options, DBC_WRITE_BEHIND_DELAY_SECONDS, 3600);
    dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, 3600);
    dbc_options_set_double(options, DBC_BUSY_TIMEOUT_SECONDS, 0.002);
    dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, 3);
    auto open_it = [&] { return dbc_open(path().c_str(), "1", options, &cache_); };
    while (!call("open", open_it)) {
    }
    dbc_options_free(options);
  }

  void put(int number, size_t size) {
    const std::string key = key_of(number);
    const std::string value = std::to_string(++puts_) + std::string(size, 'v');
    Items after = present();
    after[key] = value;
    auto put_it = [&] {
      return dbc_put(cache_, key.data(), key.size(), value.data(), value.size(), 0, nullptr, nullptr);
    };
    // One that fails has changed nothing, for this handle either.
    if (call("put " + key, put_it, &after)) {
      states_.push_back(after);
    } else {
      get(number);
    }
  }

  void get(int number) {
    const std::string key = key_of(number);
    dbc_value *value = nullptr;
    if (!call("get " + key, [&] { return dbc_get(cache_, key.data(), key.size(), nullptr, &value); })) return;
    std::string found = "(nothing)", expected = found;
    if (value) found.assign(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
    dbc_value_release(value);
    if (auto there = present().find(key); there != present().end()) expected = there->second;
    model::expect_equal(expected, found, "get " + key);
  }

  void remove(int number) {
    const std::string key = key_of(number);
    Items after = present();
    bool there = after.erase(key) > 0;
    if (!call(
            "delete " + key, [&] { return dbc_delete(cache_, key.data(), key.size()); }, &after))
      return get(number);
    model::expect_equal(there, status_ == DBC_OK, "delete " + key);
    states_ = {after};
  }

  void clear() {
    const Items after;
    if (call(
            "clear", [&] { return dbc_clear(cache_); }, &after))
      states_ = {after};
  }

  void flush() {
    if (call("flush", [&] { return dbc_flush(cache_); })) flushed();
  }

  void flushed() {
    states_ = {present()};
    check_crash("flush", nullptr);
  }

  // A close that fails has closed the handle all the same, and says that something may be lost.
  void close() {
    if (call("close", [&] { return dbc_close(cache_); })) {
      flushed();
    } else {
      states_ = {read(path())};
    }
    dbc_free(cache_);
    cache_ = nullptr;
  }

  // The file as it would be if the program ended here.
  void check_crash(const std::string &what, const Items *after) {
    Spared spared;
    if (!std::filesystem::exists(path())) return;
    const std::string copy = folder_ + "/copy.db";
    for (const char *part : {"", "-wal", "-shm", "-journal"}) {
      std::filesystem::remove(copy + part);
      if (std::filesystem::exists(path() + part)) std::filesystem::copy_file(path() + part, copy + part);
    }
    Items found = read(copy);
    for (const Items &state : states_) {
      if (state == found) return;
    }
    if (after && *after == found) return;
    std::string text = what + ": after a crash the file would hold what no prefix of the calls produced:";
    for (const auto &[key, value] : found) text += " " + key + "=" + value.substr(0, 6);
    throw Mismatch(text);
  }

  static Items read(const std::string &path) {
    Spared spared;
    Items items;
    sqlite3 *database = nullptr;
    sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, "unix");
    sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    sqlite3_stmt *query = nullptr;
    auto text = [&](int column) {
      const void *data = sqlite3_column_blob(query, column);
      return std::string(static_cast<const char *>(data), static_cast<size_t>(sqlite3_column_bytes(query, column)));
    };
    // Before the tables are there, there is nothing.
    if (sqlite3_prepare_v2(database, "SELECT key, data FROM item", -1, &query, nullptr) == SQLITE_OK) {
      while (sqlite3_step(query) == SQLITE_ROW) items[text(0)] = text(1);
    }
    sqlite3_finalize(query);
    std::string sound;
    if (sqlite3_prepare_v2(database, "PRAGMA integrity_check", -1, &query, nullptr) == SQLITE_OK &&
        sqlite3_step(query) == SQLITE_ROW) {
      sound = text(0);
    }
    sqlite3_finalize(query);
    sqlite3_close(database);
    model::expect_equal(std::string("ok"), sound, "integrity");
    return items;
  }

  const std::string folder_;
  bool lasting_ = false;
  dbc_cache *cache_ = nullptr;
  dbc_status status_ = DBC_OK;
  // What was there when all was last known to be in the file, and after each acknowledged put since.
  std::vector<Items> states_{{}};
  uint64_t puts_ = 0, failures_ = 0;
  std::string history_;
};

class WriteBehindFaults : public ::testing::TestWithParam<Fault> {
 protected:
  static void SetUpTestSuite() { install_fault_vfs(); }
};

TEST_P(WriteBehindFaults, WhatWasFlushedIsNeverLostAndErrorsAreTold) {
  Folder folder;
  uint64_t runs = 0, failures = 0;
  auto run = [&](uint64_t k, bool lasting) {
    folder.clear();
    BehindScript script(folder.path());
    bool fired;
    try {
      fired = script.go(GetParam(), k, lasting);
    } catch (const Mismatch &mismatch) {
      throw Mismatch(std::string(GetParam().name) + ", call " + std::to_string(k) + (lasting ? " and all later" : "") +
                     "\n" + mismatch.what() + "\n" + script.history());
    }
    ++runs;
    failures += script.failures();
    return fired;
  };
  ASSERT_FALSE(run(UINT64_MAX, false));
  uint64_t all = injector().calls(GetParam().call);
  for (bool lasting : {false, true}) {
    for (uint64_t k : chosen(all, lasting ? 1 : 0, 3)) run(k, lasting);
  }
  std::printf("   %-28s %4llu calls in a run, %5llu runs, %5llu errors\n", GetParam().name,
              static_cast<unsigned long long>(all), static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(failures));
}

// With what looks like damage the file may be given up, and what was flushed with it: that is for io_faults_test.
std::vector<Fault> sparing_faults() {
  std::vector<Fault> faults = io_faults();
  std::erase_if(faults, [](const Fault &fault) { return fault.damages; });
  return faults;
}

INSTANTIATE_TEST_SUITE_P(Kinds, WriteBehindFaults, ::testing::ValuesIn(sparing_faults()), [](const auto &fault) {
  std::string name = fault.param.name;
  std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
  return name;
});

}  // namespace
}  // namespace dbc::faults
