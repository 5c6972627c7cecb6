// RandomRun: random operations from a seed, done by the library and by the oracle alike, with everything compared that
// can be seen: answers, statistics, both tiers in their order, the file, and what a binding is told to let go.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/handle.h"
#include "dbc.h"
#include "oracle.h"

namespace dbc::model {

inline constexpr double kForever = std::numeric_limits<double>::infinity();
inline constexpr uint64_t kUnlimited = 1u << 30;
// So long ago that nothing is expired then: a get_many at that time reads everything and changes nothing.
inline constexpr double kDawn = -1e300;

struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline std::string text_of(double number) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", number);
  return text;
}
inline std::string text_of(uint64_t number) { return std::to_string(number); }
inline std::string text_of(int number) { return std::to_string(number); }
inline std::string text_of(const std::string &bytes) {
  std::string text = "'";
  for (unsigned char byte : bytes.substr(0, 40)) {
    char escape[8];
    std::snprintf(escape, sizeof escape, byte < 0x20 || byte > 0x7E ? "\\x%02x" : "%c", byte);
    text += escape;
  }
  return text + "'(" + std::to_string(bytes.size()) + ")";
}
inline std::string text_of(const Answer &answer) {
  return std::string(dbc_status_name(answer.status)) + " tier " + text_of(answer.tier) + " value " +
         text_of(answer.value) + (answer.text ? " text" : "") + " version " + text_of(answer.version) + " timestamp " +
         text_of(answer.timestamp);
}

template <typename Value>
void expect_equal(const Value &expected, const Value &actual, const std::string &what) {
  if (expected == actual) return;
  throw Mismatch(what + "\n    expected " + text_of(expected) + "\n    actual   " + text_of(actual));
}

inline void expect_status(int expected, int actual, const std::string &what) {
  if (expected == actual) return;
  throw Mismatch(what + ": expected " + dbc_status_name(expected) + ", got " + dbc_status_name(actual) +
                 (actual >= DBC_INVALID_ARGUMENT ? std::string(": ") + dbc_last_error() : ""));
}

// As dbc_check sees it: structure, items, order, counts.
inline void expect_sound(dbc_cache *cache) {
  std::string report(2000, 0);
  uint64_t problems = 0;
  expect_status(DBC_OK, dbc_check(cache, 0, report.data(), report.size(), &problems), "check");
  if (problems > 0) throw Mismatch("check: " + report.substr(0, report.find('\0')));
}

// One state of one key in a tier, for comparing tiers in LRU order.
struct Row {
  std::string key;
  uint64_t version;
  uint64_t size;
  double timestamp;
  std::string value;

  bool operator==(const Row &) const = default;
};

inline std::string text_of(const std::vector<Row> &rows) {
  std::string text;
  for (const Row &row : rows) {
    text += "\n      " + text_of(row.key) + " version " + text_of(row.version) + " size " + text_of(row.size) +
            " timestamp " + text_of(row.timestamp) + " value " + text_of(row.value);
  }
  return text;
}

inline void sort_by_age(std::vector<Row> *rows) {
  std::sort(rows->begin(), rows->end(), [](const Row &left, const Row &right) {
    return std::pair(left.timestamp, std::string_view(left.key)) <
           std::pair(right.timestamp, std::string_view(right.key));
  });
}

// To be freed by the caller.
inline dbc_options *options_of(const Settings &settings) {
  dbc_options *options = dbc_options_new();
  dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, settings.max_memory_items);
  dbc_options_set_u64(options, DBC_MAX_MEMORY_SIZE_BYTES, settings.max_memory_size_bytes);
  dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, settings.max_disk_items);
  dbc_options_set_u64(options, DBC_MAX_DISK_SIZE_BYTES, settings.max_disk_size_bytes);
  dbc_options_set_u64(options, DBC_MAX_ITEM_SIZE_BYTES, settings.max_item_size_bytes);
  dbc_options_set_double(options, DBC_MEMORY_TTL_SECONDS, settings.memory_ttl_seconds);
  dbc_options_set_double(options, DBC_DISK_TTL_SECONDS, settings.disk_ttl_seconds);
  dbc_options_set_u64(options, DBC_MEMORY_VALUES, settings.memory_values ? 1 : 0);
  dbc_options_set_u64(options, DBC_WRITE_MODE, settings.write_behind ? DBC_WRITE_BEHIND : DBC_WRITE_THROUGH);
  dbc_options_set_u64(options, DBC_DURABILITY, settings.durability);
#ifdef DBC_WITH_ZSTD
  dbc_options_set_u64(options, DBC_COMPRESSION, settings.compression ? DBC_COMPRESSION_ZSTD : DBC_COMPRESSION_NONE);
#endif
  dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, settings.touch_delay_seconds);
  return options;
}

