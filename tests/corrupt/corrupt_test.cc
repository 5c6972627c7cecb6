// Damaged files, by the thousand: bytes of the database, the WAL, the index of the WAL and the shared file are changed
// at random, while the cache is closed and while it is in use. Whatever happens: no crash, no hang, no wrong value, and
// what the header says about damaged files holds.
//
// Every value carries its key and a number, so a wrong one gives itself away. Cases run in batches, each in a process
// of its own; each case is made by its number alone.
//
//   corrupt_test                    as the suite runs it
//   CORRUPT_CASES=20000 corrupt_test    a long run
//   CORRUPT_CASE=1234 corrupt_test      one case again, in this process
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "damage.h"
#include "dbc.h"

namespace corrupt {
namespace {

constexpr int kKeys = 60;
constexpr unsigned kSecondsToHang = 60;  // for a case of milliseconds
constexpr size_t kCasesInBatch = 50;
constexpr const char *kSuffixes[] = {"", "-wal", "-shm", "-dbc"};

// The bytes of the four files; those that are not there are absent.
using Files = std::map<std::string, std::string>;

std::string read_file(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream content;
  content << stream.rdbuf();
  return content.str();
}
void write_file(const std::string &path, const std::string &content) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream << content;
}

// In memory if that can be had: a case is a hundred small writes and a few dozen files made and removed.
class Folder {
 public:
  Folder() {
    std::string name = (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : testing::TempDir()) + "/dbc-corrupt-XXXXXX";
    if (!mkdtemp(name.data())) abort();
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string &name) const { return path_ + "/" + name; }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename());
    return names;
  }
  void empty() const {
    for (const auto &entry : std::filesystem::directory_iterator(path_)) std::filesystem::remove(entry.path());
  }
  Files load() const {
    Files files;
    for (const char *suffix : kSuffixes) {
      std::string path = file("cache.db") + suffix;
      if (access(path.c_str(), F_OK) == 0) files[suffix] = read_file(path);
    }
    return files;
  }
  void store(const Files &files) const {
    for (const auto &[suffix, content] : files) write_file(file("cache.db") + suffix, content);
  }

 private:
  std::string path_;
};

std::string key_of(size_t number) {
  char key[16];
  snprintf(key, sizeof key, "key%03zu", number);
  return key;
}

// "value #NUMBER of KEY: " and then bytes that follow from both.
std::string value_of(const std::string &key, uint64_t number) {
  std::string value = "value #" + std::to_string(number) + " of " + key + ": ";
  Random random(number * 1000003 + key.back());
  size_t size = random.below(random.one_in(8) ? 9000 : 300);  // some need pages of their own
  for (size_t i = 0; i < size; ++i) value += static_cast<char>('a' + random.below(26));
  return value;
}
// The number of a value of that key; -1 if it is none.
int64_t number_in(const std::string &key, std::string_view value) {
  unsigned long long number = 0;
  if (sscanf(std::string(value.substr(0, 40)).c_str(), "value #%llu", &number) != 1) return -1;
  return value == value_of(key, number) ? static_cast<int64_t>(number) : -1;
}

struct Options {
  bool fail = false;
  uint64_t memory_items = 20;
  uint64_t disk_items = 1000;
  uint64_t disk_bytes = 1u << 30;
  double touch_delay = 3600;
};

struct Log {
  std::vector<std::string> warnings;
};

dbc_status open_cache(const std::string &path, const Options &wanted, Log *log, dbc_cache **cache,
                      const char *schema = "1.0.0") {
  dbc_options *options = dbc_options_new();
  dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, wanted.memory_items);
  dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, wanted.disk_items);
  dbc_options_set_u64(options, DBC_MAX_DISK_SIZE_BYTES, wanted.disk_bytes);
  dbc_options_set_u64(options, DBC_ON_CORRUPT, wanted.fail ? DBC_ON_CORRUPT_FAIL : DBC_ON_CORRUPT_RESTART);
  dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, wanted.touch_delay);
  dbc_options_set_double(options, DBC_BUSY_TIMEOUT_SECONDS, 3);
  if (log) {
    dbc_options_set_u64(options, DBC_LOG_LEVEL, DBC_LOG_WARNING);
    dbc_options_set_log(
        options,
        [](void *context, int, const char *message, size_t size) {
          static_cast<Log *>(context)->warnings.emplace_back(message, size);
        },
        log, nullptr);
  }
  dbc_status status = dbc_open(path.c_str(), schema, options, cache);
  dbc_options_free(options);
  return status;
}

