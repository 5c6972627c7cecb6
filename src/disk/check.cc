#include "disk/check.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "base/key.h"
#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"
#include "disk/compression.h"
#include "disk/format.h"

namespace dbc {
namespace {

// What a repair has to know of the problems; all else it makes anew in any case.
struct Findings {
  bool structure = false;
  std::vector<int64_t> unusable_items;
};

// A pass over the whole file. `report` and `findings` are added to.
class Check {
 public:
  Check(const Connection &connection, const CheckedSchema &schema, const std::optional<RecordedTotals> &recorded,
        CheckReport *report)
      : connection_(connection), schema_(schema), recorded_(recorded), report_(report) {}

  Findings run() {
    try {
      check_structure();
      check_schema();
      check_items();
      check_times();
      check_totals();
    } catch (const Error &error) {
      if (error.status() != Status::kCorrupt) throw;
      report_->add(std::string("structure: ") + error.what());
      findings_.structure = true;
    }
    return std::move(findings_);
  }

 private:
  void check_structure() {
    Statement check(connection_, "PRAGMA integrity_check(1000)");
    while (check.step()) {
      std::string line(check.bytes(0));
      if (line == "ok") continue;
      report_->add("structure: " + line);
      findings_.structure = true;
    }
  }

  void check_schema() {
    Statement find(connection_, "SELECT count(*) FROM schema_version WHERE id = ?1 AND version = ?2");
    find.bind(1, schema_.id).bind(2, schema_.version);
    find.step();
    if (find.integer(0) == 1) return;
    report_->add("schema version " + quoted(schema_.version) + " is not recorded");
    findings_.structure = true;
  }

  void check_items() {
    enum Column { kId, kKey, kTimestamp, kRecorded, kVersion, kSize, kChecksum, kEncoding, kData, kSchema, kTypes };
    Statement items(
        connection_,
        "SELECT item.id, key, timestamp, recorded, item.version, size, checksum, encoding, data, schema_version.id, "
        "typeof(key) || ' ' || typeof(timestamp) || ' ' || "
        "typeof(recorded) || ' ' || typeof(item.version) || ' ' || typeof(size) || ' ' || typeof(checksum) "
        "|| ' ' || typeof(encoding) "
        "FROM item LEFT JOIN schema_version ON schema_version.id = schema_id");
    std::unordered_set<uint64_t> versions;
    uint64_t last = last_version();
    while (items.step()) {
      int type = items.type(kData);  // before the bytes: asking for those may convert it
      std::string_view key = items.bytes(kKey), data = items.bytes(kData);
      auto encoding = static_cast<Encoding>(items.integer(kEncoding));
      uint64_t version = items.unsigned_integer(kVersion);
      const char *problem = nullptr;
      if (items.bytes(kTypes) != "text real real integer integer integer integer") {
        problem = "a column is not of its type";
      } else if (!valid_key(key)) {
        problem = "the key is none";
      } else if (type != SQLITE_TEXT && type != SQLITE_BLOB) {
        problem = "the value is missing";
      } else if (const char *found = problem_of_value(data, encoding, items.unsigned_integer(kSize),
                                                      items.unsigned_integer(kChecksum), Key(key).hash)) {
        problem = found;
      } else if (items.type(kSchema) == SQLITE_NULL) {
        problem = "the schema version is unknown";
      } else if (!std::isfinite(items.real(kTimestamp)) || !std::isfinite(items.real(kRecorded))) {
        problem = "the timestamp is not finite";
      } else if (version == 0 || version > last) {
        problem = "the version was never given";
      } else if (!versions.insert(version).second) {
        problem = "the version is that of another item";
      }
      if (!problem) continue;
      report_->add("item " + std::to_string(items.integer(kId)) + name_of(key) + ": " + problem);
      findings_.unusable_items.push_back(items.integer(kId));
    }
  }

  // What is wrong with a value, or null.
  const char *problem_of_value(std::string_view data, Encoding encoding, uint64_t size, uint64_t checksum,
                               uint64_t key_hash) {
    switch (encoding) {
      case Encoding::kAsGiven:
        if (data.size() != size) return "the size is not that of the value";
        return hash_bytes(data, key_hash) == checksum ? nullptr : "the checksum does not match";
      case Encoding::kZstdText:
      case Encoding::kZstdBytes:
        if (!has_zstd()) return nullptr;  // it may well be sound, for a build that can read it
        if (!may_hold(data, size)) return "the value cannot be decompressed";
        value_.resize(size);
        if (!decompressor_.decompress(data, value_.data(), size)) return "the value cannot be decompressed";
        return hash_bytes(value_, key_hash) == checksum ? nullptr : "the checksum does not match";
    }
    return "the value is stored in an unknown way";
  }

