// RocksDB as it comes: its log is written but not synced with every put, as with the library's default.
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstring>

#include "../key_value_stores.h"
#include "../settings.h"

namespace bench {
namespace {

class RocksDb : public KeyValueStore {
 public:
  explicit RocksDb(const std::string &folder) {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB *database = nullptr;
    check(rocksdb::DB::Open(options, folder, &database));
    database_.reset(database);
  }
  void get(const std::string &key, char *buffer, size_t capacity) override {
    rocksdb::PinnableSlice value;
    check(database_->Get({}, database_->DefaultColumnFamily(), key, &value));
    std::memcpy(buffer, value.data(), std::min(value.size(), capacity));
  }
  void put(const std::string &key, const std::string &value) override { check(database_->Put({}, key, value)); }
  void put_many(const std::vector<std::string> &keys, const std::string &value) override {
    rocksdb::WriteBatch batch;
    for (const std::string &key : keys) check(batch.Put(key, value));
    check(database_->Write({}, &batch));
  }

 private:
  static void check(const rocksdb::Status &status) { require(status.ok(), "rocksdb", status.ToString()); }
  std::unique_ptr<rocksdb::DB> database_;
};

const AddPeer add({"RocksDB", [](const std::string &folder) { return std::make_unique<RocksDb>(folder); }});

}  // namespace
}  // namespace bench
