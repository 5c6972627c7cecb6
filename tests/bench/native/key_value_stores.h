// Peers without SQL: each adds itself here if its library is there when this is built.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bench {

class KeyValueStore {
 public:
  virtual ~KeyValueStore() = default;
  virtual void get(const std::string &key, char *buffer, size_t capacity) = 0;  // throws when it is not there
  virtual void put(const std::string &key, const std::string &value) = 0;
  virtual void put_many(const std::vector<std::string> &keys, const std::string &value) = 0;
};

struct KeyValuePeer {
  const char *name;
  std::function<std::unique_ptr<KeyValueStore>(const std::string &folder)> open;
};
inline std::vector<KeyValuePeer> &key_value_peers() {
  static std::vector<KeyValuePeer> peers;
  return peers;
}
struct AddPeer {
  explicit AddPeer(KeyValuePeer peer) { key_value_peers().push_back(std::move(peer)); }
};

}  // namespace bench
