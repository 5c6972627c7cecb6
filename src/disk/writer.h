// Writer: the prepared statements that change the file, on the one connection that writes. Used under the writer lock.
#pragma once

#include "disk/connection.h"

namespace dbc {

struct Writer {
  explicit Writer(Connection &c)
      : begin(c, "BEGIN IMMEDIATE"),
        commit(c, "COMMIT"),
        roll_back(c, "ROLLBACK"),  // prepared: undoing must not need memory
        totals(c, "SELECT id, items, bytes, last_version FROM schema_version"),
        save_totals(c, "UPDATE schema_version SET items = ?2, bytes = ?3, last_version = ?4 WHERE id = ?1"),
        find(c, "SELECT id, version, schema_id, size, timestamp, recorded FROM item WHERE key = ?1"),
        insert_item(c,
                    "INSERT INTO item(key, timestamp, recorded, version, schema_id, size, checksum) "
                    "VALUES(?1, ?2, ?2, ?3, ?4, ?5, ?6)"),
        // The order index stays as it is: an item may well be younger than it is recorded.
        update_item(c,
                    "UPDATE item SET timestamp = ?2, version = ?3, schema_id = ?4, size = ?5, checksum = ?6 "
                    "WHERE id = ?1"),
        put_value(c, "REPLACE INTO value(id, data) VALUES(?1, ?2)"),
        erase_item(c, "DELETE FROM item WHERE id = ?1"),
        erase_value(c, "DELETE FROM value WHERE id = ?1"),
        oldest(c,
               "SELECT id, version, schema_id, size, timestamp, recorded, key FROM item "
               "ORDER BY recorded, key LIMIT 1"),
        record(c, "UPDATE item SET timestamp = ?2, recorded = ?2 WHERE id = ?1"),
        touch(c, "UPDATE item SET timestamp = max(timestamp, ?3) WHERE id = ?1 AND version = ?2"),
        touch_backward(c, "UPDATE item SET timestamp = ?3, recorded = ?3 WHERE id = ?1 AND version = ?2"),
        // Of the next ?1 candidates for eviction, those that the index knows under an earlier time than theirs.
        misplaced(
            c,
            "SELECT id, timestamp FROM "
            "(SELECT id, timestamp, recorded FROM item ORDER BY recorded, key LIMIT ?1) WHERE timestamp > recorded"),
        expired(c,
                "SELECT id, version, schema_id, size, timestamp, recorded, key FROM item "
                "WHERE recorded <= ?1 AND ?2 - timestamp > ?3"),
        erase_other_values(c, "DELETE FROM value WHERE id IN (SELECT id FROM item WHERE schema_id <> ?1)"),
        erase_other_items(c, "DELETE FROM item WHERE schema_id <> ?1"),
        // Without WHERE: SQLite drops whole pages.
        clear_items(c, "DELETE FROM item"),
        clear_values(c, "DELETE FROM value") {}

  Statement begin, commit, roll_back;
  Statement totals, save_totals;
  Statement find, insert_item, update_item, put_value, erase_item, erase_value;
  Statement oldest, record, touch, touch_backward, misplaced;
  Statement expired, erase_other_values, erase_other_items, clear_items, clear_values;
};

}  // namespace dbc
