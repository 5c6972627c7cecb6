// The library beside stores that keep bytes and nothing else: no order of use, no limits, no expiry.
#include "key_value_stores.h"

#include <filesystem>

#include "cases.h"
#include "library.h"
#include "plain_table.h"
#include "results.h"
#include "workload.h"

namespace bench {
namespace {

class Ours : public KeyValueStore {
 public:
  explicit Ours(const std::string &folder, uint64_t memory_items)
      : cache_(folder + "/cache.db", {.memory_items = memory_items}) {}
  void get(const std::string &key, char *buffer, size_t capacity) override { cache_.get(key, buffer, capacity); }
  void put(const std::string &key, const std::string &value) override { cache_.put(key, value); }
  void put_many(const std::vector<std::string> &keys, const std::string &value) override {
    cache_.put_many(keys, value);
  }

 private:
  Library cache_;
};

class Plain : public KeyValueStore {
 public:
  explicit Plain(const std::string &folder) : table_(folder + "/plain.db") {}
  void get(const std::string &key, char *buffer, size_t capacity) override { table_.get(key, buffer, capacity); }
  void put(const std::string &key, const std::string &value) override { table_.put(key, value); }
  void put_many(const std::vector<std::string> &keys, const std::string &value) override { table_.fill(keys, value); }

 private:
  PlainTable table_;
};

}  // namespace

void key_value_stores() {
  std::vector<KeyValuePeer> peers = {
      {"libdbc", [](const std::string &folder) { return std::make_unique<Ours>(folder, 10'000); }},
      {"libdbc, no memory tier", [](const std::string &folder) { return std::make_unique<Ours>(folder, 0); }},
      {"SQLite, plain table", [](const std::string &folder) { return std::make_unique<Plain>(folder); }},
  };
  for (const KeyValuePeer &peer : key_value_peers()) peers.push_back(peer);
  for (const char *name : {"LMDB", "RocksDB", "LevelDB"}) {
    bool there = false;
    for (const KeyValuePeer &peer : peers) there |= std::string(peer.name) == name;
    if (!there) unavailable(std::string("peer ") + name, "its library was not there when the benchmark was built");
  }

  const std::vector<std::string> keys = keys_of(0, kItems);
  const std::string value = letters(kValueSize);
  std::vector<std::unique_ptr<KeyValueStore>> stores;
  for (const KeyValuePeer &peer : peers) {
    std::string folder = path("peer-" + std::to_string(stores.size()));
    std::filesystem::create_directories(folder);
    stores.push_back(peer.open(folder));
    for (size_t i = 0; i < keys.size(); i += kBatch) {
      auto from = keys.begin() + static_cast<ptrdiff_t>(i);
      stores.back()->put_many({from, from + kBatch}, value);
    }
  }
  constexpr uint64_t kMask = (1 << 20) - 1;
  const Sequence skewed = zipf(kItems, kSkew, 1 << 20, 18);
  char buffer[kValueSize];
  repeat([&](int repetition) {
    uint64_t at = static_cast<uint64_t>(repetition) * 50'000;
    auto key = [&](uint64_t i) -> const std::string & { return keys[skewed[(at + i) & kMask]]; };
    std::vector<std::vector<std::string>> batches;
    for (uint64_t i = 0; i < 10; ++i) {
      std::vector<std::string> batch;
      for (uint64_t k = 0; k < kBatch; ++k) batch.push_back(keys[(at + i * 7919 + k * 101) % kItems]);
      batches.push_back(std::move(batch));
    }
    for (size_t i = 0; i < peers.size(); ++i) {
      KeyValueStore &store = *stores[i];
      const std::string name = peers[i].name;
      measure("peer get, " + name, 50'000, [&](uint64_t k) { store.get(key(k), buffer, kValueSize); });
      measure("peer put, " + name, 5000, [&](uint64_t k) { store.put(key(k), value); });
      measure(
          "peer put_many, " + name, 10, [&](uint64_t k) { store.put_many(batches[k], value); }, kBatch);
    }
  });
}

}  // namespace bench
