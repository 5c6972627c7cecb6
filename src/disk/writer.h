// Writer: the prepared statements that change the file, on the one connection that writes, and what they need. Used
// under the writer lock.
#pragma once

#include "disk/compression.h"
#include "disk/connection.h"
#include "disk/format.h"

namespace dbc {

struct Writer {
  explicit Writer(Connection &c)
      : begin(c, "BEGIN IMMEDIATE"),
        commit(c, "COMMIT"),
        roll_back(c, "ROLLBACK"),  // prepared: undoing must not need memory
        totals(c, "SELECT id, items, bytes, last_version FROM schema_version"),
        save_totals(c, "UPDATE schema_version SET items = ?2, bytes = ?3, last_version = ?4 WHERE id = ?1"),
        totals_are_stale(c, "SELECT value FROM meta WHERE name = 'totals_are_stale'"),
        set_totals_are_stale(c,
                             "INSERT INTO meta VALUES('totals_are_stale', ?1) "
                             "ON CONFLICT(name) DO UPDATE SET value = ?1 WHERE value <> ?1"),
        count_undone(c,
                     "INSERT INTO meta VALUES('commits_undone', 1) ON CONFLICT(name) DO UPDATE SET value = value + 1"),
        count_checkpoint(c,
                         "INSERT INTO meta VALUES('checkpoints', 1) ON CONFLICT(name) DO UPDATE SET value = value + 1"),
        count_again(c, "SELECT schema_id, count(*), total(size), max(version) FROM item GROUP BY schema_id"),
        version_of(c, "SELECT version FROM item WHERE id = ?1"),
        last_saved_version(c, "SELECT max(last_version) FROM schema_version"),
        find(c, "SELECT item.id, item.version, item.schema_id, item.size, " DBC_LAST_ACCESS ", " DBC_RECORDED
                " FROM item LEFT JOIN usage ON usage.id = item.id WHERE item.key = ?1"),
        find_by_id(c, "SELECT item.id, item.version, item.schema_id, item.size, " DBC_LAST_ACCESS ", " DBC_RECORDED
                      ", item.key FROM item LEFT JOIN usage ON usage.id = item.id WHERE item.id = ?1"),
        insert_item(c,
                    "INSERT INTO item(key, timestamp, recorded, version, schema_id, size, checksum, encoding, data) "
                    "VALUES(?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
        insert_order(c, "INSERT OR IGNORE INTO eviction_order(recorded, key, id) VALUES(?1, ?2, ?3)"),
        insert_order_of(
            c, "INSERT OR IGNORE INTO eviction_order(recorded, key, id) SELECT ?1, key, id FROM item WHERE id = ?2"),
        // The order stays as it is: an item may well be younger than it is recorded.
        update_item(c,
                    "UPDATE item SET timestamp = ?2, version = ?3, schema_id = ?4, size = ?5, checksum = ?6, "
                    "encoding = ?7, data = ?8 WHERE id = ?1"),
        replace_item(
            c,
            "UPDATE item SET key = ?9, timestamp = ?2, recorded = ?2, version = ?3, schema_id = ?4, size = ?5, "
            "checksum = ?6, encoding = ?7, data = ?8 WHERE id = ?1"),
        erase_item(c, "DELETE FROM item WHERE id = ?1"),
        erase_usage(c, "DELETE FROM usage WHERE id = ?1"),
        erase_order(c, "DELETE FROM eviction_order WHERE recorded = ?1 AND key = ?2"),
        erase_order_before(c, "DELETE FROM eviction_order WHERE (recorded, key) < (?1, ?2)"),
        erase_order_through(c, "DELETE FROM eviction_order WHERE (recorded, key) <= (?1, ?2)"),
        oldest(c, "SELECT item.id, item.version, item.schema_id, item.size, " DBC_LAST_ACCESS
                  ", o.recorded, o.key, usage.id IS NOT NULL FROM eviction_order o LEFT JOIN item ON item.id = o.id "
                  "LEFT JOIN usage ON usage.id = item.id WHERE (o.recorded, o.key) > (?1, ?2) "
                  "ORDER BY o.recorded, o.key LIMIT 1"),
        first_with_item(
            c,
            "SELECT o.recorded, o.key FROM eviction_order o JOIN item ON item.id = o.id AND item.key = o.key "
            "LEFT JOIN usage ON usage.id = item.id WHERE " DBC_RECORDED
            " = o.recorded ORDER BY o.recorded, o.key LIMIT 1"),
        enter_missing(c, "INSERT OR IGNORE INTO eviction_order(recorded, key, id) SELECT " DBC_RECORDED
                         ", item.key, item.id FROM item LEFT JOIN usage ON usage.id = item.id"),
        move_order(c, "UPDATE eviction_order SET recorded = ?3 WHERE recorded = ?1 AND key = ?2"),
        set_usage(
            c,
            "INSERT INTO usage(id, version, timestamp, recorded) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(id) DO UPDATE "
            "SET version = ?2, timestamp = ?3, recorded = ?4"),
        // `usage` never holds an earlier time of a state than `item`: who finds that one recent enough need not look
        // there.
        set_back(c, "UPDATE item SET timestamp = ?2 WHERE id = ?1"),
        // Of a state that is gone a touch means nothing, and its row may hold another item by now.
        touch(c,
              "UPDATE usage SET timestamp = CASE version WHEN ?2 THEN max(timestamp, ?3) ELSE ?3 END, version = ?2 "
              "WHERE id = ?1 AND (version = ?2 OR EXISTS(SELECT 1 FROM item WHERE id = ?1 AND version = ?2))"),
        first_touch(
            c,
            "INSERT INTO usage(id, version, timestamp, recorded) SELECT id, version, max(timestamp, ?3), recorded "
            "FROM item WHERE id = ?1 AND version = ?2 ON CONFLICT(id) DO NOTHING"),
        // Of the next ?1 candidates for eviction, those that the order knows under an earlier time than theirs.
        misplaced(
            c, "SELECT item.id, item.version, item.schema_id, item.size, " DBC_LAST_ACCESS
               " AS last_access, o.recorded, o.key FROM (SELECT * FROM eviction_order WHERE (recorded, key) > (?2, ?3) "
               "ORDER BY recorded, key LIMIT ?1) o JOIN item ON item.id = o.id LEFT JOIN usage ON usage.id = item.id "
               "WHERE last_access > o.recorded"),
        expired(c, "SELECT item.id, item.version, item.schema_id, item.size, " DBC_LAST_ACCESS
                   " AS last_access, o.recorded, o.key FROM eviction_order o JOIN item ON item.id = o.id "
                   "LEFT JOIN usage ON usage.id = item.id WHERE o.recorded <= ?1 AND ?2 - last_access > ?3 "
                   "AND (o.recorded, o.key) > (?4, ?5) ORDER BY o.recorded, o.key LIMIT ?6"),
        erase_other_order(c, "DELETE FROM eviction_order WHERE id IN (SELECT id FROM item WHERE schema_id <> ?1)"),
        erase_other_usage(c, "DELETE FROM usage WHERE id IN (SELECT id FROM item WHERE schema_id <> ?1)"),
        erase_other_items(c, "DELETE FROM item WHERE schema_id <> ?1"),
        // Without WHERE: SQLite drops whole pages.
        clear_items(c, "DELETE FROM item"),
        clear_usage(c, "DELETE FROM usage"),
        clear_order(c, "DELETE FROM eviction_order") {}

  Statement begin, commit, roll_back;
  Statement totals, save_totals, totals_are_stale, set_totals_are_stale;
  Statement count_undone, count_checkpoint, count_again, version_of, last_saved_version;
  Statement find, find_by_id, insert_item, insert_order, insert_order_of, update_item, replace_item;
  Statement erase_item, erase_usage, erase_order, erase_order_before, erase_order_through;
  Statement oldest, first_with_item, enter_missing, move_order, set_usage, set_back, touch, first_touch, misplaced,
      expired;
  Statement erase_other_order, erase_other_usage, erase_other_items, clear_items, clear_usage, clear_order;
  Compressor compressor;
};

}  // namespace dbc
