#include "share/writer_lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include "base/status.h"
#include "share/byte_lock.h"

namespace dbc {
namespace {

// So long a waiter sleeps at most before it tries the lock, whoever's turn it is: at first, and after it was woken by
// nothing but the time again and again. It is how long a waiter that died can hold up the others.
constexpr auto kFirstPatience = std::chrono::milliseconds(2);
constexpr auto kLastPatience = std::chrono::milliseconds(32);
constexpr auto kAlertness = std::chrono::microseconds(50);

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC

// Tickets go round: compared by their distance.
bool is_before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

uint32_t bit_of(uint32_t ticket) { return uint32_t{1} << (ticket % 32); }

// Sleeps until that time, or somebody wakes the ticket, or a signal comes; not at all if the event has moved on.
void sleep_on(std::atomic<uint32_t> &event, uint32_t seen, uint32_t ticket, Clock::time_point until) {
  auto since_boot = std::chrono::duration_cast<std::chrono::nanoseconds>(until.time_since_epoch()).count();
  timespec time{since_boot / 1'000'000'000, since_boot % 1'000'000'000};
  long result = syscall(SYS_futex, &event, FUTEX_WAIT_BITSET, seen, &time, nullptr, bit_of(ticket));
  if (result == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT) return;
  // Where there are no futexes, time alone must do.
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

// Whose turn is next, and was told so while the one before is at work, looks for a moment before it sleeps: handing
// over to a sleeper takes as long as a whole transaction.
bool changes_soon(const std::atomic<uint32_t> &event, uint32_t seen) {
  Clock::time_point end = Clock::now() + kAlertness;
  while (Clock::now() < end) {
    if (event.load() != seen) return true;
  }
  return false;
}

}  // namespace

// The end of the time a caller grants; the clock is read at the first wait, never when there is none.
class WriterLock::Deadline {
 public:
  explicit Deadline(std::chrono::duration<double> timeout) : timeout_(timeout) {}

  bool may_wait() const { return timeout_.count() > 0; }  // false for a NaN
  bool passed() { return Clock::now() >= end(); }
  Clock::time_point end() {
    // What is longer than 30 years is for ever, and would overflow the clock sooner or later.
    if (!end_) {
      end_ = timeout_.count() > 1e9 ? Clock::time_point::max()
                                    : Clock::now() + std::chrono::duration_cast<Clock::duration>(timeout_);
    }
    return *end_;
  }

 private:
  const std::chrono::duration<double> timeout_;
  std::optional<Clock::time_point> end_;
};

bool WriterLock::try_lock_for(std::chrono::duration<double> timeout) {
  Deadline deadline(timeout);
  if (!take_turn(deadline)) return false;
  try {
    if (descriptor_ < 0 || lock_file(deadline)) return true;
  } catch (...) {
    pass_turn();
    throw;
  }
  pass_turn();
  return false;
}

void WriterLock::unlock() {
  if (descriptor_ >= 0) {
    unlock_byte(descriptor_, LockByte::kWriter);  // does not fail for what is locked
    if (queue_->arrived.load() != queue_->served.load()) wake_next();
  }
  pass_turn();
}

bool WriterLock::take_turn(Deadline &deadline) {
  std::unique_lock guard(mutex_);
  if (!taken_) {
    taken_ = true;
    return true;
  }
  if (!deadline.may_wait()) return false;
  Waiter self;
  auto place = waiters_.insert(waiters_.end(), &self);
  auto ready = [&] { return self.turn; };
  if (deadline.end() == Clock::time_point::max()) {
    self.changed.wait(guard, ready);
    return true;
  }
  if (self.changed.wait_until(guard, deadline.end(), ready)) return true;
  waiters_.erase(place);
  return false;
}

// `taken_` stays set when there is a next: nobody can come in between.
void WriterLock::pass_turn() {
  std::lock_guard guard(mutex_);
  taken_ = !waiters_.empty();
  if (!taken_) return;
  Waiter *next = waiters_.front();
  waiters_.pop_front();
  next->turn = true;
  next->changed.notify_one();  // under the mutex: afterwards the waiter may be gone
}

// Only the thread whose turn it is comes here, so it alone uses the descriptor.
bool WriterLock::lock_file(Deadline &deadline) {
  bool nobody_waits = queue_->arrived.load() == queue_->served.load();
  if ((nobody_waits || !deadline.may_wait()) && try_lock_file()) return true;
  return deadline.may_wait() && queue_for_file(deadline);
}

bool WriterLock::try_lock_file() {
  int error = lock_byte(descriptor_, LockByte::kWriter, false);
  if (error != 0 && error != EAGAIN) {
    throw Error(Status::kIo, "writer lock: " + std::system_category().message(error));
  }
  return error == 0;
}

bool WriterLock::queue_for_file(Deadline &deadline) {
  uint32_t ticket = queue_->arrived.fetch_add(1);
  // Tickets that nobody has yet cannot have been served.
  uint32_t served = queue_->served.load();
  if (is_before(ticket, served)) queue_->served.compare_exchange_strong(served, ticket);

  Clock::duration patience = kFirstPatience;
  // When the lock is tried next, whoever's turn it is; put off by a try alone, whatever wakes the thread before.
  Clock::time_point next_try = std::min(Clock::now() + patience, deadline.end());
  for (bool patient = true;;) {
    // The event before anything else is looked at: what changes afterwards moves it, and there will be no sleep.
    uint32_t event = queue_->event.load();
    if (!patient || !is_before(queue_->served.load(), ticket)) {
      bool locked = try_lock_file();
      bool over = !locked && deadline.passed();
      if (locked || over) {
        leave_queue(ticket);
        wake_next();  // to be ready, or for an unlock that was told to this one
        return locked;
      }
      // Overtaken by someone who lost patience: behind those who have come since, but woken in turn again.
      if (is_before(ticket, queue_->served.load())) ticket = queue_->arrived.fetch_add(1);
      if (!patient) patience = std::min<Clock::duration>(2 * patience, kLastPatience);
      next_try = std::min(Clock::now() + patience, deadline.end());
    }
    if (ticket == queue_->served.load() && changes_soon(queue_->event, event)) continue;
    sleep_on(queue_->event, event, ticket, next_try);
    patient = Clock::now() < next_try;
  }
}

// Whoever comes after `ticket` is next, unless someone after it was served already.
void WriterLock::leave_queue(uint32_t ticket) {
  uint32_t served = queue_->served.load();
  while (is_before(served, ticket + 1) && !queue_->served.compare_exchange_weak(served, ticket + 1)) {
  }
}

void WriterLock::wake_next() {
  queue_->event.fetch_add(1);
  syscall(SYS_futex, &queue_->event, FUTEX_WAKE_BITSET, 1, nullptr, nullptr, bit_of(queue_->served.load()));
}

}  // namespace dbc
