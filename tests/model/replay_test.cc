// A long trace of requests, as a program makes them that asks the cache first and stores what was not there: every
// hit, in memory and on disk, and every miss must be that of an exact LRU. The oracle is two lists and knows nothing
// of the library.
//
//   replay_test                                      a short trace
//   replay_test --requests=5000000 --keys=1000000    a long one (make replay)
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "../bench/native/zipf.h"
#include "dbc.h"

namespace dbc::model {
namespace {

struct Arguments {
  uint64_t requests = 200'000, keys = 50'000;
};
Arguments arguments;

struct Limits {
  uint64_t items = std::numeric_limits<int64_t>::max();
  uint64_t bytes = std::numeric_limits<int64_t>::max();
};

// The textbook's: a list in order of use.
class ExactLru {
 public:
  ExactLru(uint64_t keys, Limits limits) : limits_(limits), places_(keys, order_.end()) {}

  bool contains(uint32_t key) const { return places_[key] != order_.end(); }
  void use(uint32_t key) { order_.splice(order_.end(), order_, places_[key]); }
  void remove(uint32_t key) {
    if (!contains(key)) return;
    bytes_ -= places_[key]->size;
    order_.erase(places_[key]);
    places_[key] = order_.end();
  }
  void add(uint32_t key, uint64_t size) {
    places_[key] = order_.insert(order_.end(), {key, size});
    bytes_ += size;
  }
  bool is_over() const { return order_.size() > limits_.items || bytes_ > limits_.bytes; }
  uint32_t oldest() const { return order_.front().key; }
  uint64_t items() const { return order_.size(); }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    uint32_t key;
    uint64_t size;
  };
  Limits limits_;
  uint64_t bytes_ = 0;
  std::list<Entry> order_;
  std::vector<std::list<Entry>::iterator> places_;
};

struct Counts {
  uint64_t memory_hits = 0, disk_hits = 0, misses = 0, memory_evictions = 0, disk_evictions = 0;
  uint64_t memory_items = 0, disk_items = 0, memory_bytes = 0, disk_bytes = 0;
  bool operator==(const Counts &) const = default;
};
std::ostream &operator<<(std::ostream &out, const Counts &counts) {
  return out << "memory hits " << counts.memory_hits << ", disk hits " << counts.disk_hits << ", misses "
             << counts.misses << ", evictions " << counts.memory_evictions << " and " << counts.disk_evictions
             << ", items " << counts.memory_items << " and " << counts.disk_items << ", bytes " << counts.memory_bytes
             << " and " << counts.disk_bytes;
}

// Two tiers of them: what is in memory is also on disk, and what leaves the disk leaves memory.
class Oracle {
 public:
  Oracle(uint64_t keys, Limits memory, Limits disk) : memory_(keys, memory), disk_(keys, disk) {}

  bool get(uint32_t key, uint64_t size) {
    if (!disk_.contains(key)) {
      ++counts_.misses;
      return false;
    }
    disk_.use(key);
    if (memory_.contains(key)) {
      ++counts_.memory_hits;
      memory_.use(key);
    } else {
      ++counts_.disk_hits;
      into_memory(key, size);
    }
    return true;
  }
  // Only of what is not there.
  void put(uint32_t key, uint64_t size) {
    disk_.add(key, size);
    for (; disk_.is_over(); ++counts_.disk_evictions) {
      memory_.remove(disk_.oldest());
      disk_.remove(disk_.oldest());
    }
    into_memory(key, size);
  }
  Counts counts() const {
    Counts counts = counts_;
    counts.memory_items = memory_.items(), counts.memory_bytes = memory_.bytes();
    counts.disk_items = disk_.items(), counts.disk_bytes = disk_.bytes();
    return counts;
  }

 private:
  void into_memory(uint32_t key, uint64_t size) {
    memory_.add(key, size);
    for (; memory_.is_over(); ++counts_.memory_evictions) memory_.remove(memory_.oldest());
  }

  ExactLru memory_, disk_;
  Counts counts_;
};

class Directory {
 public:
  Directory() : path_(::testing::TempDir() + "/dbc-replay-XXXXXX") {
    if (!mkdtemp(path_.data())) std::abort();
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file() const { return path_ + "/cache.db"; }

 private:
  std::string path_;
};

class Cache {
 public:
  Cache(const std::string &path, Limits memory, Limits disk) {
    dbc_options *options = dbc_options_new();
    dbc_options_set_u64(options, DBC_MAX_MEMORY_ITEMS, memory.items);
    dbc_options_set_u64(options, DBC_MAX_MEMORY_SIZE_BYTES, memory.bytes);
    dbc_options_set_u64(options, DBC_MAX_DISK_ITEMS, disk.items);
    dbc_options_set_u64(options, DBC_MAX_DISK_SIZE_BYTES, disk.bytes);
    for (dbc_option option : {DBC_MEMORY_TTL_SECONDS, DBC_DISK_TTL_SECONDS}) {
      dbc_options_set_double(options, option, std::numeric_limits<double>::infinity());
    }
    // Waiting for the device changes no answer.
    dbc_options_set_u64(options, DBC_DURABILITY, DBC_DURABILITY_OFF);
    // Access times reach the file many times during the trace, also a short one.
    dbc_options_set_double(options, DBC_TOUCH_DELAY_SECONDS, 0.25);
    EXPECT_EQ(dbc_open(path.c_str(), "1", options, &cache_), DBC_OK) << dbc_last_error();
    dbc_options_free(options);
  }
  ~Cache() { dbc_free(cache_); }
  Cache(const Cache &) = delete;
  Cache &operator=(const Cache &) = delete;

