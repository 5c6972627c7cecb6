// DataVersion: the CommitWatch of a SQLite file: by PRAGMA data_version, a connection tells whether others have
// committed.
//
// A connection's own commits do not count in its data_version, but those of the writer's connection count in the one
// that looks, which is another, so that looking need not wait for transactions. OwnCommit tells the two apart.
//
// Lock order: NoFork, then the mutex in here, then SQLite's locks.
#pragma once

#include <memory>
#include <mutex>

#include "disk/connection.h"
#include "share/commit_watch.h"

namespace dbc {

class DataVersion final : public CommitWatch {
 public:
  // `connection` is used for nothing else, and outlives this object's use.
  explicit DataVersion(Connection &connection);

  void look() override;

  // Around a commit on `writer`, inside its transaction (so inside a NoFork): what it changes does not count as
  // others'. Nobody looks while it lives; what others have committed meanwhile shows at its end, so that what is
  // published before is in doubt too.
  class OwnCommit {
   public:
    OwnCommit(DataVersion &data_version, Connection &writer);
    ~OwnCommit();
    // The commit is done. (Without this it has failed, and changed nothing.)
    void done() noexcept;

   private:
    DataVersion &data_version_;
    Connection &writer_;
    std::lock_guard<std::mutex> lock_;  // nobody looks before the commit is accounted for
    int64_t before_;
    bool others_ = false;  // have committed since
  };

 private:
  int64_t read();
  void note(int64_t version);

  std::mutex mutex_;  // guards all below
  Statement statement_;
  int64_t version_;
};

}  // namespace dbc
