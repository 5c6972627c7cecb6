// The worker for C: obeys requests on standard input, one JSON object a line (README.md has the protocol). It does with
// plain calls of dbc.h what the typed caches of the other languages do: records are stored as JSON text.
#include <dbc.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "json_cache.h"

namespace {

using interop::Json;

struct CacheError : std::runtime_error {
  explicit CacheError(int status_) : std::runtime_error(dbc_last_error()), status(status_) {}
  int status;
};

// The status, unless it is an error.
int check(int status) {
  if (status >= DBC_INVALID_ARGUMENT) throw CacheError(status);
  return status;
}

// ---- Records.

// Of an object: only the members of a record, each of its type; throws a Json::exception for what is none.
Json to_record(const Json &object) {
  Json record;
  record["id"] = object.at("id").get<int64_t>();
  record["name"] = object.at("name").get<std::string>();
  record["tags"] = object.at("tags").get<std::vector<std::string>>();
  record["score"] = object.at("score").is_null() ? Json() : Json(object.at("score").get<double>());
  const Json &address = object.at("address");
  record["address"] = Json();
  if (!address.is_null()) {
    record["address"] = {{"city", address.at("city").get<std::string>()},
                         {"zip", address.at("zip").get<std::string>()}};
  }
  return record;
}

Json record_of(const std::string &key, uint64_t number) {
  std::string digits = std::to_string(number);
  Json record = {
      {"id", number}, {"name", key}, {"tags", {"load", digits}}, {"score", double(number) / 2}, {"address", {}}};
  if (number % 2 == 0) record["address"] = {{"city", key}, {"zip", digits}};
  return record;
}

// ---- The cache, as a typed one.

class Records {
 public:
  Records(const std::string &path, const std::string &schema_version, const Json &options) {
    check(interop::open_cache(path, schema_version, options, &cache_));
  }
  ~Records() { dbc_free(cache_); }
  Records(const Records &) = delete;
  Records &operator=(const Records &) = delete;

  void close() { check(dbc_close(cache_)); }

  void put_text(const std::string &key, const std::string &text) {
    check(dbc_put(cache_, key.data(), key.size(), text.data(), text.size(), DBC_TEXT, nullptr, nullptr));
  }
  void put(const std::string &key, const Json &record) { put_text(key, record.dump()); }

  Json get(const std::string &key) {
    dbc_value *value = nullptr;
    if (check(dbc_get(cache_, key.data(), key.size(), nullptr, &value)) == DBC_NOT_FOUND) return nullptr;
    interop::Value owner(value);
    return decode(key, dbc_value_data(value), dbc_value_size(value), dbc_value_version(value));
  }

  void put_many(const Json &items) {
    std::string keys, values;
    std::vector<size_t> key_sizes, value_sizes;
    for (const Json &item : items) {
      std::string key = item[0], value = item[1].dump();
      key_sizes.push_back(key.size());
      value_sizes.push_back(value.size());
      keys += key;
      values += value;
    }
    check(dbc_put_many(cache_, key_sizes.size(), keys.data(), key_sizes.data(), values.data(), value_sizes.data(),
                       DBC_TEXT, nullptr, nullptr));
  }

  Json get_many(const std::vector<std::string> &wanted) {
    std::string keys;
    std::vector<size_t> key_sizes;
    for (const std::string &key : wanted) {
      key_sizes.push_back(key.size());
      keys += key;
    }
    dbc_result *result = nullptr;
    check(dbc_get_many(cache_, wanted.size(), keys.data(), key_sizes.data(), nullptr, nullptr, &result));
    interop::Result owner(result);
    Json records = Json::array();
    for (size_t i = 0; i < wanted.size(); ++i) {
      const void *data = dbc_result_data(result)[i];
      records.push_back(data ? decode(wanted[i], data, dbc_result_sizes(result)[i], dbc_result_versions(result)[i])
                             : Json());
    }
    return records;
  }