dbc_status put(dbc_cache *cache, const std::string &key, uint64_t number, const double *time = nullptr) {
  std::string value = value_of(key, number);
  return dbc_put(cache, key.data(), key.size(), value.data(), value.size(), number % 2 ? DBC_TEXT : 0, time, nullptr);
}

// What the cases damage: the files of caches in different states of their lives.
std::vector<Files> make_bases() {
  std::vector<Files> bases;
  for (int kind = 0; kind < 5; ++kind) {
    Folder folder;
    pid_t child = fork();
    if (child == 0) {
      dbc_cache *cache = nullptr;
      if (kind == 3 && open_cache(folder.file("cache.db"), {}, nullptr, &cache, "0.9.0") == DBC_OK) {
        for (size_t i = 0; i < 20; ++i) put(cache, key_of(i), 1);  // of an older schema version
        dbc_free(cache);
      }
      if (open_cache(folder.file("cache.db"), {}, nullptr, &cache) != DBC_OK) _exit(1);
      for (size_t i = 0; kind != 4 && i < kKeys; ++i) {
        if (put(cache, key_of(i), 1) != DBC_OK) _exit(1);
      }
      if (kind >= 1) {
        for (size_t i = 0; i < kKeys; i += 3) {
          dbc_value *value = nullptr;
          if (dbc_get(cache, key_of(i).data(), 6, nullptr, &value) == DBC_OK) dbc_value_release(value);
        }
        if (dbc_flush(cache) != DBC_OK) _exit(1);
        for (size_t i = 0; kind != 4 && i < kKeys; i += 7) put(cache, key_of(i), 2);
        for (size_t i = 3; i < kKeys; i += 11) dbc_delete(cache, key_of(i).data(), 6);
      }
      if (kind != 2) dbc_free(cache);
      _exit(0);  // of kind 2: as if killed, with all in the WAL
    }
    int status = -1;
    if (waitpid(child, &status, 0) != child || status != 0) abort();
    bases.push_back(folder.load());
  }
  return bases;
}

// One case. What is wrong comes back as text.
class Case {
 public:
  Case(const std::vector<Files> &bases, const Folder &folder, uint64_t number)
      : bases_(bases), folder_(folder), path_(folder.file("cache.db")), random_(number) {}

  std::string run() {
    folder_.empty();
    options_.fail = random_.one_in(5);
    options_.memory_items = random_.one_in(4) ? 0 : 20;
    if (random_.one_in(3)) options_.disk_items = 10 + random_.below(60);
    if (random_.one_in(4)) options_.disk_bytes = 10'000;
    if (random_.one_in(4)) options_.touch_delay = 0.001;
    files_ = bases_[random_.below(bases_.size())];
    while_open_ = random_.one_in(3);
    if (!while_open_ || random_.one_in(4)) damage_files(true);
    folder_.store(files_);
    for (int life = 0; life < 2 && problem_.empty(); ++life) live();
    if (problem_.empty() && !options_.fail) recover();
    return problem_;
  }

 private:
  // Not while the files are mapped: see docs/reliability.md.
  static bool is_mapped(const std::string &suffix) { return suffix == "-shm" || suffix == "-dbc"; }

  void damage_files(bool closed) {
    for (size_t i = 1 + (random_.one_in(3) ? random_.below(3) : 0); i > 0; --i) {
      const char *suffix = kSuffixes[random_.one_in(2) ? 0 : random_.below(4)];
      auto file = files_.find(suffix);
      if (file == files_.end()) {
        if (closed && random_.one_in(4))
          files_[suffix] = "";  // it appears from nowhere, with nothing or with garbage in it
        if (closed && random_.one_in(4)) damage(&files_[suffix], random_, true);
        continue;
      }
      if (closed && random_.one_in(20)) {  // that of another cache
        const Files &other = bases_[random_.below(bases_.size())];
        if (auto same = other.find(suffix); same != other.end()) file->second = same->second;
        continue;
      }
      damage(&file->second, random_, closed || !is_mapped(suffix));
      if (std::string_view(suffix) == "-wal" && random_.one_in(2)) mend_wal_checksums(&file->second);
    }
  }

