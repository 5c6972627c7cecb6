#include "script.h"

#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "../model/random_run.h"
#include "disk/compression.h"

namespace dbc::faults {
namespace {

using model::Answer;
using model::Disk;
using model::expect_equal;
using model::kDawn;
using model::Mismatch;

// After so many failures a lasting fault ends, so that the run gets through.
constexpr uint64_t kFailuresOfALastingFault = 4;

// What dbc.h says of each group of calls.
const std::set<int> kOpenErrors = {DBC_IO, DBC_FULL, DBC_BUSY, DBC_CORRUPT, DBC_NO_MEMORY};
const std::set<int> kWriteErrors = {DBC_BUSY, DBC_IO, DBC_FULL, DBC_CORRUPT, DBC_NO_MEMORY};
const std::set<int> kReadErrors = {DBC_BUSY, DBC_IO, DBC_FULL, DBC_CORRUPT, DBC_NO_MEMORY};

std::string value_of(char letter, size_t size) {
  std::string value(size, letter);
  for (size_t i = 0; i < size; i += 7) value[i] = static_cast<char>('0' + i % 10);
  return value;
}

// Many keys, and perhaps values, as dbc.h takes them.
struct Packed {
  explicit Packed(const std::vector<std::string> &many) {
    for (const std::string &key : many) add(key, "");
  }
  explicit Packed(const std::vector<model::NewItem> &items) {
    for (const model::NewItem &item : items) add(item.key, item.value);
  }
  void add(const std::string &key, const std::string &value) {
    keys += key;
    values += value;
    key_sizes.push_back(key.size());
    value_sizes.push_back(value.size());
  }
  std::string keys, values;
  std::vector<size_t> key_sizes, value_sizes;
};

std::vector<Answer> take_answers(dbc_result *result) {
  std::vector<Answer> answers;
  for (size_t i = 0; i < dbc_result_count(result); ++i) {
    Answer answer;
    answer.status = dbc_result_statuses(result)[i];
    answer.tier = dbc_result_tiers(result)[i];
    if (answer.status == DBC_OK) {
      answer.value.assign(static_cast<const char *>(dbc_result_data(result)[i]), dbc_result_sizes(result)[i]);
    }
    answer.version = dbc_result_versions(result)[i];
    answer.timestamp = dbc_result_timestamps(result)[i];
    answers.push_back(answer);
  }
  dbc_result_free(result);
  return answers;
}

}  // namespace

Script::Script(const Plan &plan) : plan_(plan) {
  for (int i = 0; i < 14; ++i) keys_.push_back("key" + std::to_string(i));
}

Script::~Script() {
  injector().disarm();
  dbc_free(main_.cache);
  dbc_free(other_.cache);
}

std::string Script::history() const {
  std::string text;
  for (const std::string &line : history_) text += "    " + line + "\n";
  return text;
}

model::Settings Script::settings() const {
  model::Settings settings;
  settings.max_memory_items = plan_.limits == Limits::kDiskOnly ? 0 : 5;
  settings.max_memory_size_bytes = 3000;
  settings.max_item_size_bytes = 2500;
  settings.max_disk_items = plan_.limits == Limits::kMemoryOnly ? 1000 : 10;
  settings.max_disk_size_bytes = plan_.limits == Limits::kMemoryOnly ? 1'000'000 : 90'000;
  settings.memory_ttl_seconds = 100;
  settings.disk_ttl_seconds = 1000;
  settings.touch_delay_seconds = 3600;  // a thread that writes them meanwhile would make each run another
  return settings;
}

// A handle that could not have the shared file goes on without, and gives way to one that can: then it is to be opened
// anew.
void Script::share_again() {
  if (plan_.lasting || std::none_of(warnings_.begin(), warnings_.end(), [](const std::string &line) {
        return line.find("nothing can be shared") != std::string::npos;
      })) {
    return;
  }
  close(main_);
  open(main_, file_, "1");
}

// -------------------------------------------------------------------------------------------------------- the run ----

void Script::run() {
  Spared spared;
  std::filesystem::create_directories(plan_.folder);
  injector().arm(plan_.fault, plan_.k, plan_.lasting);
  first_life();
  second_life();
  third_life();
  fourth_life();
  epilogue();
}

// A new file, all calls, two handles.
void Script::first_life() {
  open(main_, "cache.db", "1");
  put(main_, "key13", value_of('z', 10), 0.5);
  put(main_, "key0", value_of('a', 10), 1);
  put(main_, "key1", value_of('b', 20'000), 2);
  put(main_, "key2", "", 3);
  put(main_, "key3", value_of('d', 2000), 4);
  put(main_, "key4", value_of('e', 900), 5);
  get(main_, "key0", 6);
  get(main_, "key1", 7);
  get(main_, "missing", 7);
  put(main_, "key3", value_of('f', 30'000), 8);
  put(main_, "key0", value_of('g', 11), 9);
  clear_memory(main_);
  get(main_, "key4", 10);
  get_many(main_, {"key0", "key1", "missing", "key4"}, 11);
  tier(main_, "key1", 11);
  flush(main_);
  put_many(main_,
           {{"key5", value_of('h', 10)},
            {"key6", value_of('i', 5000)},
            {"key7", value_of('j', 700)},
            {"key8", value_of('k', 1)},
            {"key9", value_of('l', 100)}},
           12);
  get(main_, "key2", 13);
  put_many(main_, {{"key10", value_of('m', 40'000)}, {"key11", value_of('n', 3)}, {"key11", value_of('o', 4)}}, 14);
  share_again();
  open(other_, "cache.db", "1");
  get(other_, "key2", 15);
  put(other_, "key2", value_of('p', 50), 16);
  get(main_, "key2", 17);
  remove(other_, "key11");
  get(main_, "key11", 18);
  remove(main_, "missing");
  remove_many(main_, {"key5", "missing", "key6"});
  get(other_, "key8", 19);
  close(other_);
  discard(main_, "key9");
  counts(main_);
  put(main_, "key12", value_of('q', 60), 20);
  get(main_, "key12", 170);  // too old for memory
  get(main_, "key8", 1110);  // and for the disk
  get_many(main_, {"key3", "key10", "key12"}, 1050);
  purge(main_, plan_.limits == Limits::kMemoryOnly ? 1001 : 1010);
  counts(main_);
  copy_as_after_a_crash("crashed.db");
  get(main_, "key12", 300);
  close(main_);
  check_file("cache.db");
}

// After a crash, with a WAL.
void Script::second_life() {
  touches_unwritten_ = true;
  open(main_, "crashed.db", "1");
  put(main_, "key0", value_of('r', 10'000), 301);
  get(main_, "key3", 302);
  get(main_, "key2", 303);
  clear(main_);
  put(main_, "key1", value_of('s', 100), 304);
  put(main_, "key2", value_of('t', 25'000), 305);
  get(main_, "key1", 306);
  flush(main_);
  counts(main_);
  close(main_);
  check_file("crashed.db");
}

// Again, and under another schema version.
void Script::third_life() {
  open(main_, "crashed.db", "1");
  get(main_, "key1", 307);
  get(main_, "key2", 308);
  close(main_);
  open(main_, "crashed.db", "2");
  get(main_, "key1", 309);
  put(main_, "key1", value_of('u', 5), 310);
  close(main_);
}

// On a file that is none: it is moved aside.
void Script::fourth_life() {
  std::ofstream(path("damaged.db")) << std::string(10'000, 'x');
  disk_.clear();
  created_ = false;
  open(main_, "damaged.db", "1");
  put(main_, "key0", value_of('v', 5), 311);
  get(main_, "key0", 312);
  close(main_);
}

// The fault is gone.
void Script::epilogue() {
  injector().disarm();
  check_file(file_);
  open(main_, file_, "1");
  put(main_, "key0", value_of('w', 5), 313);
  verify(main_);
  close(main_);
  check_file(file_);
}

// ---------------------------------------------------------------------------------------------------------- calls ----

void Script::note(const std::string &what, dbc_status status) {
  history_.push_back(what + ": " + dbc_status_name(status) +
                     (status >= DBC_INVALID_ARGUMENT ? std::string(": ") + dbc_last_error() : "") +
                     (injector().armed() && injector().fired() ? "  (after the fault)" : ""));
}

void Script::attempt(Side &side, const std::string &what, const std::set<int> &errors, const Call &call,
                     const std::function<void(dbc_status)> &succeeded) {
  while (true) {
    dbc_status status;
    {
      Exposed exposed;
      status = call();
    }
    note(what, status);
    if (status < DBC_INVALID_ARGUMENT) {
      succeeded(status);
      check_repeated();
      after_call(false);
      return;
    }
    check_error(status, what, errors);
    after_call(true);
    // Under a fault that lasts the run goes on without, unless there is no handle to go on with.
    if (injector().armed() && side.cache) return;
  }
}

void Script::check_error(dbc_status status, const std::string &what, const std::set<int> &errors) {
  ++failures_;
  std::string message = dbc_last_error();
  if (!injector().armed() || !injector().fired()) throw Mismatch(what + " failed without a fault");
  if (!errors.contains(status)) throw Mismatch(what + " failed with an error that is not among those documented");
  // Where nothing can be shared, nobody may move a damaged file aside.
  if (status == DBC_CORRUPT && !plan_.fault.damages && file_ != "damaged.db") {
    throw Mismatch(what + ": no fault damages the file");
  }
  if (message.empty() || (status != DBC_NO_MEMORY && message.find(plan_.folder) == std::string::npos)) {
    throw Mismatch(what + ": the message does not name the file");
  }
}

void Script::after_call(bool failed) {
  if (!injector().armed() || !injector().fired()) return;
  fired_ = true;
  bool over = !plan_.lasting || (failed && (failures_ >= kFailuresOfALastingFault || !main_.cache));
  if (over) injector().disarm();
  for (Side *side : {&main_, &other_}) {
    if (side->cache) verify(*side);
  }
  if (failed && exact()) check_after_a_crash();
}

void Script::open(Side &side, const std::string &name, const std::string &schema) {
  model::Settings s = settings();
  s.schema = schema;
  file_ = name;
  dbc_options *options = model::options_of(s);
  dbc_options_set_double(options, DBC_BUSY_TIMEOUT_SECONDS, 0.002);
  dbc_options_set_u64(options, DBC_DURABILITY, plan_.durability);
  dbc_options_set_u64(options, DBC_COMPRESSION, plan_.compression);
  auto log = [](void *script, int level, const char *message, size_t size) {
    Spared spared;
    if (level >= DBC_LOG_WARNING) static_cast<Script *>(script)->warnings_.emplace_back(message, size);
  };
  dbc_options_set_log(options, log, this, nullptr);
  std::string file = path(name);
  attempt(
      side, "open " + name, kOpenErrors, [&] { return dbc_open(file.c_str(), schema.c_str(), options, &side.cache); },
      [&](dbc_status) {
        side = {side.cache, std::make_unique<model::Oracle>(s, &disk_), 0};
      });
  created_ = true;
  dbc_options_free(options);
  if (touches_unwritten_) verify(side);
  touches_unwritten_ = false;
}

void Script::close(Side &side) {
  dbc_status status;
  {
    Exposed exposed;
    status = dbc_close(side.cache);
  }
  note("close", status);
  if (status != DBC_OK) check_error(status, "close", kWriteErrors);
  // It is closed all the same.
  if (dbc_flush(side.cache) != DBC_CLOSED) throw Mismatch("a closed cache took a call");
  dbc_free(side.cache);
  side.cache = nullptr;
  if (status != DBC_OK) touches_unwritten_ = true;
  after_call(status != DBC_OK);
}

void Script::put(Side &side, const std::string &key, const std::string &value, double time) {
  uint64_t version = 0;
  attempt(
      side, "put " + key, kWriteErrors,
      [&] {
        version = 99;
        return dbc_put(side.cache, key.data(), key.size(), value.data(), value.size(), 0, &time, &version);
      },
      [&](dbc_status) {
        if (version == 0) throw Mismatch("put gave no version");
        acknowledged_[version] = value;
        latest_ = std::max(latest_, time);
        side.oracle->put_many({{key, value}}, false, time, {version});
      });
}

void Script::put_many(Side &side, const std::vector<model::NewItem> &items, double time) {
  Packed packed(items);
  std::vector<uint64_t> versions(items.size());
  attempt(
      side, "put_many " + items.front().key + " ...", kWriteErrors,
      [&] {
        return dbc_put_many(side.cache, items.size(), packed.keys.data(), packed.key_sizes.data(), packed.values.data(),
                            packed.value_sizes.data(), 0, &time, versions.data());
      },
      [&](dbc_status) {
        latest_ = std::max(latest_, time);
        for (size_t i = 0; i < items.size(); ++i) acknowledged_[versions[i]] = items[i].value;
        side.oracle->put_many(items, false, time, versions);
      });
}

void Script::get(Side &side, const std::string &key, double time) {
  dbc_value *value = nullptr;
  attempt(
      side, "get " + key, kReadErrors, [&] { return dbc_get(side.cache, key.data(), key.size(), &time, &value); },
      [&](dbc_status status) {
        Answer actual;
        actual.status = status;
        if (status == DBC_OK) {
          actual.value.assign(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
          actual.version = dbc_value_version(value);
          actual.timestamp = dbc_value_timestamp(value);
        }
        dbc_value_release(std::exchange(value, nullptr));
        Disk before = disk_;
        latest_ = std::max(latest_, time);
        Answer expected = side.oracle->get(key, 0, time);
        take_back_removals(side, before, time);
        actual.tier = expected.tier;  // a value does not tell; the statistics do
        check_answer(expected, actual, "get " + key);
      });
}

void Script::get_many(Side &side, const std::vector<std::string> &keys, double time) {
  Packed packed(keys);
  dbc_result *result = nullptr;
  attempt(
      side, "get_many " + keys.front() + " ...", kReadErrors,
      [&] {
        return dbc_get_many(side.cache, keys.size(), packed.keys.data(), packed.key_sizes.data(), nullptr, &time,
                            &result);
      },
      [&](dbc_status) {
        std::vector<Answer> actual = take_answers(std::exchange(result, nullptr));
        Disk before = disk_;
        std::vector<Answer> expected = side.oracle->get_many(keys, {}, time);
        take_back_removals(side, before, time);
        for (size_t i = 0; i < keys.size(); ++i) check_answer(expected[i], actual.at(i), "get_many " + keys[i]);
      });
}

void Script::tier(Side &side, const std::string &key, double time) {
  int tier = 0;
  attempt(
      side, "tier " + key, kReadErrors, [&] { return dbc_get_tier(side.cache, key.data(), key.size(), &time, &tier); },
      [&](dbc_status) {
        if (exact()) expect_equal(side.oracle->tier(key, time), tier, "tier " + key);
      });
}

void Script::remove(Side &side, const std::string &key) {
  attempt(
      side, "delete " + key, kWriteErrors, [&] { return dbc_delete(side.cache, key.data(), key.size()); },
      [&](dbc_status status) {
        uint64_t removed = side.oracle->remove_many({key});
        if (!plan_.fault.damages) expect_equal(removed, uint64_t{status == DBC_OK}, "delete " + key);
      });
}

void Script::remove_many(Side &side, const std::vector<std::string> &keys) {
  Packed packed(keys);
  uint64_t removed = 0;
  attempt(
      side, "delete_many " + keys.front() + " ...", kWriteErrors,
      [&] { return dbc_delete_many(side.cache, keys.size(), packed.keys.data(), packed.key_sizes.data(), &removed); },
      [&](dbc_status) {
        uint64_t expected = side.oracle->remove_many(keys);
        if (!plan_.fault.damages) expect_equal(expected, removed, "delete_many");
      });
}

void Script::discard(Side &side, const std::string &key) {
  if (!disk_.contains(key)) return;
  uint64_t version = disk_.at(key).version;
  // As a binding does: after a get.
  bool in_memory = side.oracle->tier(key, 19) == DBC_TIER_MEMORY;
  get(side, key, 19);
  attempt(
      side, "discard " + key, kWriteErrors,
      [&] {
        dbc_status status = dbc_discard(side.cache, key.data(), key.size(), version, in_memory);
        Spared spared;
        if (status >= DBC_INVALID_ARGUMENT) side.oracle->count_as_miss(in_memory);
        return status;
      },
      [&](dbc_status) { side.oracle->discard(key, version, in_memory); });
}

void Script::purge(Side &side, double time) {
  uint64_t removed = 0;
  attempt(
      side, "purge_expired", kWriteErrors, [&] { return dbc_purge_expired(side.cache, &time, &removed); },
      [&](dbc_status) {
        uint64_t expected = side.oracle->purge_expired(time);
        if (!plan_.fault.damages) expect_equal(expected, removed, "purge_expired");
      });
}

void Script::clear(Side &side) {
  attempt(
      side, "clear", kWriteErrors, [&] { return dbc_clear(side.cache); }, [&](dbc_status) { side.oracle->clear(); });
}

void Script::clear_memory(Side &side) {
  attempt(
      side, "clear_memory", {DBC_NO_MEMORY}, [&] { return dbc_clear_memory(side.cache); },
      [&](dbc_status) { side.oracle->clear_memory(); });
}

void Script::flush(Side &side) {
  attempt(
      side, "flush", kWriteErrors, [&] { return dbc_flush(side.cache); },
      [&](dbc_status) {
        // With nothing pending the file says what the oracle says.
        if (exact()) check_file(file_);
      });
}

void Script::counts(Side &side) {
  uint64_t items = 0, bytes = 0;
  attempt(
      side, "count", kReadErrors, [&] { return dbc_count(side.cache, &items); },
      [&](dbc_status) {
        if (!plan_.fault.damages) expect_equal(uint64_t{disk_.size()}, items, "count");
      });
  attempt(
      side, "total_size", kReadErrors, [&] { return dbc_total_size(side.cache, &bytes); },
      [&](dbc_status) {
        if (!plan_.fault.damages) expect_equal(model::bytes_of(disk_), bytes, "total_size");
      });
  uint64_t values[DBC_STAT_COUNT];
  attempt(
      side, "stats", kReadErrors, [&] { return dbc_stats(side.cache, values, DBC_STAT_COUNT, nullptr); },
      [&](dbc_status) { verify_statistics(side); });
}

// --------------------------------------------------------------------------------------------------------- checks ----

void Script::check_answer(const Answer &expected, const Answer &actual, const std::string &what) const {
  // What was lost with a file that was given up is a miss. What was deleted may come back, but nothing that never was.
  if (plan_.fault.damages) {
    if (actual.status == DBC_NOT_FOUND) return;
    auto put = acknowledged_.find(actual.version);
    if (put == acknowledged_.end()) throw Mismatch(what + ": a version that no put gave");
    expect_equal(put->second, actual.value, what);
    return;
  }
  Answer wanted = expected;
  if (!exact() && wanted.status == actual.status) wanted.tier = actual.tier;
  // A handle does not know the access times that are pending in the other.
  if ((!exact() || other_.cache) && wanted.status == actual.status) wanted.timestamp = actual.timestamp;
  expect_equal(wanted, actual, what);
}

void Script::take_back_removals(Side &side, const Disk &before, double time) {
  std::vector<std::string> removed;
  for (const auto &[key, item] : before) {
    if (!disk_.contains(key) && time - item.timestamp > settings().disk_ttl_seconds) removed.push_back(key);
  }
  auto told = std::find_if(warnings_.begin(), warnings_.end(),
                           [](const std::string &line) { return line.starts_with("could not remove"); });
  if (told != warnings_.end()) {
    warnings_.erase(told);
    if (!injector().fired()) throw Mismatch("an expired item could not be removed, without a fault");
  } else {
    // Without memory the line that would tell may be lost too: then the file does.
    if (removed.empty() || !memory_unknown() || !injector().fired()) return;
    std::set<std::string> left;
    for (const model::Row &row : read_sound_file(file_)) left.insert(row.key);
    std::erase_if(removed, [&](const std::string &key) { return !left.contains(key); });
  }
  for (const std::string &key : removed) {
    disk_[key] = before.at(key);
    ++side.unremoved;
  }
}

void Script::verify(Side &side) {
  Spared spared;
  // An access that there was no memory to note is forgotten when the item leaves memory: so all leave now.
  if (memory_unknown()) {
    if (dbc_clear_memory(side.cache) != DBC_OK) throw Mismatch("the fault is gone, yet clear_memory failed");
    side.oracle->clear_memory();
  }
  Packed packed(keys_);
  dbc_result *result = nullptr;
  dbc_status status =
      dbc_get_many(side.cache, keys_.size(), packed.keys.data(), packed.key_sizes.data(), nullptr, &kDawn, &result);
  if (status != DBC_OK) throw Mismatch(std::string("the fault is gone, yet get_many failed: ") + dbc_last_error());
  std::vector<Answer> actual = take_answers(result);
  std::vector<Answer> expected = side.oracle->get_many(keys_, {}, kDawn);
  for (size_t i = 0; i < keys_.size(); ++i) {
    if ((touches_unwritten_ || memory_unknown()) && expected[i].status == DBC_OK) {
      if (actual[i].timestamp > latest_) throw Mismatch("an access time from nowhere: " + keys_[i]);
      expected[i].timestamp = actual[i].timestamp;
    }
    check_answer(expected[i], actual[i], "after the fault: " + keys_[i]);
    if (actual[i].status != DBC_OK) disk_.erase(keys_[i]);
    // Which access times were remembered, the library says. A handle does not know what is pending in the other.
    bool adopt = touches_unwritten_ || plan_.fault.damages || memory_unknown();
    if (actual[i].status == DBC_OK && adopt && !other_.cache && disk_.contains(keys_[i])) {
      disk_.at(keys_[i]).timestamp = actual[i].timestamp;
    }
  }
  verify_statistics(side);
}

void Script::verify_statistics(Side &side) {
  Spared spared;
  // A file that was given up took the counters with it.
  if (plan_.fault.damages) return;
  model::Statistics actual;
  if (dbc_stats(side.cache, actual.data(), actual.size(), nullptr) != DBC_OK) {
    throw Mismatch(std::string("the fault is gone, yet stats failed: ") + dbc_last_error());
  }
  model::Statistics expected = side.oracle->statistics();
  expected[DBC_STAT_DISK_EXPIRED] -= side.unremoved;
  if (memory_unknown()) {
    for (model::Statistics *each : {&expected, &actual}) {
      (*each)[DBC_STAT_DISK_HITS] += std::exchange((*each)[DBC_STAT_MEMORY_HITS], 0);
      for (dbc_stat unknown :
           {DBC_STAT_MEMORY_EVICTIONS, DBC_STAT_MEMORY_EXPIRED, DBC_STAT_CURRENT_MEMORY_ITEMS, DBC_STAT_MEMORY_BYTES}) {
        (*each)[unknown] = 0;
      }
    }
  }
  for (size_t i = 0; i < actual.size(); ++i) expect_equal(expected[i], actual[i], dbc_stat_name(i));
}

namespace {

std::string run_query(sqlite3 *database, const char *sql) {
  std::string text;
  char *error = nullptr;
  int result = sqlite3_exec(
      database, sql,
      [](void *out, int columns, char **values, char **) {
        for (int i = 0; i < columns; ++i) {
          *static_cast<std::string *>(out) += std::string(i ? "|" : "") + (values[i] ? values[i] : "NULL");
        }
        *static_cast<std::string *>(out) += "\n";
        return 0;
      },
      &text, &error);
  if (result != SQLITE_OK) text = std::string("error: ") + (error ? error : sqlite3_errstr(result));
  sqlite3_free(error);
  return text;
}

std::string decompressed(const std::string &frame, uint64_t size) {
  std::string value(size, '?');
  bool sound = may_hold(frame, size) && Decompressor().decompress(frame, value.data(), size);
  return sound ? value : "(a value that cannot be decompressed)";
}

std::vector<model::Row> read_items(sqlite3 *database) {
  std::vector<model::Row> rows;
  sqlite3_stmt *query = nullptr;
  sqlite3_prepare_v2(database,
                     "SELECT key, item.version, size, cache.timestamp, data, encoding "
                     "FROM item JOIN cache USING (key, size) ORDER BY key",
                     -1, &query, nullptr);
  while (sqlite3_step(query) == SQLITE_ROW) {
    auto bytes = [&](int column) {
      const void *data = sqlite3_column_blob(query, column);
      return std::string(static_cast<const char *>(data), static_cast<size_t>(sqlite3_column_bytes(query, column)));
    };
    uint64_t size = static_cast<uint64_t>(sqlite3_column_int64(query, 2));
    std::string value = bytes(4);
    if (sqlite3_column_int(query, 5) != 0) value = decompressed(value, size);
    rows.push_back({bytes(0), static_cast<uint64_t>(sqlite3_column_int64(query, 1)), size,
                    sqlite3_column_double(query, 3), value});
  }
  sqlite3_finalize(query);
  return rows;
}

void forget_times(std::vector<model::Row> *rows) {
  for (model::Row &row : *rows) row.timestamp = 0;
}

}  // namespace

std::vector<model::Row> Script::read_sound_file(const std::string &name) {
  sqlite3 *database = nullptr;
  int result = sqlite3_open_v2(path(name).c_str(), &database, SQLITE_OPEN_READWRITE, "unix");
  sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  std::string integrity = run_query(database, "PRAGMA integrity_check");
  std::string counts =
      run_query(database,
                "SELECT coalesce((SELECT value FROM meta WHERE name = 'totals_are_stale'), 0) OR "
                "((SELECT total(items) FROM schema_version) = (SELECT count(*) FROM item) AND "
                "(SELECT total(bytes) FROM schema_version) = (SELECT total(size) FROM item) AND "
                "(SELECT count(*) FROM eviction_order) = (SELECT count(*) FROM item)), "
                "(SELECT count(*) FROM item WHERE encoding = 0 AND size <> length(data)), "
                "(SELECT count(*) FROM eviction_order JOIN item USING (id, key) JOIN cache USING (key) "
                "WHERE eviction_order.recorded > cache.timestamp)");
  std::vector<model::Row> rows = read_items(database);
  compressed_seen_ += std::stoull("0" + run_query(database, "SELECT count(*) FROM item WHERE encoding <> 0"));
  sqlite3_close(database);
  if (result != SQLITE_OK) throw Mismatch(name + " cannot be opened");
  expect_equal(std::string("ok\n"), integrity, "integrity of " + name);
  expect_equal(std::string("1|0|0\n"), counts, "counts of " + name);
  return rows;
}

std::vector<model::Row> Script::expected_items() const {
  std::vector<model::Row> rows;
  for (const auto &[key, item] : disk_) {
    rows.push_back({key, item.version, item.value.size(), item.timestamp, item.value});
  }
  return rows;
}

void Script::check_file(const std::string &name) {
  Spared spared;
  if (plan_.fault.damages) return;  // zeros that were read in place of a page may have been written back
  std::vector<model::Row> actual = read_sound_file(name), expected = expected_items();
  if (!exact()) return;
  if (touches_unwritten_ || other_.cache) forget_times(&expected), forget_times(&actual);
  expect_equal(expected, actual, "items of " + name);
}

void Script::copy_as_after_a_crash(const std::string &to) const {
  for (const char *part : {"", "-wal", "-shm", "-dbc"}) {
    std::filesystem::remove(path(to) + part);
    if (std::filesystem::exists(path(file_) + part)) {
      std::filesystem::copy_file(path(file_) + part, path(to) + part);
    }
  }
}

// The file as it would be if the program ended here: the failed call has changed nothing, unless it failed at the very
// end, when all was written and only the sync, or the index that only this life of the file needs, was lacking. Then
// the call may have happened, as a whole.
void Script::check_after_a_crash() {
  if (!created_) return;
  Spared spared;
  copy_as_after_a_crash("copy.db");
  std::vector<model::Row> actual = read_sound_file("copy.db"), expected = expected_items();
  forget_times(&expected);
  forget_times(&actual);
  check_counts("copy.db", actual);
  bool late = plan_.fault.call == faults::Call::kSync || plan_.fault.call == faults::Call::kMapShared;
  if (actual == expected) return;
  if (!late) expect_equal(expected, actual, "items after a crash");
  for (model::Row &row : actual) row.version = 0;
  if (!plan_.lasting) after_a_crash_ = actual;
}

// The counts are partly in memory that processes share: the library must say what the file holds.
void Script::check_counts(const std::string &name, const std::vector<model::Row> &rows) const {
  uint64_t items = 0, bytes = 0, expected_bytes = 0;
  for (const model::Row &row : rows) expected_bytes += row.size;
  dbc_cache *cache = model::open_cache(path(name), main_.oracle ? main_.oracle->settings() : settings());
  dbc_status status = dbc_count(cache, &items);
  if (status == DBC_OK) status = dbc_total_size(cache, &bytes);
  if (status == DBC_OK) model::expect_sound(cache);
  dbc_free(cache);
  model::expect_status(DBC_OK, status, "counts of " + name);
  expect_equal(uint64_t{rows.size()}, items, "count of " + name);
  expect_equal(expected_bytes, bytes, "total size of " + name);
}

// The failed call has been repeated with success: was it this that the file held?
void Script::check_repeated() {
  if (!after_a_crash_) return;
  std::vector<model::Row> expected = expected_items();
  forget_times(&expected);
  for (model::Row &row : expected) row.version = 0;
  expect_equal(expected, *after_a_crash_, "items after a crash, of a call that failed late");
  after_a_crash_.reset();
}

}  // namespace dbc::faults
