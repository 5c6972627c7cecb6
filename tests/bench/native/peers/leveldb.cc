// LevelDB as it comes: its log is written but not synced with every put, as with the library's default.
#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <cstring>

#include "../key_value_stores.h"
#include "../settings.h"

namespace bench {
namespace {

class LevelDb : public KeyValueStore {
 public:
  explicit LevelDb(const std::string &folder) {
    leveldb::Options options;
    options.create_if_missing = true;
    leveldb::DB *database = nullptr;
    check(leveldb::DB::Open(options, folder, &database));
    database_.reset(database);
  }
  void get(const std::string &key, char *buffer, size_t capacity) override {
    check(database_->Get({}, key, &value_));
    std::memcpy(buffer, value_.data(), std::min(value_.size(), capacity));
  }
  void put(const std::string &key, const std::string &value) override { check(database_->Put({}, key, value)); }
  void put_many(const std::vector<std::string> &keys, const std::string &value) override {
    leveldb::WriteBatch batch;
    for (const std::string &key : keys) batch.Put(key, value);
    check(database_->Write({}, &batch));
  }

 private:
  static void check(const leveldb::Status &status) { require(status.ok(), "leveldb", status.ToString()); }
  std::unique_ptr<leveldb::DB> database_;
  std::string value_;
};

const AddPeer add({"LevelDB", [](const std::string &folder) { return std::make_unique<LevelDb>(folder); }});

}  // namespace
}  // namespace bench
