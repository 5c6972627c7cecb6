#include "disk/data_version.h"

#include <exception>

#include "base/fork.h"

namespace dbc {
namespace {

constexpr const char *kQuery = "PRAGMA data_version";

}  // namespace

DataVersion::DataVersion(Connection &connection) : statement_(connection, kQuery), version_(read()) {}

int64_t DataVersion::read() {
  Use statement(statement_);
  return statement->step() ? statement->integer(0) : 0;
}

void DataVersion::note(int64_t version) {
  if (version != version_) others_committed();
  version_ = version;
}

void DataVersion::look() {
  NoFork no_fork;
  std::lock_guard lock(mutex_);
  note(read());
}

// In the writer's transaction no one else can commit: what is noted now is all that others did before.
DataVersion::OwnCommit::OwnCommit(DataVersion &data_version, Connection &writer)
    : data_version_(data_version), writer_(writer), lock_(data_version.mutex_) {
  data_version_.note(data_version_.read());
  before_ = writer_.query_integer(kQuery);
}

void DataVersion::OwnCommit::done() noexcept {
  try {
    data_version_.version_ = data_version_.read();
    // Read second: who committed between our commit and the first reading shows here.
    others_ = writer_.query_integer(kQuery) != before_;
  } catch (const std::exception &) {
    others_ = true;  // it cannot be told, so there is doubt
  }
}

DataVersion::OwnCommit::~OwnCommit() {
  if (others_) data_version_.others_committed();
}

}  // namespace dbc