  // Damages the files that the library has open, as another process: closing a descriptor of them in this one would
  // give up SQLite's locks. It is forked before the library is used, and its threads with it: what the child of several
  // threads allocates may wait for ever for one that it does not have.
  class Damager {
   public:
    explicit Damager(Case &damaged) {
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_) != 0) std::abort();
      process_ = fork();
      if (process_ < 0) std::abort();
      if (process_ > 0) return;
      close(sockets_[0]);
      uint64_t seed;
      while (read(sockets_[1], &seed, sizeof seed) == static_cast<ssize_t>(sizeof seed)) {
        damaged.random_ = Random(seed);
        if (!damaged.damage_in_place() || write(sockets_[1], &seed, 1) != 1) _exit(1);
      }
      _exit(0);
    }
    ~Damager() {
      close(sockets_[0]);
      close(sockets_[1]);
      waitpid(process_, nullptr, 0);
    }
    bool damage(uint64_t seed) {
      char done;
      return write(sockets_[0], &seed, sizeof seed) == static_cast<ssize_t>(sizeof seed) &&
             read(sockets_[0], &done, 1) == 1;
    }

   private:
    int sockets_[2];
    pid_t process_;
  };

  bool damage_in_place() {
    files_ = folder_.load();
    Files before = files_;
    damage_files(false);
    for (const auto &[suffix, content] : files_) {
      if (content == before[suffix]) continue;
      int descriptor = open((path_ + suffix).c_str(), O_RDWR | O_CLOEXEC);
      if (descriptor < 0) continue;
      bool written =
          pwrite(descriptor, content.data(), content.size(), 0) >= 0 &&
          (content.size() >= before[suffix].size() || ftruncate(descriptor, static_cast<off_t>(content.size())) == 0);
      close(descriptor);
      if (!written) return false;
    }
    return true;
  }

  void damage_in_use() {
    if (!damager_->damage(random_.next())) return wrong("the files could not be damaged");
    was_damaged_in_use_ = true;
    expected_.clear();  // what was put may be lost, or be an older state again
  }

  // A handle from opening to closing.
  void live() {
    Files before = folder_.load();
    std::set<std::string> names_before;
    for (const std::string &name : folder_.names()) names_before.insert(name);
    std::optional<Damager> damager;
    if (while_open_) damager.emplace(*this);
    damager_ = damager ? &*damager : nullptr;
    Log log;
    dbc_cache *cache = nullptr;
    dbc_status status = open_cache(path_, options_, &log, &cache);
    std::string aside;
    for (const std::string &name : folder_.names()) {
      bool is_database = name.find("-wal") == std::string::npos && name.find("-journal") == std::string::npos;
      if (name.find(".corrupt-") != std::string::npos && is_database && !names_before.contains(name)) aside = name;
    }
    if (options_.fail || status == DBC_FOREIGN || status == DBC_VERSION) {
      if (!aside.empty()) return wrong("a file was moved aside though it was not to be");
    }
    if (status == DBC_CORRUPT && !options_.fail) return wrong_status("open", status);
    if (status != DBC_OK && status != DBC_CORRUPT && status != DBC_FOREIGN && status != DBC_VERSION) {
      return wrong_status("open", status);
    }
    if (status == DBC_CORRUPT || status == DBC_FOREIGN || status == DBC_VERSION) {
      if (folder_.load()[""] != before[""]) wrong("the file was not left as it was");
      refused_ = true;
      return;
    }
    if (!aside.empty()) {
      bool told = false;
      for (const std::string &warning : log.warnings) told = told || warning.find(aside) != std::string::npos;
      if (!told) return wrong("the file was moved to " + aside + " without a warning");
      expected_.clear();
    }
    for (size_t i = 10 + random_.below(50); i > 0 && problem_.empty(); --i) {
      if (while_open_ && random_.one_in(15)) damage_in_use();
      call(cache);
    }
    status = dbc_close(cache);
    // Where damage keeps it from writing what is pending, it says so: there is no other handle to go on with.
    if (status != DBC_OK && status != DBC_CORRUPT && !damage_is_an_answer(status)) wrong_status("close", status);
    dbc_free(cache);
  }

  void call(dbc_cache *cache) {
    std::string key = key_of(random_.below(kKeys + 5));
    dbc_status status = DBC_OK;
    const char *name = "";
    switch (random_.below(16)) {
      case 0:
      case 1:
      case 2:
        return put_one(cache, key);
      case 3:
      case 4:
      case 5:
      case 6:
      case 7:
        return get_one(cache, key);
      case 8:
        return get_some(cache);
      case 9:
        return put_some(cache);
      case 10:
        name = "delete";
        status = dbc_delete(cache, key.data(), key.size());
        if (status == DBC_OK || status == DBC_NOT_FOUND) expected_[key] = kAbsent;
        if (status == DBC_NOT_FOUND) status = DBC_OK;
        break;
      case 11:
        name = "exists";
        status = dbc_exists(cache, key.data(), key.size(), nullptr);
        if (status == DBC_NOT_FOUND) status = DBC_OK;
        break;
      case 12:
        name = "flush";
        status = dbc_flush(cache);
        break;
      case 13: {
        name = "clear_memory";
        status = random_.one_in(6) ? dbc_clear(cache) : dbc_clear_memory(cache);
        uint64_t counts[DBC_STAT_COUNT];
        if (status == DBC_OK) status = dbc_stats(cache, counts, DBC_STAT_COUNT, nullptr);
        break;
      }
      case 14: {
        name = "purge_expired";
        uint64_t removed = 0;
        status = dbc_purge_expired(cache, nullptr, &removed);
        break;
      }
      default: {
        name = "check";
        uint64_t problems = 0;
        std::array<char, 300> report;
        unsigned flags = random_.one_in(2) ? DBC_CHECK_REPAIR : 0;
        status = dbc_check(cache, flags, report.data(), report.size(), &problems);
        if (status == DBC_OK && (problems == 0) != (report[0] == '\0')) wrong("a report that does not fit its number");
        if (status == DBC_OK && flags != 0 && !while_open_) {
          uint64_t left = 0;
          status = dbc_check(cache, 0, report.data(), report.size(), &left);
          if (status == DBC_OK && left > 0) wrong("after a repair there is still: " + std::string(report.data()));
        }
      }
    }
    if (status != DBC_OK && !damage_is_an_answer(status)) wrong_status(name, status);
  }

  void put_one(dbc_cache *cache, const std::string &key) {
    double time = static_cast<double>(random_.below(4'000'000'000));
    dbc_status status = put(cache, key, ++last_number_, random_.one_in(3) ? &time : nullptr);
    if (status == DBC_OK) {
      expected_[key] = static_cast<int64_t>(last_number_);
    } else if (!damage_is_an_answer(status)) {
      wrong_status("put", status);
    }
  }

  void put_some(dbc_cache *cache) {
    std::string keys, values;
    std::vector<size_t> key_sizes, value_sizes;
    std::vector<std::string> names;
    ++last_number_;
    for (size_t i = 0; i < 8; ++i) {
      names.push_back(key_of(random_.below(kKeys)));
      std::string value = value_of(names.back(), last_number_);
      keys += names.back();
      values += value;
      key_sizes.push_back(names.back().size());
      value_sizes.push_back(value.size());
    }
    dbc_status status =
        dbc_put_many(cache, 8, keys.data(), key_sizes.data(), values.data(), value_sizes.data(), 0, nullptr, nullptr);
    if (status == DBC_OK) {
      for (const std::string &key : names) expected_[key] = static_cast<int64_t>(last_number_);
    } else if (!damage_is_an_answer(status)) {
      wrong_status("put_many", status);
    }
  }

  void get_one(dbc_cache *cache, const std::string &key) {
    dbc_value *value = nullptr;
    dbc_status status = dbc_get(cache, key.data(), key.size(), nullptr, &value);
    if (status == DBC_OK) {
      look_at(cache, key, {static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value)});
      dbc_value_release(value);
    } else if (status != DBC_NOT_FOUND && !damage_is_an_answer(status)) {
      wrong_status("get", status);
    }
  }

  void get_some(dbc_cache *cache) {
    std::string keys;
    std::vector<size_t> sizes;
    std::vector<std::string> names;
    for (size_t i = 0; i < 10; ++i) {
      names.push_back(key_of(random_.below(kKeys)));
      keys += names.back();
      sizes.push_back(names.back().size());
    }
    dbc_result *result = nullptr;
    dbc_status status = dbc_get_many(cache, names.size(), keys.data(), sizes.data(), nullptr, nullptr, &result);
    if (status == DBC_OK) {
      for (size_t i = 0; i < names.size(); ++i) {
        if (dbc_result_statuses(result)[i] != DBC_OK) continue;
        look_at(cache, names[i], {static_cast<const char *>(dbc_result_data(result)[i]), dbc_result_sizes(result)[i]});
      }
    } else if (!damage_is_an_answer(status)) {
      wrong_status("get_many", status);
    }
    dbc_result_free(result);
  }

  // A value must be one that was put under that key; if this run has put or deleted since the damage, the last. But
  // where a damaged entry of the index of keys leads searches astray, a put may have added a second row, and a get find
  // the first again. A check sees that; an older value without a finding is wrong.
  void look_at(dbc_cache *cache, const std::string &key, std::string_view value) {
    int64_t number = number_in(key, value);
    if (number < 0) return wrong("a wrong value under " + key + ": '" + std::string(value.substr(0, 60)) + "'");
    auto expected = expected_.find(key);
    if (expected != expected_.end() && expected->second != number && !check_finds_damage(cache)) {
      wrong("of " + key + " number " + std::to_string(number) + " instead of " + std::to_string(expected->second));
    }
  }

  static bool check_finds_damage(dbc_cache *cache) {
    uint64_t problems = 0;
    dbc_status status = dbc_check(cache, 0, nullptr, 0, &problems);
    return status == DBC_CORRUPT || (status == DBC_OK && problems > 0);
  }

  // In the end, whatever the file was: with a repair the cache works, and it is sound.
  void recover() {
    if (refused_) return;  // it is another program's, or a newer one's, as far as anyone can tell
    dbc_cache *cache = nullptr;
    dbc_status status = open_cache(path_, {}, nullptr, &cache);
    if (was_damaged_in_use_ && (status == DBC_FOREIGN || status == DBC_VERSION)) return;
    if (status != DBC_OK) return wrong_status("the last open", status);
    uint64_t problems = 0;
    std::array<char, 500> report;
    status = dbc_check(cache, DBC_CHECK_REPAIR, report.data(), report.size(), &problems);
    if (status != DBC_OK) wrong_status("the last repair", status);
    status = dbc_check(cache, 0, report.data(), report.size(), &problems);
    if (status != DBC_OK || problems > 0) wrong("after the last repair: " + std::string(report.data()));
    expected_.clear();
    for (size_t i = 0; i < 10 && problem_.empty(); ++i) {
      put_one(cache, key_of(i));
      get_one(cache, key_of(i));
    }
    dbc_free(cache);
  }

  // With on_corrupt at "fail" every call may say that the file is damaged.
  bool damage_is_an_answer(dbc_status status) const {
    if (status == DBC_CORRUPT && options_.fail) return true;
    // In use, the mark of whose file it is can be hit as well: the handle opens again, and is refused. And the index of
    // the WAL, in which SQLite keeps who reads and writes.
    return was_damaged_in_use_ &&
           (status == DBC_FOREIGN || status == DBC_VERSION || status == DBC_BUSY || status == DBC_IO);
  }

  void wrong(const std::string &problem) {
    if (problem_.empty()) problem_ = problem;
  }
  void wrong_status(const char *call, dbc_status status) {
    wrong(std::string(call) + ": " + dbc_status_name(status) + ", " + dbc_last_error());
  }

  static constexpr int64_t kAbsent = -2;
  const std::vector<Files> &bases_;
  const Folder &folder_;
  const std::string path_;
  Random random_;
  Options options_;
  Files files_;
  bool while_open_ = false;
  bool was_damaged_in_use_ = false;
  Damager *damager_ = nullptr;  // while a handle is open
  bool refused_ = false;
  uint64_t last_number_ = 100;
  std::map<std::string, int64_t> expected_;
  std::string problem_;
};

