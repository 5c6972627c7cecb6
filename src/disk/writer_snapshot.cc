#include "disk/writer_snapshot.h"

namespace dbc {

void WriterSnapshot::before_begin() {
  latest_ = index_.header() == last_;
  if (!latest_) end();
}

void WriterSnapshot::before_commit() {
  if (kept_ && round_ != pool_.round()) {
    end();
  } else if (!kept_ && latest_ && pool_.may_keep(&round_)) {
    stay_.step();
    kept_ = true;
  }
}

void WriterSnapshot::end() noexcept {
  if (!kept_) return;
  kept_ = false;
  stay_.reset();
}

}  // namespace dbc