  // The times in `usage`, and the order against them. An order that misses an item would never evict it.
  void check_times() {
    each(
        "SELECT usage.id, item.key FROM usage LEFT JOIN item ON item.id = usage.id "
        "WHERE item.id IS NULL OR typeof(usage.version) <> 'integer' OR typeof(usage.timestamp) <> 'real' OR "
        "typeof(usage.recorded) <> 'real' OR abs(usage.timestamp) = 9e999 OR abs(usage.recorded) = 9e999",
        "usage: the row belongs to no item, or holds no time");
    each(
        "SELECT item.id, item.key FROM item JOIN usage ON usage.id = item.id AND usage.version = item.version "
        "WHERE usage.timestamp < item.timestamp",
        "usage: the last access is earlier than the item");
    each(
        "SELECT item.id, item.key FROM item LEFT JOIN usage ON usage.id = item.id "
        "WHERE " DBC_RECORDED " > " DBC_LAST_ACCESS,
        "the order of eviction knows the item under a later time than its own");
    // What waits to be told to the order counts as told. Where that is not known, neither is the order.
    if (!recorded_ && table_is_stale()) return;
    const WaitingPlaces waiting = recorded_ ? recorded_->waiting : WaitingPlaces();
    std::map<int64_t, double> fresh;
    for (size_t i = 0; i < waiting.fresh_count; ++i) fresh.emplace(waiting.fresh[i].id, waiting.fresh[i].recorded);
    each("SELECT item.id, item.key, " DBC_RECORDED
         " FROM item LEFT JOIN usage ON usage.id = item.id LEFT JOIN eviction_order o "
         "ON o.recorded = " DBC_RECORDED " AND o.key = item.key WHERE o.id IS NOT item.id",
         "the order of eviction lacks the item", [&](const Statement &row) {
           auto waits = fresh.find(row.integer(0));
           bool told = waits != fresh.end() && waits->second == row.real(2);
           if (told) fresh.erase(waits);
           return told;
         });
    for (const auto &[id, recorded] : fresh) {
      report_->add("item " + std::to_string(id) +
                   ": the order of eviction is to be told of an item that it has, or that is not there");
    }
    std::string_view gone_key(waiting.gone_key.data(), waiting.gone_key_bytes);
    each(
        "SELECT o.id, o.key, o.recorded FROM eviction_order o LEFT JOIN item ON item.id = o.id LEFT JOIN usage ON "
        "usage.id = "
        "item.id "
        "WHERE item.key IS NOT o.key OR " DBC_RECORDED " IS NOT o.recorded",
        "the order of eviction names an item that is not there", [&](const Statement &row) {
          return waiting.gone_count > 0 &&
                 std::tuple(row.real(2), row.bytes(1)) <= std::tuple(waiting.gone_until, gone_key);
        });
  }

  void check_totals() {
    enum Column { kId, kVersion, kItems, kBytes, kTypes, kItemsThere, kBytesThere };
    bool stale = table_is_stale();
    if (!stale && recorded_ && (recorded_->waiting.fresh_count > 0 || recorded_->waiting.gone_count > 0)) {
      report_->add("the order of eviction: it has still to be told of items, and the file says that it has not");
    }
    Statement schemas(connection_,
                      "SELECT s.id, s.version, s.items, s.bytes, typeof(s.items) || ' ' || typeof(s.bytes), "
                      "count(item.id), CAST(total(item.size) AS INTEGER) "
                      "FROM schema_version s LEFT JOIN item ON item.schema_id = s.id GROUP BY s.id");
    while (schemas.step()) {
      Totals there{schemas.unsigned_integer(kItemsThere), schemas.unsigned_integer(kBytesThere)};
      std::string version(schemas.bytes(kVersion));
      if (!stale) {
        if (schemas.bytes(kTypes) == "integer integer") {
          Totals table{schemas.unsigned_integer(kItems), schemas.unsigned_integer(kBytes)};
          compare(version, "the table of schema versions", table, there);
        } else {
          report_->add("totals of schema version " + quoted(version) + ": the recorded ones are no numbers");
        }
      }
      if (!recorded_) continue;
      Totals recorded;
      for (const auto &[id, totals] : recorded_->schemas) {
        if (id == schemas.integer(kId)) recorded = totals;
      }
      compare(version, "the shared file", recorded, there);
    }
  }