  // -1 on an error.
  int get(const std::string &key, double time) {
    dbc_value *value = nullptr;
    dbc_status status = dbc_get(cache_, key.data(), key.size(), &time, &value);
    bool right = status != DBC_OK || key == std::string_view(static_cast<const char *>(dbc_value_data(value)),
                                                             std::min(key.size(), dbc_value_size(value)));
    dbc_value_release(value);
    return !right || status > DBC_NOT_FOUND ? -1 : status == DBC_OK;
  }
  bool put(const std::string &key, uint64_t size, double time) {
    std::string value = key;
    value.resize(size, '.');
    return dbc_put(cache_, key.data(), key.size(), value.data(), size, 0, &time, nullptr) == DBC_OK;
  }
  Counts counts() {
    uint64_t values[DBC_STAT_COUNT] = {};
    EXPECT_EQ(dbc_stats(cache_, values, DBC_STAT_COUNT, nullptr), DBC_OK) << dbc_last_error();
    return {values[DBC_STAT_MEMORY_HITS],        values[DBC_STAT_DISK_HITS],      values[DBC_STAT_MISSES],
            values[DBC_STAT_MEMORY_EVICTIONS],   values[DBC_STAT_DISK_EVICTIONS], values[DBC_STAT_CURRENT_MEMORY_ITEMS],
            values[DBC_STAT_CURRENT_DISK_ITEMS], values[DBC_STAT_MEMORY_BYTES],   values[DBC_STAT_DISK_BYTES]};
  }

 private:
  dbc_cache *cache_ = nullptr;
};

void replay(const char *name, Limits memory, Limits disk) {
  Directory directory;
  Cache cache(directory.file(), memory, disk);
  Oracle oracle(arguments.keys, memory, disk);
  std::mt19937_64 random(1);
  bench::Zipf zipf(arguments.keys, 0.99);
  for (uint64_t request = 1; request <= arguments.requests; ++request) {
    const uint64_t rank = zipf(random);
    const uint32_t number = static_cast<uint32_t>(rank);
    // Sizes and the order of the keys have nothing to do with how often they are asked for.
    const uint64_t scattered = (rank * 0x9E3779B97F4A7C15ull) >> 16;
    const std::string key = "key:" + std::to_string(scattered);
    const uint64_t size = 64 + scattered % 448;
    const double time = static_cast<double>(request);
    const int found = cache.get(key, time);
    ASSERT_EQ(found, oracle.get(number, size) ? 1 : 0)
        << name << ": request " << request << " of " << key << ": " << dbc_last_error();
    if (!found) {
      ASSERT_TRUE(cache.put(key, size, time)) << name << ": request " << request << ": " << dbc_last_error();
      oracle.put(number, size);
    }
    if (request % 1000 == 0 || request == arguments.requests) {
      ASSERT_EQ(cache.counts(), oracle.counts()) << name << ": after request " << request;
    }
  }
  const Counts counts = oracle.counts();
  std::printf("%s: %llu requests: %llu memory hits, %llu disk hits, %llu misses, as the oracle's\n", name,
              static_cast<unsigned long long>(arguments.requests), static_cast<unsigned long long>(counts.memory_hits),
              static_cast<unsigned long long>(counts.disk_hits), static_cast<unsigned long long>(counts.misses));
  // A trace that never evicts, or never finds anything on disk, would show nothing.
  EXPECT_GT(counts.memory_evictions, arguments.requests / 50);
  EXPECT_GT(counts.disk_evictions, arguments.requests / 50);
  EXPECT_GT(counts.memory_hits, arguments.requests / 10);
  EXPECT_GT(counts.disk_hits, arguments.requests / 50);
}

TEST(ReplayTest, HitsAreThoseOfAnExactLruLimitedByItems) {
  replay("by items", {.items = arguments.keys / 100}, {.items = arguments.keys / 10});
}

TEST(ReplayTest, HitsAreThoseOfAnExactLruLimitedByBytes) {
  const uint64_t bytes = arguments.keys * 288;  // of all the values, about
  replay("by bytes", {.bytes = bytes / 100}, {.bytes = bytes / 10});
}

bool read_argument(std::string_view argument, std::string_view name, uint64_t *value) {
  if (!argument.starts_with(name)) return false;
  *value = std::stoull(std::string(argument.substr(name.size())));
  return true;
}

}  // namespace
}  // namespace dbc::model

int main(int count, char **values) {
  using namespace dbc::model;
  ::testing::InitGoogleTest(&count, values);
  for (int i = 1; i < count; ++i) {
    if (!read_argument(values[i], "--requests=", &arguments.requests) &&
        !read_argument(values[i], "--keys=", &arguments.keys)) {
      std::fprintf(stderr, "unknown argument %s\n", values[i]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
