#include "disk/writer_snapshot.h"

namespace dbc {

void WriterSnapshot::before_begin() {
  latest_ = index_.header() == last_;
  if (!latest_) end();
}

void WriterSnapshot::before_commit() {
  const bool may_stay = index_.pages() < kMostPages;
  if (kept_ && (!may_stay || round_ != pool_.round())) {
    end();
  } else if (!kept_ && may_stay && latest_ && pool_.may_keep(&round_)) {
    stay_.step();
    kept_ = true;
  }
}

bool WriterSnapshot::end() noexcept {
  if (!kept_) return false;
  kept_ = false;
  stay_.reset();
  return true;
}

}  // namespace dbc