inline dbc_cache *open_cache(const std::string &path, const Settings &settings) {
  dbc_options *options = options_of(settings);
  dbc_cache *cache = nullptr;
  dbc_status status = dbc_open(path.c_str(), settings.schema.c_str(), options, &cache);
  dbc_options_free(options);
  expect_status(DBC_OK, status, "open");
  return cache;
}

// Where choices come from: a seed, or bytes that somebody else has chosen (tests/fuzz), two for each choice.
class Choices {
 public:
  using result_type = uint64_t;
  Choices(uint64_t seed, std::string_view bytes) : random_(seed), bytes_(bytes), chosen_(!bytes.empty()) {}

  static constexpr uint64_t min() { return std::mt19937_64::min(); }
  static constexpr uint64_t max() { return std::mt19937_64::max(); }
  uint64_t operator()() {
    if (bytes_.size() < 2) return random_();
    uint64_t pair = static_cast<unsigned char>(bytes_[0]) | uint64_t{static_cast<unsigned char>(bytes_[1])} << 8;
    bytes_.remove_prefix(2);
    return hash_bytes({reinterpret_cast<const char *>(&pair), sizeof pair});
  }
  bool exhausted() const { return chosen_ && bytes_.size() < 2; }

 private:
  std::mt19937_64 random_;
  std::string_view bytes_;
  const bool chosen_;
};

class RandomRun {
 public:
  struct Plan {
    uint64_t seed = 1;
    uint64_t operations = 2000;
    int handles = 1;
    std::string path = ":memory:";
    uint64_t durability = DBC_DURABILITY_OFF;
    std::string_view choices = {};  // in place of the seed; the run ends with them
  };

  explicit RandomRun(const Plan &plan) : plan_(plan), random_(plan.seed, plan.choices) {
    base_ = random_settings(true);
    make_keys();
    if (maybe(3)) now_ = 1.7e9;
    if (maybe(8)) now_ = -5;
    sides_.resize(static_cast<size_t>(plan.handles));
    for (Side &side : sides_) open(side, plan_.handles > 1 ? random_settings(false) : base_);
  }
  ~RandomRun() {
    for (Side &side : sides_) dbc_free(side.cache);
  }
  RandomRun(const RandomRun &) = delete;
  RandomRun &operator=(const RandomRun &) = delete;

  // Throws Mismatch.
  void run() {
    for (done_ = 0; done_ < plan_.operations && !random_.exhausted(); ++done_) {
      step();
      compare_statistics();
      compare_memory();
      if (done_ % 16 == 15) dump();
      if (!side().oracle->settings().memory_values && maybe(4)) drain();
    }
    note("end");
    dump();
    flush();
    for (Side &each : sides_) {
      expect_status(DBC_OK, dbc_close(each.cache), "close");
    }
    compare_file("PRAGMA integrity_check");
  }

  std::string report() const {
    std::string text = "seed " + std::to_string(plan_.seed) + ", " + std::to_string(plan_.handles) + " handle(s), " +
                       plan_.path + ", after " + std::to_string(done_) + " operations; the last of them:\n";
    for (const std::string &line : history_) text += "  " + line + "\n";
    for (size_t i = 0; i < keys_.size(); ++i) text += "  k" + std::to_string(i) + " = " + text_of(keys_[i]) + "\n";
    return text;
  }
  uint64_t done() const { return done_; }
  // Rows with a compressed value in a file that was looked at.
  uint64_t compressed_seen() const { return compressed_seen_; }

 private:
  // A handle, its oracle, and the versions of the objects that a binding would hold for it.
  struct Side {
    dbc_cache *cache = nullptr;
    std::unique_ptr<Oracle> oracle;
    std::set<uint64_t> held;
  };

  // --------------------------------------------------------------------------------------- random input ------

  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool maybe(uint64_t one_in) { return below(one_in) == 0; }
  template <typename Value>
  Value one_of(std::initializer_list<Value> values) {
    return values.begin()[below(values.size())];
  }

  Settings random_settings(bool everything) {
    Settings s = everything ? Settings{} : base_;
    s.max_memory_items = maybe(6) ? 0 : maybe(6) ? kUnlimited : 1 + below(8);
    s.max_memory_size_bytes = maybe(4) ? kUnlimited : maybe(10) ? 0 : 1 + below(120);
    s.max_item_size_bytes = maybe(4) ? kUnlimited : below(50);
    s.max_disk_items = maybe(4) ? kUnlimited : 1 + below(14);
    s.max_disk_size_bytes = maybe(3) ? kUnlimited : 1 + below(250);
    s.memory_ttl_seconds = maybe(3) ? kForever : maybe(2) ? 1 + static_cast<double>(below(20)) : 3.7;
    s.disk_ttl_seconds = maybe(3) ? kForever : maybe(2) ? 1 + static_cast<double>(below(40)) : 12.3;
    s.touch_delay_seconds = one_of({0.0005, 0.01, 1.0, 3600.0});
    if (everything) s.memory_values = !maybe(3);
    s.write_behind = maybe(4);
    s.schema = maybe(6) ? "2" : "1";
    s.durability = plan_.durability;
    s.compression = maybe(2);
    return s;
  }

