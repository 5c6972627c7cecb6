#include "disk/reader.h"

#include <cstring>
#include <limits>

#include "base/hash.h"
#include "disk/format.h"

namespace dbc {

// Columns of all three statements; those that want the value have the rest too.
enum Column { kId, kVersion, kTimestamp, kSchemaId, kSize, kChecksum, kEncoding, kData };

// A value of more than this is not copied by the statement, but read into its item: see read_large().
constexpr uint64_t kLarge = 32768;
#define DBC_DATA_UNLESS_LARGE "CASE WHEN encoding <> 0 OR size <= 32768 THEN data END"

Reader::Reader(Connection &connection)
    : connection_(connection),
      head_(connection, "SELECT item.id, item.version, " DBC_LAST_ACCESS
                        ", schema_id, size FROM item LEFT JOIN usage ON usage.id = item.id WHERE key = ?1"),
      whole_(connection, "SELECT item.id, item.version, " DBC_LAST_ACCESS
                         ", schema_id, size, checksum, encoding, " DBC_DATA_UNLESS_LARGE
                         " FROM item LEFT JOIN usage ON usage.id = item.id WHERE key = ?1"),
      without_usage_(connection,
                     "SELECT id, version, timestamp, schema_id, size, checksum, encoding, " DBC_DATA_UNLESS_LARGE
                     " FROM item WHERE key = ?1"),
      type_(connection, "SELECT typeof(data) FROM item WHERE id = ?1"),
      totals_(connection, "SELECT total(items), total(bytes) FROM schema_version"),
      misplaced_(connection,
                 "SELECT 1 FROM (SELECT * FROM eviction_order ORDER BY recorded, key LIMIT ?1) o "
                 "JOIN item ON item.id = o.id AND item.key = o.key LEFT JOIN usage ON usage.id = item.id "
                 "WHERE " DBC_LAST_ACCESS " > o.recorded LIMIT 1"),
      begin_(connection, "BEGIN"),
      end_(connection, "COMMIT") {}

Lookup Reader::state_of_row(const Statement &row, int64_t schema_id) {
  Lookup found;
  found.version = row.unsigned_integer(kVersion);
  found.timestamp = row.real(kTimestamp);
  found.state = row.integer(kSchemaId) == schema_id ? Lookup::State::kPresent : Lookup::State::kOtherSchema;
  found.fields.version = found.version;
  found.fields.id = row.integer(kId);
  found.fields.timestamp = found.timestamp;
  found.fields.size = row.unsigned_integer(kSize);
  // No item has version 0, which stands for none, nor one that is negative in the file.
  bool numbered = found.version != 0 && found.version <= uint64_t{INT64_MAX};
  if (!numbered || found.fields.size > kMaxValueBytes) found.state = Lookup::State::kDamaged;
  return found;
}

Lookup Reader::read(const Key &key, Want want, uint64_t held_version, double recent_enough, int64_t schema_id,
                    uint64_t generation) {
  if (want == Want::kNothing || held_version != 0) {
    Use head(head_);
    head->bind(1, key.text);
    if (!head->step()) return {};
    Lookup found = state_of_row(head_, schema_id);
    found.fields.generation = generation;
    if (want == Want::kNothing || found.state != Lookup::State::kPresent || found.version == held_version) return found;
  }
  if (recent_enough < std::numeric_limits<double>::infinity()) {
    Lookup found = read_whole(without_usage_, key, schema_id, generation);
    if (found.state != Lookup::State::kPresent || found.timestamp >= recent_enough) return found;
  }
  return read_whole(whole_, key, schema_id, generation);
}

Lookup Reader::read_whole(Statement &statement, const Key &key, int64_t schema_id, uint64_t generation) {
  Use whole(statement);
  whole->bind(1, key.text);
  if (!whole->step()) return {};
  Lookup found = state_of_row(statement, schema_id);
  found.fields.generation = generation;
  if (found.state != Lookup::State::kPresent) return found;
  auto encoding = static_cast<Encoding>(whole->integer(kEncoding));
  if (encoding != Encoding::kAsGiven && !has_zstd()) {
    found.state = Lookup::State::kUnreadable;
    return found;
  }
  if (encoding == Encoding::kAsGiven && found.fields.size > kLarge) {
    found.item = read_large(key, &found.fields);  // of the same moment, since the statement is not over
  } else {
    found.fields.text =
        encoding == Encoding::kAsGiven ? whole->type(kData) == SQLITE_TEXT : encoding == Encoding::kZstdText;
    found.item = decode(whole->bytes(kData), encoding, key, found.fields);
  }
  // The checksum is seeded with the key's hash, so that a value that got under another key fails it too.
  if (!found.item || hash_bytes(found.item->value(), key.hash) != whole->unsigned_integer(kChecksum)) {
    found.state = Lookup::State::kDamaged;
    found.item = {};
  }
  return found;
}

// Null when the row holds no value of the size that it says.
ItemRef Reader::read_large(const Key &key, Item::Fields *fields) {
  Use type(type_);
  type->bind(1, fields->id);
  if (!type->step()) return {};
  std::string_view name = type->bytes(0);
  if (name != "text" && name != "blob") return {};
  fields->text = name == "text";
  Blob blob(connection_, fields->id);
  if (blob.size() != fields->size) return {};
  ItemRef item = Item::create(key, *fields, fields->size);
  blob.read(item->writable_value());
  return item;
}

// Null when the bytes cannot be a value of the size that the row says.
ItemRef Reader::decode(std::string_view data, Encoding encoding, const Key &key, const Item::Fields &fields) {
  ItemRef item;
  switch (encoding) {
    case Encoding::kAsGiven:
      if (data.size() != fields.size) return {};
      item = Item::create(key, fields, data.size());
      std::memcpy(item->writable_value(), data.data(), data.size());
      return item;
    case Encoding::kZstdText:
    case Encoding::kZstdBytes:
      if (!may_hold(data, fields.size)) return {};
      item = Item::create(key, fields, fields.size);
      if (!decompressor_.decompress(data, item->writable_value(), fields.size)) return {};
      return item;
  }
  return {};
}

bool Reader::any_misplaced(size_t candidates) {
  Use misplaced(misplaced_);
  misplaced->bind(1, uint64_t{candidates});
  return misplaced->step();
}

Totals Reader::totals() {
  Use totals(totals_);
  totals->step();
  return {totals->sum(0), totals->sum(1)};
}

}  // namespace dbc
