// Runs the table of behaviours (cases.json; README.md says what it means) against the shared library, by dbc.h alone.
#include <dbc.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "json_cache.h"

namespace {

using interop::Json;

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <typename T>
std::string shown(const T &value) {
  return Json(value).dump(-1, ' ', true, Json::error_handler_t::replace);
}

template <typename T>
void check_equal(const char *what, const T &actual, const T &expected) {
  if (actual != expected) throw Failure(std::string(what) + " is " + shown(actual) + ", not " + shown(expected));
}

// An object whose members are taken one by one; what is left over in the end nobody knew.
class Members {
 public:
  explicit Members(Json members) : rest_(std::move(members)) {}
  bool has(const char *name) const { return rest_.contains(name); }
  Json take(const char *name, Json absent = nullptr) {
    Json value = rest_.value(name, std::move(absent));
    rest_.erase(name);
    return value;
  }
  void check_none_left(const char *what) const {
    if (!rest_.empty()) throw Failure(std::string(what) + " has members this runner does not know: " + rest_.dump());
  }

 private:
  Json rest_;
};

// A text, {"repeat", "times"} or {"hex"}.
std::string bytes_of(const Json &text) {
  if (text.is_string()) return text.get<std::string>();
  std::string bytes;
  if (text.contains("hex")) {
    std::string hex = text["hex"];
    for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return bytes;
  }
  for (int i = text["times"]; i > 0; --i) bytes += text["repeat"].get<std::string>();
  return bytes;
}

// A batch as the library takes it.
struct Packed {
  std::string bytes;
  std::vector<size_t> sizes;
  void add(const std::string &part) {
    bytes += part;
    sizes.push_back(part.size());
  }
  explicit Packed(const Json &parts) {
    for (const Json &part : parts) add(bytes_of(part));
  }
};

class CaseRun {
 public:
  CaseRun(const Json &test, const Json &everywhere) : case_(test), everywhere_(everywhere) {}
  ~CaseRun() {
    for (auto &[name, handle] : handles_) dbc_free(handle.cache);
  }
  CaseRun(const CaseRun &) = delete;
  CaseRun &operator=(const CaseRun &) = delete;

  void run() {
    if (case_.value("opened", true)) run_step({{"op", "open"}});
    int number = 0;
    for (const Json &step : case_["steps"]) {
      ++number;
      try {
        run_step(step);
      } catch (const std::exception &error) {
        throw Failure("step " + std::to_string(number) + ", " + step.dump() + ": " + error.what());
      }
    }
    for (auto &[name, handle] : handles_)
      check_equal("status of the last close", status_of(dbc_close(handle.cache)), {"DBC_OK"});
  }

 private:
  struct Handle {
    dbc_cache *cache = nullptr;
    std::string path;
    Json schema_version, options;
  };

  static std::string status_of(int status) { return dbc_status_name(status); }

  // Checks status and message; whether the operation succeeded, and there is more to look at.
  bool answered(int status, Members *expect) {
    std::string expected = expect->take("status", "DBC_OK");
    if (status_of(status) != expected) {
      throw Failure("status is " + status_of(status) + ", not " + expected +
                    (status >= DBC_INVALID_ARGUMENT ? std::string(": ") + dbc_last_error() : ""));
    }
    if (status < DBC_INVALID_ARGUMENT) return true;
    std::string message = dbc_last_error();
    if (message.empty()) throw Failure("the error has no message");
    if (expect->has("error")) check_equal("error", message, expect->take("error").get<std::string>());
    if (std::string part = expect->take("error_part", ""); message.find(part) == std::string::npos)
      throw Failure("error is " + shown(message) + ", without " + shown(part));
    return false;
  }

  void open(Members *step, Members *expect, const std::string &name) {
    Handle handle{nullptr, step->take("path", case_.value("path", "cache.db")),
                  step->take("schema_version", case_.value("schema_version", Json("1"))),
                  step->take("options", case_.value("options", Json::object()))};
    if (handles_.contains(name)) throw Failure("handle " + name + " is open already");
    open(handle, expect, name);
  }
  void open(Handle &handle, Members *expect, const std::string &name) {
    Json options = everywhere_;
    options.update(handle.options);
    int status = interop::open_cache(handle.path, bytes_of(handle.schema_version), options, &handle.cache);
    if (answered(status, expect)) handles_[name] = handle;
  }

