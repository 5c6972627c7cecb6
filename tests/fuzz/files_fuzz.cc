// Files: the input is the database, the WAL or the shared file, whole, or changes to one of a sound cache. No value
// comes out that was not put under its key, and in the end a repair leaves a sound cache.
#include <sys/wait.h>

#include <fstream>
#include <map>
#include <sstream>

#include "../corrupt/damage.h"
#include "fuzz.h"

namespace {

using fuzz::Input;
using fuzz::require;

constexpr const char *kSuffixes[] = {"", "-wal", "-dbc"};

std::string key_of(int number) { return "key" + std::to_string(number); }
std::string value_of(const std::string &key) {
  return "the value of " + key + std::string(key == "key7" ? 9000 : 20, key.back());
}

std::map<std::string, std::string> make_cache() {
  fuzz::Folder folder;
  std::string path = folder.file("cache.db");
  pid_t child = fork();
  if (child == 0) {
    dbc_cache *cache = nullptr;
    if (dbc_open(path.c_str(), "1", nullptr, &cache) != DBC_OK) _exit(1);
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 20; ++i) {
        std::string key = key_of(i), value = value_of(key);
        dbc_put(cache, key.data(), key.size(), value.data(), value.size(), DBC_TEXT, nullptr, nullptr);
      }
      if (round == 0) {
        dbc_free(cache);
        if (dbc_open(path.c_str(), "1", nullptr, &cache) != DBC_OK) _exit(1);
      }
    }
    _exit(0);  // the second round is in the WAL
  }
  int status = 1;
  if (waitpid(child, &status, 0) != child || status != 0) std::abort();
  std::map<std::string, std::string> files;
  for (const char *suffix : kSuffixes) {
    std::ifstream stream(path + suffix, std::ios::binary);
    std::stringstream content;
    content << stream.rdbuf();
    files[suffix] = content.str();
  }
  return files;
}

dbc_status open_cache(const std::string &path, uint8_t choice, dbc_cache **cache) {
  dbc_options *options = dbc_options_new();
  dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, choice & 1 ? 10 : 1000);
  dbc_options_set_u64(options, DBC_ON_CORRUPT, choice & 2 ? DBC_ON_CORRUPT_FAIL : DBC_ON_CORRUPT_RESTART);
  dbc_status status = dbc_open(path.c_str(), "1", options, cache);
  dbc_options_free(options);
  return status;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const std::map<std::string, std::string> sound = make_cache();
  static const fuzz::Folder folder;
  Input input(data, size);
  uint8_t choice = input.byte(), which = input.byte();
  std::map<std::string, std::string> files = sound;
  std::string &file = files[kSuffixes[which % 3]];
  if (which & 0x80) {
    file = input.rest();
  } else {
    while (!input.empty()) {
      size_t at = input.number<uint32_t>() % (file.size() + 1);
      std::string_view bytes = input.take(input.byte() % 16 + 1);
      file.replace(at, bytes.size(), bytes);
    }
    if (which & 0x40) corrupt::mend_wal_checksums(&files["-wal"]);
    if (which & 0x20) files.erase("-wal");
  }
  std::string path = folder.file("cache.db");
  for (const auto &[suffix, content] : files)
    std::ofstream(path + suffix, std::ios::binary | std::ios::trunc) << content;

  dbc_cache *cache = nullptr;
  dbc_status status = open_cache(path, choice, &cache);
  require(status == DBC_OK || status == DBC_FOREIGN || status == DBC_VERSION || (status == DBC_CORRUPT && choice & 2),
          "open", dbc_last_error());
  if (cache) {
    bool may_fail = (choice & 2) != 0;
    auto expect = [&](dbc_status got, const char *call) {
      require(got == DBC_OK || got == DBC_NOT_FOUND || (got == DBC_CORRUPT && may_fail), call, dbc_last_error());
    };
    for (int i = 0; i < 22; ++i) {
      std::string key = key_of(i), value = value_of(key);
      dbc_value *found = nullptr;
      status = dbc_get(cache, key.data(), key.size(), nullptr, &found);
      expect(status, "get");
      if (found) {
        require(value == std::string_view(static_cast<const char *>(dbc_value_data(found)), dbc_value_size(found)),
                "value", key.c_str());
        dbc_value_release(found);
      }
      if (i % 3 == 0)
        expect(dbc_put(cache, key.data(), key.size(), value.data(), value.size(), 0, nullptr, nullptr), "put");
      if (i % 7 == 0) expect(dbc_delete(cache, key.data(), key.size()), "delete");
    }
    expect(dbc_flush(cache), "flush");
    uint64_t problems = 0;
    char report[300];
    status = dbc_check(cache, DBC_CHECK_REPAIR, report, sizeof report, &problems);
    expect(status, "repair");
    if (status == DBC_OK) {
      require(dbc_check(cache, 0, report, sizeof report, &problems) == DBC_OK && problems == 0, "after the repair",
              report);
    }
    status = dbc_close(cache);
    require(status == DBC_OK || status == DBC_CORRUPT, "close", dbc_last_error());
    dbc_free(cache);
  }
  for (const auto &entry : std::filesystem::directory_iterator(std::filesystem::path(path).parent_path())) {
    std::filesystem::remove(entry.path());
  }
  return 0;
}
