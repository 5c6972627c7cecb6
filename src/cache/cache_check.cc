// Checking and repairing both tiers.
#include <new>
#include <string>
#include <utility>

#include "cache/cache.h"

namespace dbc {

void Cache::check(bool repairing, CheckReport *report) {
  LogScope log(logger_);
  log.add(kTrace, [] { return "check()"; });
  commit_buffer();
  check_memory(repairing, report);
  if (repairing) {
    repair(report, log);
  } else {
    store_->check(report);
  }
  log.add(kTrace, [&] { return "check(): found " + std::to_string(report->problems()) + " problems"; });
}

// Would an item in memory answer with what the disk does not hold? Only those count whose generation says that they are
// current; the others are compared with the disk before they answer.
void Cache::check_memory(bool repairing, CheckReport *report) try {
  for (const ItemRef &item : memory_.in_order()) {
    uint64_t generation = store_->generations().word(item->hash());
    if (generation != item->generation.load() || !Generations::stable(generation)) continue;
    Lookup found = read(item->as_key(), Want::kNothing, 0, Store::kExactly);
    if (found.state == Lookup::State::kPresent && found.version == item->version()) continue;
    // A writer that came in between has moved the generation, or taken the item out; or is about to.
    if (found.uncommitted || store_->generations().word(item->hash()) != generation || !item->resident.load()) continue;
    report->add("memory: the disk does not hold item " + quoted(item->key()) + " in that state");
    if (!repairing) continue;
    if (ItemRef erased = memory_.erase(item->as_key(), item->version())) left_memory(erased);
  }
} catch (const Error &error) {
  // What is wrong with the disk is for its own check to say.
  if (error.status() != Status::kCorrupt) throw;
}

void Cache::repair(CheckReport *report, LogScope &log) {
  CheckReport found;
  store_->check(&found);  // while others write: most files are sound
  if (found.problems() == 0) return;
  std::vector<ItemRef> left;
  uint64_t before = report->problems();
  std::unique_ptr<Transaction> transaction = store_->begin();
  uint64_t discarded = transaction->repair(report);
  if (report->problems() == before) return;
  transaction->commit([&] {
    try {
      memory_.clear(&left);
    } catch (const std::bad_alloc &) {
      logger_.defer(kWarning, "memory is short: the memory tier keeps items until the disk has confirmed them");
    }
  });
  log.add(kWarning, [&] {
    return "repaired the file: " + std::to_string(report->problems() - before) + " problems, " +
           std::to_string(discarded) + " items removed";
  });
  for (const ItemRef &item : left) left_memory(item);
  statistics_.add(Counter::kDiscarded, static_cast<int64_t>(discarded));
}

}  // namespace dbc