  void reopen(Members *step, Members *expect, const std::string &name) {
    Handle handle = handles_.at(name);
    check_equal("status of the close", status_of(dbc_close(handle.cache)), {"DBC_OK"});
    dbc_free(handle.cache);
    handles_.erase(name);
    handle.schema_version = step->take("schema_version", handle.schema_version);
    handle.options = step->take("options", handle.options);
    open(handle, expect, name);
  }

  void remember(const Json &name, uint64_t version) {
    if (version == 0) throw Failure("the version is 0");
    if (!name.is_null()) versions_[name] = version;
  }
  void check_version(uint64_t version, Members *expect) {
    if (expect->has("version_of")) check_equal("version", version, versions_.at(expect->take("version_of")));
    if (expect->has("newer_than") && version <= versions_.at(expect->take("newer_than")))
      throw Failure("the version is no newer");
  }

  void get(dbc_cache *cache, const std::string &key, const double *at, Members *step, Members *expect) {
    dbc_value *value = nullptr;
    int status = step->has("held")
                     ? dbc_get_changed(cache, key.data(), key.size(), versions_.at(step->take("held")), at, &value)
                     : dbc_get(cache, key.data(), key.size(), at, &value);
    interop::Value owner(value);
    if (!answered(status, expect) || status != DBC_OK) return;
    std::string bytes(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
    check_equal("value", bytes, bytes_of(expect->take("value")));
    if (expect->has("timestamp"))
      check_equal("timestamp", dbc_value_timestamp(value), expect->take("timestamp").get<double>());
    remember(step->take("remember"), dbc_value_version(value));
    check_version(dbc_value_version(value), expect);
  }

  void get_into(dbc_cache *cache, const std::string &key, const double *at, Members *step, Members *expect) {
    size_t capacity = step->take("capacity"), size = 0;
    std::string buffer(capacity, '\0');
    uint64_t version = 0;
    int status = dbc_get_into(cache, key.data(), key.size(), at, buffer.data(), capacity, &size, &version);
    bool succeeded = answered(status, expect);
    if (expect->has("size")) check_equal("size", size, expect->take("size").get<size_t>());
    if (status == DBC_OK) check_equal("value", buffer.substr(0, size), bytes_of(expect->take("value")));
    if (status == DBC_OK || status == DBC_BUFFER_TOO_SMALL) remember(step->take("remember"), version);
    if (succeeded) check_version(version, expect);
  }

  void put_many(dbc_cache *cache, const double *at, Members *step, Members *expect) {
    Packed keys(Json::array()), values(Json::array());
    for (const Json &item : step->take("items")) {
      keys.add(bytes_of(item[0]));
      values.add(bytes_of(item[1]));
    }
    std::vector<uint64_t> versions(keys.sizes.size());
    unsigned flags = step->take("text", false).get<bool>() ? DBC_TEXT : 0;
    int status = dbc_put_many(cache, versions.size(), keys.bytes.data(), keys.sizes.data(), values.bytes.data(),
                              values.sizes.data(), flags, at, versions.data());
    if (!answered(status, expect)) return;
    Json names = step->take("remember", Json::array());
    for (size_t i = 0; i < names.size(); ++i) remember(names[i], versions.at(i));
  }

  void get_many(dbc_cache *cache, const double *at, Members *step, Members *expect) {
    Packed keys(step->take("keys"));
    std::vector<uint64_t> held;
    for (const Json &name : step->take("held", Json::array())) held.push_back(name.is_null() ? 0 : versions_.at(name));
    dbc_result *result = nullptr;
    int status = dbc_get_many(cache, keys.sizes.size(), keys.bytes.data(), keys.sizes.data(),
                              held.empty() ? nullptr : held.data(), at, &result);
    interop::Result owner(result);
    if (!answered(status, expect)) return;
    Json values = Json::array(), statuses = Json::array(), expected = Json::array();
    for (size_t i = 0; i < dbc_result_count(result); ++i) {
      statuses.push_back(status_of(dbc_result_statuses(result)[i]));
      const char *data = static_cast<const char *>(dbc_result_data(result)[i]);
      values.push_back(data ? Json(std::string(data, dbc_result_sizes(result)[i])) : Json());
    }
    for (const Json &value : expect->take("values"))
      expected.push_back(value.is_null() ? Json() : Json(bytes_of(value)));
    check_equal("values", values, expected);
    if (expect->has("statuses")) check_equal("statuses", statuses, expect->take("statuses"));
  }

  static std::string tier_of(dbc_cache *cache, const std::string &key, const double *at, int *status) {
    int tier = -1;
    *status = dbc_get_tier(cache, key.data(), key.size(), at, &tier);
    return tier == DBC_TIER_MEMORY ? "memory" : tier == DBC_TIER_DISK ? "disk" : tier == DBC_TIER_NONE ? "none" : "?";
  }

  void tiers(dbc_cache *cache, const double *at, Members *expect) {
    for (const char *tier : {"memory", "disk", "none"}) {
      for (const Json &key : expect->take(tier, Json::array())) {
        int status = DBC_OK;
        std::string actual = tier_of(cache, bytes_of(key), at, &status);
        if (status != DBC_OK || actual != tier)
          throw Failure("tier of " + key.dump() + " is " + actual + ", not " + tier);
      }
    }
  }

  void stats(dbc_cache *cache, Members *expect) {
    Json actual;
    if (!answered(interop::stats_of(cache, &actual), expect)) return;
    check_equal(
        "total_gets", actual["total_gets"].get<uint64_t>(),
        actual["memory_hits"].get<uint64_t>() + actual["disk_hits"].get<uint64_t>() + actual["misses"].get<uint64_t>());
    Json wanted = expect->take("stats", Json::object());
    for (const auto &[name, value] : wanted.items()) check_equal(name.c_str(), actual.at(name), value);
  }

  void dropped(dbc_cache *cache, Members *expect) {
    std::vector<uint64_t> versions(1024), expected;
    size_t count = 0;
    int overflowed = 0;
    if (!answered(dbc_dropped(cache, versions.data(), versions.size(), &count, &overflowed), expect)) return;
    versions.resize(count);
    for (const Json &name : expect->take("versions", Json::array())) expected.push_back(versions_.at(name));
    check_equal("versions", versions, expected);
    check_equal("overflowed", overflowed, 0);
  }

  void sql(Members *step, Members *expect) {
    std::string path = step->take("path", case_.value("path", "cache.db")), text = step->take("sql"), output;
    if (text.find('"') != std::string::npos) throw Failure("double quotes in sql");
    FILE *pipe = popen(("sqlite3 '" + path + "' \"" + text + "\" 2>&1").c_str(), "r");
    char buffer[4096];
    for (size_t size; pipe && (size = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, size);
    if (!pipe || pclose(pipe) != 0) throw Failure("the sqlite3 shell failed: " + output);
    while (output.ends_with('\n')) output.pop_back();
    check_equal("output", output, expect->take("output", "").get<std::string>());
  }

  void run_step(const Json &given) {
    Members step(given), expect(given.value("expect", Json::object()));
    step.take("expect");
    std::string op = step.take("op"), name = step.take("handle", "a"), key = bytes_of(step.take("key", ""));
    double seconds = step.has("at") ? interop::seconds_of(step.take("at")) : NAN;
    const double *at = given.contains("at") ? &seconds : nullptr;
    uint64_t number = 0;
    if (op == "open") {
      open(&step, &expect, name);
    } else if (op == "reopen") {
      reopen(&step, &expect, name);
    } else if (op == "sql") {
      sql(&step, &expect);
    } else if (op == "write_file") {
      std::string bytes = bytes_of(step.take("value"));
      std::ofstream(step.take("path").get<std::string>(), std::ios::binary) << bytes;
    } else {
      dbc_cache *cache = handles_.at(name).cache;
      if (op == "close") {
        answered(dbc_close(cache), &expect);
      } else if (op == "put") {
        std::string value = bytes_of(step.take("value"));
        unsigned flags = step.take("text", false).get<bool>() ? DBC_TEXT : 0;
        int status = dbc_put(cache, key.data(), key.size(), value.data(), value.size(), flags, at, &number);
        if (answered(status, &expect)) {
          // Written behind and then flushed, a put is as one that was written through.
          if (everywhere_.contains("write_mode"))
            check_equal("status of flush", status_of(dbc_flush(cache)), {"DBC_OK"});
          remember(step.take("remember"), number);
          check_version(number, &expect);
        }
      } else if (op == "get") {
        get(cache, key, at, &step, &expect);
      } else if (op == "get_into") {
        get_into(cache, key, at, &step, &expect);
      } else if (op == "delete") {
        answered(dbc_delete(cache, key.data(), key.size()), &expect);
      } else if (op == "exists") {
        answered(dbc_exists(cache, key.data(), key.size(), at), &expect);
      } else if (op == "tier") {
        int status = DBC_OK;
        std::string tier = tier_of(cache, key, at, &status);
        if (answered(status, &expect)) check_equal("tier", tier, expect.take("tier").get<std::string>());
      } else if (op == "tiers") {
        tiers(cache, at, &expect);
      } else if (op == "put_many") {
        put_many(cache, at, &step, &expect);
      } else if (op == "get_many") {
        get_many(cache, at, &step, &expect);
      } else if (op == "delete_many") {
        Packed keys(step.take("keys"));
        int status = dbc_delete_many(cache, keys.sizes.size(), keys.bytes.data(), keys.sizes.data(), &number);
        if (answered(status, &expect)) check_equal("count", number, expect.take("count").get<uint64_t>());
      } else if (op == "clear") {
        answered(dbc_clear(cache), &expect);
      } else if (op == "clear_memory") {
        answered(dbc_clear_memory(cache), &expect);
      } else if (op == "flush") {
        answered(dbc_flush(cache), &expect);
      } else if (op == "purge_expired") {
        if (answered(dbc_purge_expired(cache, at, &number), &expect))
          check_equal("count", number, expect.take("count").get<uint64_t>());
      } else if (op == "count") {
        if (answered(dbc_count(cache, &number), &expect))
          check_equal("count", number, expect.take("count").get<uint64_t>());
      } else if (op == "total_size") {
        if (answered(dbc_total_size(cache, &number), &expect))
          check_equal("bytes", number, expect.take("bytes").get<uint64_t>());
      } else if (op == "stats") {
        stats(cache, &expect);
      } else if (op == "check") {
        unsigned flags = step.take("repair", false).get<bool>() ? DBC_CHECK_REPAIR : 0;
        if (answered(dbc_check(cache, flags, nullptr, 0, &number), &expect))
          check_equal("problems", number, expect.take("problems").get<uint64_t>());
      } else if (op == "discard") {
        uint64_t version = versions_.at(step.take("version"));
        answered(dbc_discard(cache, key.data(), key.size(), version, step.take("was_memory_hit")), &expect);
      } else if (op == "dropped") {
        dropped(cache, &expect);
      } else {
        throw Failure("unknown operation " + op);
      }
    }
    if (expect.has("error") || expect.has("error_part")) throw Failure("the step did not fail");
    expect.check_none_left("expect");
    step.check_none_left("the step");
  }

  const Json &case_, &everywhere_;
  std::map<std::string, Handle> handles_;
  std::map<std::string, uint64_t> versions_;
};

// Runs a case in a folder of its own; what failed, or an empty text.
std::string failure_of(const Json &test, const Json &everywhere) {
  char folder[] = "/tmp/dbc-cases-XXXXXX";
  if (!mkdtemp(folder)) return "no temporary folder";
  std::filesystem::current_path(folder);
  std::string failure;
  try {
    CaseRun(test, everywhere).run();
  } catch (const std::exception &error) {
    failure = error.what();
  }
  std::filesystem::current_path("/");
  std::filesystem::remove_all(folder);
  return failure;
}

}  // namespace

// TAP, as the API tests give it. Arguments select cases by parts of their names; one like write_mode=behind is an
// option of every cache for which the case says nothing else.
int main(int count, char **arguments) {
  std::vector<std::string> parts;
  Json everywhere = Json::object();
  for (const std::string &argument : std::vector<std::string>(arguments + 1, arguments + count)) {
    size_t equals = argument.find('=');
    if (equals == std::string::npos) {
      parts.push_back(argument);
    } else {
      everywhere[argument.substr(0, equals)] = argument.substr(equals + 1);
    }
  }
  std::set<std::string> features = {"bytes", "raw_keys", "versions", "timestamps", "into", "check", "binding"},
                        unused = features;
  const Json table = Json::parse(std::ifstream(CASES_FILE));
  int run = 0, failed = 0;
  for (const Json &test : table["cases"]) {
    std::string name = test["name"];
    bool wanted = parts.empty(), able = true;
    for (const std::string &part : parts) wanted |= name.find(part) != std::string::npos;
    for (const Json &need : test.value("needs", Json::array())) {
      able &= features.contains(need);
      unused.erase(need);
    }
    if (!wanted || !able) continue;
    ++run;
    std::string failure = failure_of(test, everywhere);
    if (failure.empty()) {
      std::printf("ok %s\n", name.c_str());
    } else {
      ++failed;
      std::printf("not ok %s: %s\n", name.c_str(), failure.c_str());
    }
    std::fflush(stdout);
  }
  for (const std::string &feature : unused) {
    ++run, ++failed;
    std::printf("not ok feature_%s: no case needs it\n", feature.c_str());
  }
  std::printf("1..%d\n", run);
  return failed != 0 || run == 0;
}
