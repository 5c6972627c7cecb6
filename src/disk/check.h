// Checking and repairing the file: does everything in it hold that the rest of the disk tier relies on?
//
// What is looked at: SQLite's own structure; that the tables are those of the format; every item (key, value against
// size and checksum, versions, times); that `usage` and `eviction_order` agree with the items; the recorded totals. A
// repair takes out items that cannot be used and makes everything else anew from those that can.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "disk/connection.h"
#include "disk/store.h"
#include "share/shared_totals.h"

namespace dbc {

// Which rows belong to the one who asks: the schema version it stores under must be there.
struct CheckedSchema {
  int64_t id;
  std::string version;
};

// The counts by which the library goes, where they are not those of the table of schema versions, and the changes of
// the order that it knows of.
struct RecordedTotals {
  struct Schema {
    int64_t id;
    Totals totals;
  };
  uint64_t last_version = 0;
  std::vector<Schema> schemas;
  WaitingPlaces waiting;
};

// Adds every problem to the report. Damage that keeps SQLite from reading is a problem too, not an Error. Within a read
// transaction of the caller, so that all is of one moment.
void check_file(const Connection &connection, const CheckedSchema &schema,
                const std::optional<RecordedTotals> &recorded, CheckReport *report);

// The same, and mends what it finds, the counts in the table of schema versions; returns how many items were taken out.
// Within a write transaction of the caller, to be rolled back when this throws: Error(kCorrupt) for what cannot be
// mended.
uint64_t repair_file(Connection &connection, const CheckedSchema &schema, const RecordedTotals &recorded,
                     CheckReport *report);

}  // namespace dbc
