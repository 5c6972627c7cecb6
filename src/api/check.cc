// The check of the whole cache.
#include <algorithm>
#include <cstring>

#include "api/guard.h"
#include "api/handle.h"

using dbc::Cache;
using dbc::CheckReport;
using dbc::Status;

namespace {

// As much as there is room for, not ending in the middle of a character.
void copy_report(const std::string &text, char *report, size_t capacity) {
  if (capacity == 0) return;
  size_t size = std::min(text.size(), capacity - 1);
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  std::memcpy(report, text.data(), size);
  report[size] = '\0';
}

}  // namespace

extern "C" dbc_status dbc_check(dbc_cache *cache, unsigned flags, char *report, size_t report_capacity,
                                uint64_t *problems) {
  if (problems) *problems = 0;
  if (report && report_capacity > 0) report[0] = '\0';
  CheckReport found;
  bool moved_aside = false;
  return dbc::call(cache, [&](Cache &c) {
    dbc::require(problems, "problems");
    if (report_capacity > 0) dbc::require(report, "report");
    if ((flags & ~DBC_CHECK_REPAIR) != 0) dbc::refuse("flags has unknown bits: " + std::to_string(flags));
    bool repairing = (flags & DBC_CHECK_REPAIR) != 0;
    if (moved_aside) {
      // The second time: what was beyond repair has gone, and this is a fresh file.
      found.say("the file was moved aside and a fresh one started");
    } else {
      try {
        c.check(repairing, &found);
      } catch (const dbc::Error &error) {
        if (error.status() == Status::kCorrupt) {
          found.add(error.what());
          moved_aside = true;
        }
        throw;
      }
    }
    *problems = found.problems();
    copy_report(found.text(), report, report_capacity);
    return Status::kOk;
  });
}
