#include "share/shared_totals.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <tuple>

#include "base/hash.h"

namespace dbc {
namespace {

// A number for this boot of the machine; 0 where there is none to be had.
uint64_t read_boot() {
  int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  char text[64];
  ssize_t size;
  do {
    size = read(descriptor, text, sizeof text);
  } while (size < 0 && errno == EINTR);
  close(descriptor);
  return size < 36 ? 0 : hash_bytes({text, static_cast<size_t>(size)}) | 1;
}

using Bank = SharedTotals::Area::Bank;
using Words = std::array<uint64_t, std::tuple_size_v<decltype(Bank::words)>>;

uint64_t checksum_of(const Words &words, size_t used, uint64_t sequence) {
  return hash_bytes({reinterpret_cast<const char *>(words.data()), used * sizeof(uint64_t)}, sequence);
}

size_t used_words(uint64_t fresh_count) { return Bank::kFresh + 1 + 2 * fresh_count; }

constexpr int kNumberBits = 48;  // for a commit every microsecond for years

}  // namespace

// Flipping a bit of the number adds or subtracts a shifted copy of the factor, whose top 16 bits are then neither all
// zeros nor all ones: so the check number changes too.
uint64_t SharedTotals::State::sealed() const {
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15;
  uint64_t number = (sequence << 1 | (in_doubt ? 1 : 0)) & ((uint64_t{1} << kNumberBits) - 1);
  return number | number * kFactor >> kNumberBits << kNumberBits;
}

SharedTotals::State SharedTotals::State::unsealed(uint64_t stored) {
  uint64_t number = stored & ((uint64_t{1} << kNumberBits) - 1);
  State state{number >> 1, (number & 1) != 0};
  return state.sealed() == stored ? state : State{};
}

bool SharedTotals::adopt_boot() {
  uint64_t boot = read_boot();
  if (boot == 0 || area_->boot.load() != boot) {
    forget();
    area_->boot.store(boot);
  }
  return boot != 0;
}

std::optional<FileTotals> SharedTotals::read(uint64_t sequence) const {
  const Bank &bank = area_->banks[sequence & 1];
  uint64_t fresh_count = bank.words[Bank::kFresh].load(std::memory_order_relaxed);
  if (fresh_count > WaitingPlaces::kMost) return std::nullopt;
  Words words;
  const size_t used = used_words(fresh_count);
  for (size_t i = 0; i < used; ++i) words[i] = bank.words[i].load(std::memory_order_relaxed);
  if (words[Bank::kFresh] != fresh_count) return std::nullopt;
  if (bank.sequence.load(std::memory_order_relaxed) != sequence) return std::nullopt;
  if (bank.checksum.load(std::memory_order_relaxed) != checksum_of(words, used, sequence)) return std::nullopt;
  FileTotals totals;
  totals.last_version = words[0];
  totals.evidence = static_cast<int64_t>(words[1]);
  totals.evidence_version = words[2];
  totals.table_is_stale = words[3] != 0;
  totals.count = words[4];
  if (totals.count > FileTotals::kMostSchemas) return std::nullopt;
  for (size_t i = 0; i < totals.count; ++i) {
    const uint64_t *schema = &words[Bank::kSchemas + 3 * i];
    totals.schemas[i] = {static_cast<int64_t>(schema[0]), schema[1], schema[2]};
  }
  WaitingPlaces &waiting = totals.waiting;
  waiting.gone_count = words[Bank::kGone];
  waiting.gone_until = std::bit_cast<double>(words[Bank::kGone + 1]);
  waiting.gone_key_bytes = words[Bank::kGone + 2];
  if (waiting.gone_key_bytes > WaitingPlaces::kMostKeyBytes) return std::nullopt;
  std::memcpy(waiting.gone_key.data(), &words[Bank::kGone + 3], waiting.gone_key_bytes);
  waiting.fresh_count = fresh_count;
  for (size_t i = 0; i < fresh_count; ++i) {
    const uint64_t *place = &words[Bank::kFresh + 1 + 2 * i];
    waiting.fresh[i] = {static_cast<int64_t>(place[0]), std::bit_cast<double>(place[1])};
  }
  return totals;
}

void SharedTotals::write(uint64_t sequence, const FileTotals &totals) {
  const WaitingPlaces &waiting = totals.waiting;
  Words words;
  const size_t used = used_words(waiting.fresh_count);
  std::fill_n(words.begin(), used, 0);
  words[0] = totals.last_version;
  words[1] = static_cast<uint64_t>(totals.evidence);
  words[2] = totals.evidence_version;
  words[3] = totals.table_is_stale ? 1 : 0;
  words[4] = totals.count;
  for (size_t i = 0; i < totals.count; ++i) {
    uint64_t *schema = &words[Bank::kSchemas + 3 * i];
    schema[0] = static_cast<uint64_t>(totals.schemas[i].id);
    schema[1] = totals.schemas[i].items;
    schema[2] = totals.schemas[i].bytes;
  }
  if (waiting.gone_count > 0) {
    words[Bank::kGone] = waiting.gone_count;
    words[Bank::kGone + 1] = std::bit_cast<uint64_t>(waiting.gone_until);
    words[Bank::kGone + 2] = waiting.gone_key_bytes;
    std::memcpy(&words[Bank::kGone + 3], waiting.gone_key.data(), waiting.gone_key_bytes);
  }
  words[Bank::kFresh] = waiting.fresh_count;
  for (size_t i = 0; i < waiting.fresh_count; ++i) {
    uint64_t *place = &words[Bank::kFresh + 1 + 2 * i];
    place[0] = static_cast<uint64_t>(waiting.fresh[i].id);
    place[1] = std::bit_cast<uint64_t>(waiting.fresh[i].recorded);
  }
  Bank &bank = area_->banks[sequence & 1];
  for (size_t i = 0; i < used; ++i) bank.words[i].store(words[i], std::memory_order_relaxed);
  bank.sequence.store(sequence, std::memory_order_relaxed);
  bank.checksum.store(checksum_of(words, used, sequence), std::memory_order_relaxed);
}

std::optional<FileTotals> SharedTotals::current() const {
  // A bank is written anew two commits after it became current, so that who reads it meanwhile must try again.
  for (int attempt = 0; attempt < 100; ++attempt) {
    uint64_t sequence = load().sequence;
    if (sequence == 0) return std::nullopt;
    std::optional<FileTotals> totals = read(sequence);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (totals || load().sequence == sequence) return totals;
  }
  return std::nullopt;
}

std::optional<FileTotals> SharedTotals::prepared() const { return read(load().sequence + 1); }

void SharedTotals::prepare(const FileTotals &totals) {
  uint64_t current = load().sequence;  // 0: unknown so far, and so it stays if the commit does not happen
  write(current + 1, totals);
  store({current, true});
}

void SharedTotals::settle(bool committed) {
  State state = load();
  if (state.in_doubt) store({state.sequence + (committed ? 1 : 0), false});
}

void SharedTotals::set(const FileTotals &totals) {
  uint64_t next = load().sequence + 1;
  write(next, totals);
  store({next, false});
}

}  // namespace dbc