  bool remove(const std::string &key) { return check(dbc_delete(cache_, key.data(), key.size())) == DBC_OK; }

  std::string tier(const std::string &key) {
    int tier = DBC_TIER_NONE;
    check(dbc_get_tier(cache_, key.data(), key.size(), nullptr, &tier));
    return tier == DBC_TIER_MEMORY ? "memory" : tier == DBC_TIER_DISK ? "disk" : "none";
  }

  Json stats() {
    Json stats;
    check(interop::stats_of(cache_, &stats));
    return stats;
  }

 private:
  // A value that is no record is removed, and a miss. (Which kind of hit it was counted as is not known here; that
  // matters to statistics only, and the value was put by somebody else: it came from disk.)
  Json decode(const std::string &key, const void *data, size_t size, uint64_t version) {
    try {
      const char *text = static_cast<const char *>(data);
      return to_record(Json::parse(text, text + size));
    } catch (const Json::exception &) {
      check(dbc_discard(cache_, key.data(), key.size(), version, 0));
      return nullptr;
    }
  }

  dbc_cache *cache_ = nullptr;
};

// ---- The load: a writer and a reader.

// Numbers that all processes share; see README.md.
class Board {
 public:
  Board(const std::string &path, size_t slots) : size_(slots * sizeof(uint64_t)) {
    int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    void *memory = file < 0 ? MAP_FAILED : mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) ::close(file);
    if (memory == MAP_FAILED) throw std::runtime_error("cannot map " + path);
    slots_ = static_cast<uint64_t *>(memory);
  }
  ~Board() { munmap(slots_, size_); }
  Board(const Board &) = delete;
  Board &operator=(const Board &) = delete;

  uint64_t load(size_t slot) const { return std::atomic_ref(slots_[slot]).load(std::memory_order_acquire); }
  void store(size_t slot, uint64_t number) { std::atomic_ref(slots_[slot]).store(number, std::memory_order_release); }

 private:
  size_t size_;
  uint64_t *slots_;
};

class Load {
 public:
  Load(Records *records, const Json &request)
      : records_(*records),
        keys_(request.at("keys")),
        own_(request.at("own")),
        rounds_(request.at("rounds")),
        board_(request.at("board"), keys_.size()),
        writer_([this] { guarded(&write_problems_, [this] { write(); }); }),
        reader_([this] { guarded(&read_problems_, [this] { read(); }); }) {}

  ~Load() { finish(); }

  Json finish() {
    if (writer_.joinable()) writer_.join();
    finishing_ = true;
    if (reader_.joinable()) reader_.join();
    std::vector<std::string> problems = write_problems_;
    problems.insert(problems.end(), read_problems_.begin(), read_problems_.end());
    if (problems.size() > kMostProblems) problems.resize(kMostProblems);
    return {{"writes", writes_}, {"reads", reads_}, {"problems", problems}};
  }

 private:
  static constexpr size_t kMostProblems = 10;

  static void guarded(std::vector<std::string> *problems, const std::function<void()> &work) {
    try {
      work();
    } catch (const std::exception &error) {
      problems->insert(problems->begin(), error.what());
    }
  }

  void write() {
    for (uint64_t number = 1; number <= rounds_; ++number) {
      if (number % 10 == 0) {
        Json items = Json::array();
        for (size_t slot : own_) items.push_back({keys_[slot], record_of(keys_[slot], number)});
        records_.put_many(items);
        for (size_t slot : own_) board_.store(slot, number);
      } else {
        for (size_t slot : own_) {
          records_.put(keys_[slot], record_of(keys_[slot], number));
          board_.store(slot, number);
        }
      }
      writes_ += own_.size();
    }
  }