  void make_keys() {
    size_t count = 8 + below(33);
    for (size_t i = 0; i < count; ++i) keys_.push_back("key:" + std::to_string(i));
    // Borders of the order and of the length; U+FFFD sorts before U+1F511 by code point, though not in UTF-16.
    std::string clef = "\xF0\x9F\x94\x91", longest, widest;
    for (int i = 0; i < 256; ++i) longest += 'x', widest += clef;
    const std::string special[] = {"\xC3\xA9", "\xE6\x97\xA5\xE6\x9C\xAC",
                                   clef,       "\xEF\xBF\xBD",
                                   longest,    widest,
                                   "key",      "'\"\\%s",
                                   "\x01",     " ",
                                   "key:1 ",   "\x7F"};
    for (const std::string &key : special) {
      if (maybe(2)) keys_[below(keys_.size())] = key;
    }
    std::sort(keys_.begin(), keys_.end());
    keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
    std::shuffle(keys_.begin(), keys_.end(), random_);
  }

  const std::string &random_key() { return keys_[below(keys_.size())]; }
  std::string name_of(const std::string &key) const {
    return "k" + std::to_string(std::find(keys_.begin(), keys_.end(), key) - keys_.begin());
  }
  std::vector<std::string> random_keys() {
    std::vector<std::string> keys(maybe(8) ? below(2 * keys_.size()) : below(6));
    for (std::string &key : keys) key = random_key();
    return keys;
  }

