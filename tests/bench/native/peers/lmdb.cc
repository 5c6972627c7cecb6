// LMDB with MDB_NOSYNC: a killed process loses nothing, as with the library's default. A power cut may damage the
// file, though: LMDB has no mode in between, and one that syncs every commit would be held against one that does not.
#include <lmdb.h>

#include <cstring>

#include "../key_value_stores.h"
#include "../settings.h"

namespace bench {
namespace {

class Lmdb : public KeyValueStore {
 public:
  explicit Lmdb(const std::string &folder) {
    check(mdb_env_create(&environment_));
    check(mdb_env_set_mapsize(environment_, size_t{4} << 30));
    check(mdb_env_open(environment_, folder.c_str(), MDB_NOSYNC, 0600));
    MDB_txn *transaction = begin(0);
    check(mdb_dbi_open(transaction, nullptr, 0, &database_));
    check(mdb_txn_commit(transaction));
    reading_ = begin(MDB_RDONLY);
    mdb_txn_reset(reading_);
  }
  ~Lmdb() override {
    mdb_txn_abort(reading_);
    mdb_env_close(environment_);
  }
  void get(const std::string &key, char *buffer, size_t capacity) override {
    check(mdb_txn_renew(reading_));
    MDB_val name = slice(key), value{};
    check(mdb_get(reading_, database_, &name, &value));
    std::memcpy(buffer, value.mv_data, std::min(value.mv_size, capacity));
    mdb_txn_reset(reading_);
  }
  void put(const std::string &key, const std::string &value) override {
    MDB_txn *transaction = begin(0);
    put(transaction, key, value);
    check(mdb_txn_commit(transaction));
  }
  void put_many(const std::vector<std::string> &keys, const std::string &value) override {
    MDB_txn *transaction = begin(0);
    for (const std::string &key : keys) put(transaction, key, value);
    check(mdb_txn_commit(transaction));
  }

 private:
  static void check(int result) { require(result == 0, "lmdb", mdb_strerror(result)); }
  static MDB_val slice(const std::string &bytes) { return {bytes.size(), const_cast<char *>(bytes.data())}; }
  MDB_txn *begin(unsigned flags) {
    MDB_txn *transaction = nullptr;
    check(mdb_txn_begin(environment_, nullptr, flags, &transaction));
    return transaction;
  }
  void put(MDB_txn *transaction, const std::string &key, const std::string &value) {
    MDB_val name = slice(key), bytes = slice(value);
    check(mdb_put(transaction, database_, &name, &bytes, 0));
  }

  MDB_env *environment_ = nullptr;
  MDB_dbi database_ = 0;
  MDB_txn *reading_ = nullptr;
};

const AddPeer add({"LMDB", [](const std::string &folder) { return std::make_unique<Lmdb>(folder); }});

}  // namespace
}  // namespace bench