  void compare(const std::string &version, const char *where, Totals recorded, Totals there) {
    if (recorded.items == there.items && recorded.bytes == there.bytes) return;
    report_->add("totals of schema version " + quoted(version) + " in " + where + ": " +
                 std::to_string(recorded.items) + " items, " + std::to_string(recorded.bytes) +
                 " bytes, but there are " + std::to_string(there.items) + " items, " + std::to_string(there.bytes) +
                 " bytes");
  }

  // The first column of the first row; 0 without one.
  int64_t ask(const char *sql) {
    Statement statement(connection_, sql);
    return statement.step() ? statement.integer(0) : 0;
  }

  bool table_is_stale() { return ask("SELECT value FROM meta WHERE name = 'totals_are_stale'") != 0; }

  // The largest version that was ever given; while the table of schema versions is not kept up to date, nobody may
  // know.
  uint64_t last_version() {
    if (recorded_) return recorded_->last_version;
    if (table_is_stale()) return INT64_MAX;
    return static_cast<uint64_t>(ask("SELECT max(last_version) FROM schema_version"));
  }

  // Rows (id, key, ...) that should not be, unless `accepted` says otherwise.
  void each(
      const char *sql, const char *problem,
      const std::function<bool(const Statement &)> &accepted = [](const Statement &) { return false; }) {
    Statement rows(connection_, sql);
    while (rows.step()) {
      if (accepted(rows)) continue;
      report_->add("item " + std::to_string(rows.integer(0)) + name_of(rows.bytes(1)) + ": " + problem);
    }
  }

  static std::string name_of(std::string_view key) { return key.empty() ? "" : " (key=" + quoted(key) + ")"; }

  const Connection &connection_;
  const CheckedSchema &schema_;
  const std::optional<RecordedTotals> &recorded_;
  CheckReport *const report_;
  Findings findings_;
  Decompressor decompressor_;
  std::string value_;  // decompressed
};

}  // namespace

void check_file(const Connection &connection, const CheckedSchema &schema,
                const std::optional<RecordedTotals> &recorded, CheckReport *report) {
  Check(connection, schema, recorded, report).run();
}

uint64_t repair_file(Connection &connection, const CheckedSchema &schema, const RecordedTotals &recorded,
                     CheckReport *report) {
  uint64_t before = report->problems();
  Findings found = Check(connection, schema, recorded, report).run();
  // SQLite may have ended the transaction by itself: then nothing must be written, for it would be kept piece by piece.
  if (sqlite3_get_autocommit(connection.handle())) {
    throw Error(Status::kCorrupt, "db_path " + connection.name() + " cannot be repaired: it could not be read");
  }
  if (report->problems() == before) return 0;
  // Indexes first: with one that lacks an entry, SQLite refuses to delete the row.
  if (found.structure) connection.execute("REINDEX");
  Statement erase(connection, "DELETE FROM item WHERE id = ?1");
  for (int64_t id : found.unusable_items) erase.bind(1, id).run();
  // Times, order and totals all follow from the items that are left.
  connection.execute(
      "DELETE FROM usage WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.id = usage.id AND item.version = "
      "usage.version) "
      "OR typeof(timestamp) <> 'real' OR abs(timestamp) = 9e999");
  connection.execute(
      "INSERT OR REPLACE INTO usage(id, version, timestamp, recorded) "
      "SELECT item.id, item.version, max(item.timestamp, coalesce(usage.timestamp, item.timestamp)), "
      "max(item.timestamp, coalesce(usage.timestamp, item.timestamp)) "
      "FROM item LEFT JOIN usage ON usage.id = item.id");
  connection.execute("DELETE FROM eviction_order");
  connection.execute(
      "INSERT INTO eviction_order(recorded, key, id) "
      "SELECT usage.recorded, item.key, item.id FROM item JOIN usage ON usage.id = item.id "
      "ORDER BY usage.recorded, item.key");
  Statement totals(connection,
                   "UPDATE schema_version SET items = (SELECT count(*) FROM item WHERE schema_id = schema_version.id), "
                   "bytes = (SELECT coalesce(sum(size), 0) FROM item WHERE schema_id = schema_version.id), "
                   "last_version = max(last_version, ?1)");
  totals.bind(1, recorded.last_version).run();
  connection.execute("UPDATE meta SET value = 0 WHERE name = 'totals_are_stale'");

  CheckReport left;
  check_file(connection, schema, std::nullopt, &left);
  if (left.problems() > 0) {
    std::string first = left.text().substr(0, left.text().find('\n'));
    throw Error(Status::kCorrupt, "db_path " + connection.name() + " cannot be repaired: " + first);
  }
  return found.unusable_items.size();
}

}  // namespace dbc
