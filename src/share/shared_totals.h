// SharedTotals: how many items a database holds, of how many bytes, the last version given out, and what its order of
// eviction has still to be told, where all processes see it.
//
// Keeping the counts in the database costs every put a page of its own, in the WAL, for 24 bytes. Here they cost
// nothing; but then a commit and its counts are two things, and a writer may die between them. So a writer first
// prepares the counts that its commit will make true, with a piece of evidence: a row that has a certain version only
// if the commit happened. Whoever has the writer lock next and finds counts still prepared looks at the evidence, and
// settles.
//
// Where the counts are unknown (another boot of the machine, another database, damage), they are read or counted again.
//
// Thread safety: current() and in_doubt() from anywhere; all else under the writer lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace dbc {

// Changes of the order of eviction that wait to be made in the database (see disk/eviction_order.h).
struct WaitingPlaces {
  static constexpr size_t kMost = 64;
  static constexpr size_t kMostKeyBytes = 128;
  struct Place {
    int64_t id = 0;
    double recorded = 0;
  };
  // Items that the order lacks.
  size_t fresh_count = 0;
  std::array<Place, kMost> fresh;
  // How many first places of the order, up to this one, belong to items that are gone.
  size_t gone_count = 0;
  double gone_until = 0;
  size_t gone_key_bytes = 0;
  std::array<char, kMostKeyBytes> gone_key{};
};

struct FileTotals {
  static constexpr size_t kMostSchemas = 4;
  struct Schema {
    int64_t id = 0;
    uint64_t items = 0;
    uint64_t bytes = 0;
  };
  uint64_t last_version = 0;
  // The id of an item that has `evidence_version`; 0: the table of schema versions has it as its largest.
  int64_t evidence = 0;
  uint64_t evidence_version = 0;
  // The database says that the counts in its table are not to be believed, so that a put need not say it again.
  bool table_is_stale = false;
  size_t count = 0;  // of the schemas below
  std::array<Schema, kMostSchemas> schemas;
  WaitingPlaces waiting;
};

class SharedTotals {
 public:
  // Lies in shared memory. Zeros mean that nothing is known; any other bytes are safe, and nearly all are found out.
  struct Area {
    struct Bank {
      static constexpr size_t kSchemas = 5, kGone = kSchemas + 3 * FileTotals::kMostSchemas,
                              kFresh = kGone + 3 + WaitingPlaces::kMostKeyBytes / 8;
      // The last ones only as far as they are used.
      std::array<std::atomic<uint64_t>, kFresh + 1 + 2 * WaitingPlaces::kMost> words;
      std::atomic<uint64_t> sequence;
      std::atomic<uint64_t> checksum;
    };
    std::atomic<uint64_t> boot;  // which boot of the machine wrote this
    // The sequence number of the current bank, times two; plus one while another is prepared. A wrong one would make
    // the counts of another time the present ones, so it is sealed: see State.
    std::atomic<uint64_t> state;
    std::array<Bank, 2> banks;  // the one with an even and the one with an odd sequence number
  };

  struct State {
    uint64_t sequence = 0;  // 0: nothing is known
    bool in_doubt = false;
    // As it is stored, with a check number above 48 bits, which no change of a single bit leaves right. What is not
    // sealed is damaged, and then nothing is known. (All zeros are sealed.)
    uint64_t sealed() const;
    static State unsealed(uint64_t stored);
  };

  explicit SharedTotals(Area *area) : area_(area) {}

  // Forgets what another boot of the machine left: the database may have lost commits since. False where boots cannot
  // be told apart: then this is not to be used.
  bool adopt_boot();

  // Nothing when unknown. While in doubt, the counts before the commit that was prepared.
  std::optional<FileTotals> current() const;
  // Another number after every change of the counts; the commit that brings it falls in a time of doubt.
  uint64_t moment() const { return area_->state.load(); }
  bool in_doubt() const { return load().in_doubt; }

  // In doubt: what the commit was to make true; nothing when that is damaged.
  std::optional<FileTotals> prepared() const;
  void prepare(const FileTotals &totals);
  void settle(bool committed);  // unless there is no doubt

  void set(const FileTotals &totals);
  void forget() { area_->state.store(0); }

 private:
  std::optional<FileTotals> read(uint64_t sequence) const;
  void write(uint64_t sequence, const FileTotals &totals);
  State load() const { return State::unsealed(area_->state.load()); }
  void store(const State &state) { area_->state.store(state.sealed()); }

  Area *const area_;
};

}  // namespace dbc
