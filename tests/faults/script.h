// Script: a run of every kind of call on one file, against the oracle of tests/model. It goes on through failures, and
// holds the library to its word about them: a call that fails gives a documented error with a message, has changed
// nothing in either tier nor in the file, and succeeds when it is repeated after the fault is gone.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "../model/random_run.h"
#include "dbc.h"
#include "injector.h"

namespace dbc::faults {

// Where allocations fail, it is not known which touches are remembered, nor what the memory tier holds. So either there
// is no memory tier, and the file tells; or nothing is evicted from disk, and it does not matter.
enum class Limits { kBoth, kDiskOnly, kMemoryOnly };

struct Plan {
  std::string folder;  // empty and the run's own
  Fault fault;
  uint64_t k = 1;
  bool lasting = false;
  dbc_durability durability = DBC_DURABILITY_NORMAL;
  Limits limits = Limits::kBoth;
  dbc_compression compression = DBC_COMPRESSION_NONE;
};

class Script {
 public:
  explicit Script(const Plan &plan);
  ~Script();
  Script(const Script &) = delete;
  Script &operator=(const Script &) = delete;

  // Throws model::Mismatch.
  void run();
  // Did the fault happen? If not, the run has fewer calls of that kind.
  bool fired() const { return fired_; }
  uint64_t failures() const { return failures_; }
  // How often a look into the file found a compressed value.
  uint64_t compressed_seen() const { return compressed_seen_; }
  // What was done, for a report.
  std::string history() const;

 private:
  struct Side {
    dbc_cache *cache = nullptr;
    std::unique_ptr<model::Oracle> oracle;
    // The oracle counted them as expired, but the library could not remove them.
    uint64_t unremoved = 0;
  };
  using Call = std::function<dbc_status()>;

  void share_again();
  void first_life();
  void second_life();
  void third_life();
  void fourth_life();
  void epilogue();

  void open(Side &side, const std::string &name, const std::string &schema);
  void close(Side &side);
  void put(Side &side, const std::string &key, const std::string &value, double time);
  void put_many(Side &side, const std::vector<model::NewItem> &items, double time);
  void get(Side &side, const std::string &key, double time);
  void get_many(Side &side, const std::vector<std::string> &keys, double time);
  void tier(Side &side, const std::string &key, double time);
  void remove(Side &side, const std::string &key);
  void remove_many(Side &side, const std::vector<std::string> &keys);
  void discard(Side &side, const std::string &key);
  void purge(Side &side, double time);
  void clear(Side &side);
  void clear_memory(Side &side);
  void flush(Side &side);
  void counts(Side &side);

  // Makes the call until it succeeds, or is left out; then does what belongs to success.
  void attempt(Side &side, const std::string &what, const std::set<int> &errors, const Call &call,
               const std::function<void(dbc_status)> &succeeded);
  void note(const std::string &what, dbc_status status);
  void check_error(dbc_status status, const std::string &what, const std::set<int> &errors);
  void after_call(bool failed);
  // Everything that can be seen of a handle is as the oracle says.
  void verify(Side &side);
  void verify_statistics(Side &side);
  void check_answer(const model::Answer &expected, const model::Answer &actual, const std::string &what) const;
  // After a get that found items expired and could not remove them, which is a courtesy: they are still there.
  void take_back_removals(Side &side, const model::Disk &before, double time);
  // The file as another program sees it: sound, its counts true, its items those of the oracle.
  void check_file(const std::string &name);
  std::vector<model::Row> read_sound_file(const std::string &name);
  std::vector<model::Row> expected_items() const;
  void check_counts(const std::string &name, const std::vector<model::Row> &rows) const;
  void check_after_a_crash();
  void check_repeated();
  void copy_as_after_a_crash(const std::string &to) const;

  // Memory may be short: what the memory tier holds and which touches were remembered is then not known.
  bool memory_unknown() const { return plan_.fault.call == faults::Call::kAllocate; }
  bool exact() const { return !memory_unknown() && !plan_.fault.damages; }

  std::string path(const std::string &name) const { return plan_.folder + "/" + name; }
  model::Settings settings() const;

  const Plan plan_;
  model::Disk disk_;
  std::map<uint64_t, std::string> acknowledged_;  // by version
  std::vector<std::string> keys_;
  Side main_, other_;
  std::string file_;                                      // that is in use
  bool created_ = false;                                  // there is a whole one
  double latest_ = 0;                                     // of all times given
  bool touches_unwritten_ = false;                        // those of the last handle: a crash, or a close that failed
  std::optional<std::vector<model::Row>> after_a_crash_;  // when it was not as before the call that failed
  std::vector<std::string> warnings_;
  std::vector<std::string> history_;
  bool fired_ = false;
  uint64_t failures_ = 0;
  uint64_t compressed_seen_ = 0;
};

}  // namespace dbc::faults