uint64_t number_from_environment(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text ? strtoull(text, nullptr, 10) : otherwise;
}

TEST(Corrupt, NothingWrongComesOutOfDamagedFiles) {
  std::vector<Files> bases = make_bases();
  for (const Files &base : bases) ASSERT_TRUE(base.contains("") && base.contains("-dbc"));
  ASSERT_TRUE(bases[2].contains("-wal") && bases[2].at("-wal").size() > 100'000) << "the killed writer left no WAL";

  if (getenv("CORRUPT_CASE")) {
    Folder folder;
    EXPECT_EQ(Case(bases, folder, number_from_environment("CORRUPT_CASE", 0)).run(), "");
    return;
  }

  // Where a batch is, and what it found, in memory that outlives it.
  struct Board {
    uint64_t number;
    char problem[1000];
  };
  auto *board =
      static_cast<Board *>(mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(board, MAP_FAILED);
  uint64_t first = number_from_environment("CORRUPT_FIRST", 0);
  uint64_t end = first + number_from_environment("CORRUPT_CASES", 600);
  for (uint64_t at = first; at < end;) {
    Folder folder;  // removed by this process, also when the batch crashed
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (uint64_t number = at; number < std::min(end, at + kCasesInBatch); ++number) {
        board->number = number;
        alarm(kSecondsToHang);
        std::string problem = Case(bases, folder, number).run();
        snprintf(board->problem, sizeof board->problem, "%s", problem.c_str());
        if (!problem.empty()) _exit(1);
      }
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
      ADD_FAILURE() << "case " << board->number << ": "
                    << (WTERMSIG(status) == SIGALRM ? "a hang" : strsignal(WTERMSIG(status)));
    } else if (status != 0) {
      ADD_FAILURE() << "case " << board->number << ": " << (board->problem[0] ? board->problem : "ended early");
    }
    at = status == 0 ? at + kCasesInBatch : board->number + 1;
  }
  munmap(board, sizeof(Board));
}

}  // namespace
}  // namespace corrupt