  std::string random_value(bool text) {
    const Settings &s = side().oracle->settings();
    uint64_t size = 0;
    switch (below(8)) {
      case 0:
        size = below(3);
        break;
      case 1:
        size = s.max_item_size_bytes + below(3);
        break;
      case 2:
        size = s.max_memory_size_bytes + below(2);
        break;
      case 3:
        size = s.max_disk_size_bytes - below(2);
        break;
      case 4:
        size = below(40);
        break;
      case 5:
        size = maybe(20) ? 5000 : maybe(2) ? 64 + below(100) : 7;
        break;
      default:
        size = 1 + below(12);
        break;
    }
    if (size > 10'000) size = below(60);
    size = std::min(size, s.max_disk_size_bytes);
    // No two values are alike, but for the shortest. Some can be compressed, some cannot.
    std::string value = std::to_string(++values_made_);
    value.resize(size, text ? '.' : '\xFE');
    if (!text && maybe(2)) {
      for (size_t i = std::min<size_t>(size, 20); i < size; ++i) value[i] = static_cast<char>(random_());
    }
    return value;
  }

  double random_time() {
    const Settings &s = side().oracle->settings();
    double before = now_;
    switch (below(plan_.handles > 1 ? 12 : 20)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        break;
      case 5:
      case 6:
        now_ += 1;
        break;
      case 7:
        now_ += std::ldexp(static_cast<double>(below(1024)), -12);
        break;
      case 8:
        now_ = std::nextafter(now_, kForever);
        break;
      case 9:
        if (maybe(4)) now_ += static_cast<double>(below(30));
        break;
      case 10: {
        // On the border of a TTL, from either side.
        double ttl = maybe(2) ? s.memory_ttl_seconds : s.disk_ttl_seconds;
        if (disk_.empty() || std::isinf(ttl)) break;
        auto item = std::next(disk_.begin(), static_cast<std::ptrdiff_t>(below(disk_.size())));
        double border = item->second.timestamp + ttl;
        if (maybe(2)) border = std::nextafter(border, kForever);
        now_ = plan_.handles > 1 ? std::max(now_, border) : border;
        break;
      }
      case 11:
        if (maybe(30)) now_ += 1000;
        break;
      // What follows goes back in time: for this call, or for good.
      case 12:
      case 13:
        return now_ - 1;
      case 14:
        return now_ - static_cast<double>(below(20));
      case 15:
        now_ -= 1;
        break;
      case 16:
        return std::nextafter(now_, -kForever);
      case 17:
        if (maybe(20)) return -static_cast<double>(below(100));
        break;
      case 18:
        if (maybe(100)) now_ -= 1000;
        break;
      default:
        now_ += 0.25;
        break;
    }
    // Timestamps so far apart that a second is lost in rounding are not what this is about.
    if (!(std::abs(now_) < 1e12)) now_ = before;
    return now_;
  }

  // A version to hold: the right one, one of long ago, or none.
  uint64_t random_held(const std::string &key) {
    auto stored = disk_.find(key);
    if (stored != disk_.end() && !maybe(3)) return stored->second.version;
    if (maybe(2)) return 0;
    return last_version_ > 0 ? last_version_ - below(50) : 7;
  }

  // ------------------------------------------------------------------------------------------- operations ----

  Side &side() { return sides_[current_]; }

  void note(std::string line) {
    if (plan_.handles > 1) line = "handle " + std::to_string(current_) + ": " + line;
    history_.push_back(std::move(line));
    if (history_.size() > 40) history_.pop_front();
  }

  void open(Side &side, const Settings &settings) {
    note("open schema " + settings.schema + (settings.memory_values ? "" : " no values in memory") +
         (settings.write_behind ? " write behind" : "") + " memory " + text_of(settings.max_memory_items) + "/" +
         text_of(settings.max_memory_size_bytes) + " disk " + text_of(settings.max_disk_items) + "/" +
         text_of(settings.max_disk_size_bytes) + " item " + text_of(settings.max_item_size_bytes) + " ttl " +
         text_of(settings.memory_ttl_seconds) + "/" + text_of(settings.disk_ttl_seconds) + " touch delay " +
         text_of(settings.touch_delay_seconds) + (settings.compression ? " compressing" : ""));
    side.oracle.reset();
    side.cache = open_cache(plan_.path, settings);
    side.oracle = std::make_unique<Oracle>(settings, &disk_);
    side.held.clear();
  }

  void step() {
    if (plan_.handles > 1 && maybe(4)) change_handle();
    uint64_t dice = below(1000);
    if (dice < 300) {
      get();
    } else if (dice < 520) {
      put();
    } else if (dice < 580) {
      put_many();
    } else if (dice < 680) {
      get_many();
    } else if (dice < 730) {
      remove();
    } else if (dice < 750) {
      remove_many();
    } else if (dice < 850) {
      exists_and_tier();
    } else if (dice < 880) {
      purge_expired();
    } else if (dice < 900) {
      discard();
    } else if (dice < 930) {
      flush();
    } else if (dice < 950) {
      totals();
    } else if (dice < 970) {
      invalid();
    } else if (dice < 980) {
      note("clear_memory");
      side().oracle->clear_memory();
      expect_status(DBC_OK, dbc_clear_memory(side().cache), "clear_memory");
    } else if (dice < 990) {
      note("clear");
      side().oracle->clear();
      expect_status(DBC_OK, dbc_clear(side().cache), "clear");
    } else if (maybe(3)) {
      reopen();
    }
  }

  void change_handle() {
    // Touches of other handles may lag, but not beyond a flush.
    flush();
    current_ = below(sides_.size());
  }

  void take_version(uint64_t version) {
    if (version <= last_version_) {
      throw Mismatch("version " + text_of(version) + " does not follow " + text_of(last_version_));
    }
    last_version_ = version;
    side().held.insert(version);
  }

  void put() {
    bool text = maybe(2);
    const std::string &key = random_key();
    std::string value = random_value(text);
    double now = random_time();
    note("put " + name_of(key) + " size " + text_of(uint64_t{value.size()}) + " at " + text_of(now));
    uint64_t version = 0;
    dbc_status status =
        dbc_put(side().cache, key.data(), key.size(), value.data(), value.size(), text ? DBC_TEXT : 0, &now, &version);
    expect_status(DBC_OK, status, "put");
    take_version(version);
    if (!side().oracle->settings().write_behind) {
      side().oracle->put_many({{key, value}}, text, now, {version});
      return;
    }
    side().oracle->put_behind({key, value}, text, now, version);
    // Until then other handles do not see it, and limits may be exceeded.
    flush();
  }

  // Keys or values end to end, as batches take them.
  struct Packed {
    std::string bytes;
    std::vector<size_t> sizes;
    void add(const std::string &part) {
      bytes += part;
      sizes.push_back(part.size());
    }
  };

  void put_many() {
    bool text = maybe(2);
    double now = random_time();
    std::vector<NewItem> items;
    Packed keys, values;
    std::string line;
    for (const std::string &key : random_keys()) {
      items.push_back({key, random_value(text)});
      keys.add(key);
      values.add(items.back().value);
      line += " " + name_of(key) + ":" + text_of(uint64_t{items.back().value.size()});
    }
    note("put_many" + line + " at " + text_of(now));
    std::vector<uint64_t> versions(items.size());
    dbc_status status =
        dbc_put_many(side().cache, items.size(), keys.bytes.data(), keys.sizes.data(), values.bytes.data(),
                     values.sizes.data(), text ? DBC_TEXT : 0, &now, versions.data());
    expect_status(DBC_OK, status, "put_many");
    for (uint64_t version : versions) take_version(version);
    side().oracle->put_many(items, text, now, versions);
  }

  void get() {
    std::string key = random_key();
    double now = random_time();
    switch (below(3)) {
      case 0:
        note("get " + name_of(key) + " at " + text_of(now));
        get_held(key, 0, now);
        break;
      case 1: {
        uint64_t held = random_held(key);
        note("get_changed " + name_of(key) + " holding " + text_of(held) + " at " + text_of(now));
        get_held(key, held, now);
        break;
      }
      default:
        get_into(key, now);
    }
  }

  Answer get_held(const std::string &key, uint64_t held, double now) {
    dbc_value *value = nullptr;
    Answer actual;
    actual.status = held ? dbc_get_changed(side().cache, key.data(), key.size(), held, &now, &value)
                         : dbc_get(side().cache, key.data(), key.size(), &now, &value);
    Answer expected = side().oracle->get(key, held, now);
    // Which tier it was is seen in the statistics, and what UNCHANGED is about the caller knows.
    actual.tier = expected.tier;
    if (actual.status == DBC_UNCHANGED) actual.version = expected.version, actual.timestamp = expected.timestamp;
    if (value) {
      actual.value.assign(static_cast<const char *>(dbc_value_data(value)), dbc_value_size(value));
      actual.text = dbc_value_is_text(value) != 0;
      actual.version = dbc_value_version(value);
      actual.timestamp = dbc_value_timestamp(value);
      dbc_value_release(value);
    }
    expect_equal(expected, actual, "get");
    if (expected.status != DBC_NOT_FOUND) side().held.insert(expected.version);
    return expected;
  }

  void get_into(const std::string &key, double now) {
    std::string buffer(one_of<size_t>({0, 5, 20, 10'000}), '?');
    note("get_into " + name_of(key) + " capacity " + text_of(uint64_t{buffer.size()}) + " at " + text_of(now));
    size_t size = 1;
    uint64_t version = 1;
    int status =
        dbc_get_into(side().cache, key.data(), key.size(), &now, buffer.data(), buffer.size(), &size, &version);
    Answer expected = side().oracle->get(key, 0, now);
    bool too_small = expected.status == DBC_OK && expected.value.size() > buffer.size();
    expect_status(too_small ? static_cast<int>(DBC_BUFFER_TOO_SMALL) : expected.status, status, "get_into");
    expect_equal(uint64_t{expected.value.size()}, uint64_t{size}, "get_into: size");
    expect_equal(expected.version, version, "get_into: version");
    if (status == DBC_OK) expect_equal(expected.value, buffer.substr(0, size), "get_into: bytes");
    if (expected.status != DBC_NOT_FOUND) side().held.insert(expected.version);
  }

  void get_many() {
    std::vector<std::string> keys = random_keys();
    std::vector<uint64_t> held;
    double now = random_time();
    std::string line;
    bool holding = maybe(2);
    for (const std::string &key : keys) {
      line += " " + name_of(key);
      if (!holding) continue;
      held.push_back(random_held(key));
      line += ":" + text_of(held.back());
    }
    note("get_many" + line + " at " + text_of(now));
    compare_many(keys, held, now);
  }

  void compare_many(const std::vector<std::string> &keys, const std::vector<uint64_t> &held, double now) {
    Packed packed;
    for (const std::string &key : keys) packed.add(key);
    dbc_result *result = nullptr;
    dbc_status status = dbc_get_many(side().cache, keys.size(), packed.bytes.data(), packed.sizes.data(),
                                     held.empty() ? nullptr : held.data(), &now, &result);
    expect_status(DBC_OK, status, "get_many");
    expect_equal(uint64_t{keys.size()}, uint64_t{dbc_result_count(result)}, "get_many: count");
    std::vector<Answer> answers(keys.size());
    std::vector<Answer> expected = side().oracle->get_many(keys, held, now);
    for (size_t i = 0; i < keys.size(); ++i) {
      answers[i].status = dbc_result_statuses(result)[i];
      answers[i].tier = dbc_result_tiers(result)[i];
      answers[i].version = dbc_result_versions(result)[i];
      answers[i].timestamp = dbc_result_timestamps(result)[i];
      answers[i].text = expected[i].text;  // the result does not tell
      const void *data = dbc_result_data(result)[i];
      if ((data != nullptr) != (answers[i].status == DBC_OK))
        throw Mismatch("get_many: data without DBC_OK, or none with it");
      if (data) answers[i].value.assign(static_cast<const char *>(data), dbc_result_sizes(result)[i]);
    }
    dbc_result_free(result);
    for (size_t i = 0; i < keys.size(); ++i) {
      expect_equal(expected[i], answers[i], "get_many: row " + std::to_string(i) + ", " + name_of(keys[i]));
    }
  }

  // All that there is, through the API.
  void dump() { compare_many(keys_, {}, kDawn); }

  void remove() {
    const std::string &key = random_key();
    note("delete " + name_of(key));
    int status = dbc_delete(side().cache, key.data(), key.size());
    expect_status(side().oracle->remove_many({key}) ? DBC_OK : DBC_NOT_FOUND, status, "delete");
  }

  void remove_many() {
    std::vector<std::string> keys = random_keys();
    Packed packed;
    std::string line;
    for (const std::string &key : keys) packed.add(key), line += " " + name_of(key);
    note("delete_many" + line);
    uint64_t removed = 99;
    dbc_status status = dbc_delete_many(side().cache, keys.size(), packed.bytes.data(), packed.sizes.data(), &removed);
    expect_status(DBC_OK, status, "delete_many");
    expect_equal(side().oracle->remove_many(keys), removed, "delete_many: removed");
  }

  void exists_and_tier() {
    const std::string &key = random_key();
    double now = random_time();
    note("exists, tier " + name_of(key) + " at " + text_of(now));
    int tier = -1;
    expect_status(DBC_OK, dbc_get_tier(side().cache, key.data(), key.size(), &now, &tier), "tier");
    int expected = side().oracle->tier(key, now);
    expect_equal(expected, tier, "tier");
    expect_status(expected == DBC_TIER_NONE ? DBC_NOT_FOUND : DBC_OK,
                  dbc_exists(side().cache, key.data(), key.size(), &now), "exists");
  }

  void purge_expired() {
    double now = random_time();
    note("purge_expired at " + text_of(now));
    uint64_t removed = 99;
    expect_status(DBC_OK, dbc_purge_expired(side().cache, &now, &removed), "purge_expired");
    expect_equal(side().oracle->purge_expired(now), removed, "purge_expired: removed");
  }

  // As a binding does whose decoder refuses what a get has just given it.
  void discard() {
    std::string key = random_key();
    double now = random_time();
    uint64_t hits_before = side().oracle->statistics()[DBC_STAT_MEMORY_HITS];
    note("get, then discard " + name_of(key) + " at " + text_of(now));
    Answer answer = get_held(key, 0, now);
    if (answer.status != DBC_OK) return;
    bool memory_hit = side().oracle->statistics()[DBC_STAT_MEMORY_HITS] > hits_before;
    uint64_t version = maybe(3) ? answer.version - 1 : answer.version;  // it may have been replaced meanwhile
    dbc_status status = dbc_discard(side().cache, key.data(), key.size(), version, memory_hit);
    expect_status(DBC_OK, status, "discard");
    side().oracle->discard(key, version, memory_hit);
  }

  void totals() {
    note("count, total_size");
    uint64_t items = 0, bytes = 0;
    expect_status(DBC_OK, dbc_count(side().cache, &items), "count");
    expect_status(DBC_OK, dbc_total_size(side().cache, &bytes), "total_size");
    expect_equal(uint64_t{disk_.size()}, items, "count");
    expect_equal(bytes_of(disk_), bytes, "total_size");
  }

  // What is refused changes nothing, and shows in no statistic.
  void invalid() {
    const std::string &good = random_key();
    std::string bad;
    switch (below(4)) {
      case 0:
        break;
      case 1:
        bad = std::string(257, 'x');
        break;
      case 2:
        bad = one_of({"\xFF", "\xED\xA0\x80", "\xC0\x80", "a\xE6\x97"});
        break;
      default:
        bad = std::string("a\0b", 3);
        break;
    }
    double now = random_time();
    double never = one_of({kForever, -kForever, std::numeric_limits<double>::quiet_NaN()});
    dbc_cache *cache = side().cache;
    uint64_t version = 1, removed = 1;
    dbc_value *value = nullptr;
    dbc_result *result = nullptr;
    int tier = 1;
    int status = 0;
    Packed keys, values;
    size_t count = 1 + below(4), place = below(count);
    for (size_t i = 0; i < count; ++i) {
      keys.add(i == place ? bad : random_key());
      values.add("v");
    }
    std::vector<uint64_t> versions(count, 7);
    uint64_t kind = below(12);
    note("invalid call " + text_of(kind) + ", key " + text_of(bad));
    switch (kind) {
      case 0:
        status = dbc_put(cache, bad.data(), bad.size(), "v", 1, 0, &now, &version);
        break;
      case 1:
        status = dbc_put(cache, good.data(), good.size(), "v", 1, 0, &never, &version);
        break;
      case 2:
        status = dbc_put(cache, good.data(), good.size(), "v", 1, 8, &now, &version);
        break;
      case 3: {
        uint64_t limit = side().oracle->settings().max_disk_size_bytes;
        std::string large(std::min<uint64_t>(limit, 300) + 1, 'v');
        if (large.size() <= limit) return;
        status = dbc_put(cache, good.data(), good.size(), large.data(), large.size(), 0, &now, &version);
        break;
      }
      case 4:
        status = dbc_get(cache, bad.data(), bad.size(), &now, &value);
        break;
      case 5:
        status = dbc_get(cache, good.data(), good.size(), &never, &value);
        break;
      case 6:
        status = dbc_delete(cache, bad.data(), bad.size());
        break;
      case 7:
        status = dbc_exists(cache, good.data(), good.size(), &never);
        break;
      case 8:
        status = dbc_get_tier(cache, bad.data(), bad.size(), &now, &tier);
        break;
      case 9:
        status = dbc_put_many(cache, count, keys.bytes.data(), keys.sizes.data(), values.bytes.data(),
                              values.sizes.data(), 0, &now, versions.data());
        break;
      case 10:
        status = dbc_get_many(cache, count, keys.bytes.data(), keys.sizes.data(), nullptr, &now, &result);
        break;
      default:
        status = dbc_delete_many(cache, count, keys.bytes.data(), keys.sizes.data(), &removed);
    }
    expect_status(DBC_INVALID_ARGUMENT, status, "invalid call " + text_of(kind));
    if (value || result) throw Mismatch("an error left something behind");
    if (kind < 4) expect_equal(uint64_t{0}, version, "version after an error");
    for (uint64_t left : versions) expect_equal(uint64_t{kind == 9 ? 0u : 7u}, left, "versions after an error");
  }

  void flush() {
    note("flush");
    expect_status(DBC_OK, dbc_flush(side().cache), "flush");
    compare_file("PRAGMA quick_check");
  }

  void reopen() {
    note("close");
    expect_status(DBC_OK, dbc_close(side().cache), "close");
    expect_status(DBC_OK, dbc_close(side().cache), "second close");
    uint64_t number = 1;
    expect_status(DBC_CLOSED, dbc_count(side().cache, &number), "count after close");
    expect_equal(uint64_t{0}, number, "count after close");
    dbc_free(side().cache);
    side().cache = nullptr;
    if (plan_.path == ":memory:") {
      disk_.clear();
      last_version_ = 0;
    } else {
      compare_file("PRAGMA quick_check");
    }
    Settings settings = side().oracle->settings();
    if (maybe(2)) settings = random_settings(false);
    if (maybe(4)) settings.memory_values = !settings.memory_values;
    open(side(), settings);
  }

  // ------------------------------------------------------------------------------------------ comparisons ----

  void compare_statistics() {
    Statistics actual{}, expected = side().oracle->statistics();
    size_t count = 0;
    expect_status(DBC_OK, dbc_stats(side().cache, actual.data(), actual.size(), &count), "stats");
    expect_equal(uint64_t{DBC_STAT_COUNT}, uint64_t{count}, "stats: count");
    for (size_t i = 0; i < actual.size(); ++i) expect_equal(expected[i], actual[i], dbc_stat_name(i));
  }

  void compare_memory() {
    const Oracle &oracle = *side().oracle;
    std::vector<Row> expected, actual;
    for (const auto &[key, item] : oracle.memory()) {
      auto stored = disk_.find(key);
      bool current = stored != disk_.end() && stored->second.version == item.version;
      bool bytes = oracle.settings().memory_values && current;
      expected.push_back({key, item.version, item.size, item.timestamp, bytes ? stored->second.value : ""});
    }
    sort_by_age(&expected);
    for (const ItemRef &item : side().cache->session().cache.memory_in_order()) {
      auto stored = disk_.find(std::string(item->key()));
      bool current = stored != disk_.end() && stored->second.version == item->version();
      actual.push_back({std::string(item->key()), item->version(), item->size(), item->timestamp.load(),
                        current ? std::string(item->value()) : ""});
    }
    expect_equal(expected, actual, "the memory tier, next victim first");
  }

  // The file as anyone sees it, and what it says about itself. Only after a flush.
  void compare_file(const char *check) {
    if (plan_.path == ":memory:") return;
    sqlite3 *raw = nullptr;
    int result = sqlite3_open_v2(plan_.path.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
    std::unique_ptr<sqlite3, int (*)(sqlite3 *)> database(raw, sqlite3_close);
    if (result != SQLITE_OK) throw Mismatch("the file cannot be opened");
    sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);

    std::vector<Row> expected, actual;
    for (const auto &[key, item] : disk_) expected.push_back({key, 0, item.value.size(), item.timestamp, item.value});
    sort_by_age(&expected);
    query(raw,
          "SELECT cache.key, cache.timestamp, cache.size, value, schema_version, typeof(value), encoding "
          "FROM cache JOIN item USING (key) ORDER BY cache.timestamp, cache.key",
          [&](sqlite3_stmt *row) {
            std::string value = column(row, 3);
            std::string key = column(row, 0);
            int encoding = sqlite3_column_int(row, 6);
            auto stored = disk_.find(key);
            if (stored != disk_.end()) {
              const DiskItem &item = stored->second;
              expect_equal(item.schema, column(row, 4), "schema version in the file");
              expect_equal(std::string(item.text && encoding == 0 ? "text" : "blob"), column(row, 5),
                           "type of the value");
              if (encoding != 0) {
                expect_equal(item.text ? 1 : 2, encoding, "encoding of a compressed value");
                if (value.size() >= item.value.size()) throw Mismatch("compressed, but no smaller: " + name_of(key));
                value = item.value;  // that it is this one is what reading it shows
                ++compressed_seen_;
              }
            }
            actual.push_back(
                {key, 0, static_cast<uint64_t>(sqlite3_column_int64(row, 2)), sqlite3_column_double(row, 1), value});
          });
    expect_equal(expected, actual, "the file, next victim first");
    query(raw, "SELECT count(*) FROM eviction_order o JOIN cache USING (key) WHERE o.recorded > cache.timestamp",
          [&](sqlite3_stmt *row) {
            expect_equal(0, sqlite3_column_int(row, 0), "items recorded later than their time");
          });
    query(
        raw,
        "SELECT (SELECT count(*) FROM item) - (SELECT count(*) FROM eviction_order o JOIN item ON item.id = o.id AND "
        "item.key = o.key LEFT JOIN usage ON usage.id = item.id "
        "WHERE o.recorded = coalesce(usage.recorded, item.recorded))",
        [&](sqlite3_stmt *row) { expect_equal(0, sqlite3_column_int(row, 0), "items out of the order of eviction"); });
    query(raw, "SELECT (SELECT count(*) FROM eviction_order) - (SELECT count(*) FROM item)", [&](sqlite3_stmt *row) {
      expect_equal(0, sqlite3_column_int(row, 0), "entries in the order without an item");
    });
    query(raw, "SELECT count(*) FROM usage WHERE id NOT IN (SELECT id FROM item)",
          [&](sqlite3_stmt *row) { expect_equal(0, sqlite3_column_int(row, 0), "usage without an item"); });
    query(raw, "SELECT count(*) FROM usage JOIN item USING (id, version) WHERE usage.timestamp < item.timestamp",
          [&](sqlite3_stmt *row) { expect_equal(0, sqlite3_column_int(row, 0), "usage older than the item"); });
    query(raw, check, [&](sqlite3_stmt *row) { expect_equal(std::string("ok"), column(row, 0), check); });
  }

  static std::string column(sqlite3_stmt *row, int index) {
    const void *bytes = sqlite3_column_blob(row, index);
    return bytes ? std::string(static_cast<const char *>(bytes), static_cast<size_t>(sqlite3_column_bytes(row, index)))
                 : "";
  }
  template <typename Function>
  static void query(sqlite3 *database, const char *sql, Function &&function) {
    sqlite3_stmt *raw = nullptr;
    int result = sqlite3_prepare_v2(database, sql, -1, &raw, nullptr);
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt *)> statement(raw, sqlite3_finalize);
    if (result != SQLITE_OK) throw Mismatch(std::string(sql) + ": " + sqlite3_errmsg(database));
    while ((result = sqlite3_step(raw)) == SQLITE_ROW) function(raw);
    if (result != SQLITE_DONE) throw Mismatch(std::string(sql) + ": " + sqlite3_errmsg(database));
  }

  // A binding lets go of what it is told of; what it then holds is exactly what is resident.
  void drain() {
    note("dropped");
    std::vector<uint64_t> versions(1 + below(5));
    size_t count = 0;
    do {
      int overflowed = 1;
      expect_status(DBC_OK, dbc_dropped(side().cache, versions.data(), versions.size(), &count, &overflowed),
                    "dropped");
      expect_equal(0, overflowed, "dropped: overflowed");
      // One that came back and left again may be named twice.
      for (size_t i = 0; i < count; ++i) side().held.erase(versions[i]);
    } while (count == versions.size());
    std::set<uint64_t> resident;
    for (const auto &[key, item] : side().oracle->memory()) resident.insert(item.version);
    for (uint64_t version : side().held) {
      if (!resident.contains(version)) throw Mismatch("held but not resident: version " + text_of(version));
    }
    for (uint64_t version : resident) {
      if (!side().held.contains(version)) throw Mismatch("resident but not held: version " + text_of(version));
    }
  }

  const Plan plan_;
  Choices random_;
  Settings base_;
  std::vector<std::string> keys_;
  Disk disk_;
  std::vector<Side> sides_;
  size_t current_ = 0;
  double now_ = 1000;
  uint64_t last_version_ = 0;
  uint64_t values_made_ = 0;
  uint64_t done_ = 0;
  uint64_t compressed_seen_ = 0;
  std::deque<std::string> history_;
};

}  // namespace dbc::model