  void read() {
    std::vector<uint64_t> seen(keys_.size());
    while (!finishing_) {
      for (size_t slot = 0; slot < keys_.size(); ++slot) {
        uint64_t before = board_.load(slot);
        Json record = records_.get(keys_[slot]);
        ++reads_;
        if (is_problem(slot, record, before, &seen[slot]) && read_problems_.size() < kMostProblems)
          read_problems_.push_back(keys_[slot] + ": after " + std::to_string(before) + " and having seen " +
                                   std::to_string(seen[slot]) + " there was " + record.dump());
      }
    }
  }

  bool is_problem(size_t slot, const Json &record, uint64_t before, uint64_t *seen) const {
    if (record.is_null()) return before > 0;
    uint64_t number = record["id"];
    if (number < before || number < *seen || record != record_of(keys_[slot], number)) return true;
    *seen = number;
    return false;
  }

  Records &records_;
  const std::vector<std::string> keys_;
  const std::vector<size_t> own_;
  const uint64_t rounds_;
  Board board_;
  uint64_t writes_ = 0, reads_ = 0;
  std::vector<std::string> write_problems_, read_problems_;
  std::atomic<bool> finishing_ = false;
  std::thread writer_, reader_;  // last: they use all of the above
};

// ---- Requests.

class Worker {
 public:
  Json answer(const Json &request) {
    std::string op = request.at("op");
    if (op == "hello") return {{"language", "c"}, {"library", dbc_version_text()}};
    if (op == "open") {
      load_.reset();
      records_ = std::make_unique<Records>(request.at("path"), request.at("schema_version"),
                                           request.value("options", Json::object()));
      return Json::object();
    }
    if (!records_) throw std::invalid_argument("nothing is open");
    Records &records = *records_;
    if (op == "put") return records.put(request.at("key"), to_record(request.at("record"))), Json::object();
    if (op == "put_text") return records.put_text(request.at("key"), request.at("text")), Json::object();
    if (op == "get") return {{"record", records.get(request.at("key"))}};
    if (op == "put_many") {
      Json items = Json::array();
      for (const Json &item : request.at("items")) items.push_back({item.at(0), to_record(item.at(1))});
      return records.put_many(items), Json::object();
    }
    if (op == "get_many") return {{"records", records.get_many(request.at("keys"))}};
    if (op == "delete") return {{"removed", records.remove(request.at("key"))}};
    if (op == "tier") return {{"tier", records.tier(request.at("key"))}};
    if (op == "stats") return {{"stats", records.stats()}};
    if (op == "start_load") return load_ = std::make_unique<Load>(&records, request), Json::object();
    if (op == "finish_load" && load_) return load_->finish();
    if (op == "churn") {
      for (uint64_t round = 1; round <= request.at("rounds").get<uint64_t>(); ++round) churn(&records, round);
      return Json::object();
    }
    if (op == "close") return records.close(), Json::object();
    throw std::invalid_argument("not understood: " + request.dump());
  }

 private:
  static void churn(Records *records, uint64_t round) {
    std::vector<std::string> keys;
    Json items = Json::array();
    for (int i = 0; i < 100; ++i) {
      keys.push_back("churn:" + std::to_string(i));
      items.push_back({keys.back(), record_of(keys.back(), round)});
    }
    records->put_many(items);
    for (const std::string &key : keys) records->get(key);
    records->get_many(keys);
    records->put(keys[0], record_of(keys[0], round));
    records->get("churn:absent");
    records->remove("churn:absent");
  }

  std::unique_ptr<Records> records_;
  std::unique_ptr<Load> load_;
};

}  // namespace

int main() {
  Worker worker;
  for (std::string line; std::getline(std::cin, line);) {
    Json answer;
    try {
      answer = worker.answer(Json::parse(line));
      answer["ok"] = true;
    } catch (const CacheError &error) {
      answer = {{"ok", false}, {"error", dbc_status_name(error.status)}, {"message", error.what()}};
    } catch (const std::exception &error) {
      answer = {{"ok", false}, {"error", "DBC_INVALID_ARGUMENT"}, {"message", error.what()}};
    }
    std::cout << answer << std::endl;
  }
  return 0;
}
