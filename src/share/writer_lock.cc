#include "share/writer_lock.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <list>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/fork.h"
#include "base/status.h"
#include "share/byte_lock.h"

namespace dbc {
namespace {

// For so long others may overtake the first in the queue: handing over to a sleeper at every unlock would cost two
// writers most of their throughput, and a writer that loses every race would never get its turn.
constexpr uint64_t kPatienceNanoseconds = 2'000'000;

// The same clock for all processes of the machine; never 0.
uint64_t monotonic_nanoseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec) + 1;
}

// The end of the time a caller grants; the clock is read at the first wait, never when there is none.
class Deadline {
 public:
  explicit Deadline(std::chrono::duration<double> timeout) : timeout_(timeout) {}

  bool may_wait() const { return timeout_.count() > 0; }  // false for a NaN

  // Until `ready` is true; false when the time ran out first.
  template <typename Ready>
  bool wait(std::condition_variable &condition, std::unique_lock<std::mutex> &guard, Ready ready) {
    // What is longer than 30 years is for ever, and would overflow the clock sooner or later.
    if (timeout_.count() > 1e9) {
      condition.wait(guard, ready);
      return true;
    }
    if (!started_) end_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(timeout_);
    started_ = true;
    return condition.wait_until(guard, end_, ready);
  }

 private:
  using Clock = std::chrono::steady_clock;
  const std::chrono::duration<double> timeout_;
  bool started_ = false;
  Clock::time_point end_;
};

void close_registered(int descriptor) {
  NoFork no_fork;
  forget_descriptor(descriptor);
  close(descriptor);
}

Error lock_error(const char *what, int error) {
  return Error(Status::kIo, std::string("writer lock: ") + what + ": " + std::system_category().message(error));
}

}  // namespace

// Invariants: while `helper` is kWaiting, no one but the helper asks the kernel for a lock on this open file
// description (such requests would not conflict, and either's unlock would take the other's lock away). Only the thread
// whose turn it is starts a helper or takes the lock from it.
struct WriterLock::State {
  enum class Helper { kNone, kWaiting, kGranted, kFailed };
  struct Waiter {
    std::condition_variable changed;
    bool turn = false;
  };

  State(int descriptor_, std::atomic<uint64_t> *waiting_) : descriptor(descriptor_), waiting(waiting_) {}

  bool take_turn(std::unique_lock<std::mutex> &guard, Deadline &deadline);
  void pass_turn();
  bool queue_is_impatient() const;
  void start_helper(const std::shared_ptr<State> &self);
  void help(int own_descriptor);
  void say_waiting(uint64_t since);

  const int descriptor;
  std::atomic<uint64_t> *const waiting;

  std::mutex mutex;             // guards everything below
  bool taken = false;           // it is some thread's turn
  std::list<Waiter *> waiters;  // for their turn, in order of arrival
  bool closed = false;          // the WriterLock is gone
  Helper helper = Helper::kNone;
  int helper_error = 0;                  // of kFailed
  std::condition_variable helper_ended;  // the thread whose turn it is waits here
};

WriterLock::WriterLock(int descriptor, std::atomic<uint64_t> *waiting)
    : state_(std::make_shared<State>(descriptor, waiting)) {}

WriterLock::~WriterLock() {
  std::lock_guard guard(state_->mutex);
  state_->closed = true;
}

bool WriterLock::try_lock_for(std::chrono::duration<double> timeout) {
  State &state = *state_;
  Deadline deadline(timeout);
  std::unique_lock guard(state.mutex);
  if (!state.take_turn(guard, deadline)) return false;
  if (state.descriptor < 0) return true;

  if (state.helper == State::Helper::kNone) {
    if (!deadline.may_wait() || !state.queue_is_impatient()) {
      // Its turn makes this thread the only one to use the descriptor.
      guard.unlock();
      int error = lock_byte(state.descriptor, LockByte::kWriter, false);
      if (error == 0) return true;
      guard.lock();
      if (error != EAGAIN) {
        state.pass_turn();
        throw lock_error("lock", error);
      }
    }
    if (deadline.may_wait()) state.start_helper(state_);
  }
  // Without time left and with a helper in the queue, the lock is somebody else's, or as good as.
  bool ended = deadline.may_wait() &&
               deadline.wait(state.helper_ended, guard, [&] { return state.helper != State::Helper::kWaiting; });
  if (ended && std::exchange(state.helper, State::Helper::kNone) == State::Helper::kGranted) return true;
  state.pass_turn();
  if (ended) throw lock_error("wait", state.helper_error);
  return false;
}

void WriterLock::unlock() {
  // Unlocking what is locked does not fail.
  if (state_->descriptor >= 0) unlock_byte(state_->descriptor, LockByte::kWriter);
  std::lock_guard guard(state_->mutex);
  state_->pass_turn();
}

bool WriterLock::State::take_turn(std::unique_lock<std::mutex> &guard, Deadline &deadline) {
  if (!taken) {
    taken = true;
    return true;
  }
  if (!deadline.may_wait()) return false;
  Waiter self;
  auto place = waiters.insert(waiters.end(), &self);
  if (deadline.wait(self.changed, guard, [&] { return self.turn; })) return true;
  waiters.erase(place);
  return false;
}

// Requires the mutex. `taken` stays set when there is a next: nobody can come in between.
void WriterLock::State::pass_turn() {
  taken = !waiters.empty();
  if (!taken) return;
  Waiter *next = waiters.front();
  waiters.pop_front();
  next->turn = true;
  next->changed.notify_one();  // under the mutex: afterwards the waiter may be gone
}

// A time in the future (nonsense in the file) counts as long ago: queueing is always right.
bool WriterLock::State::queue_is_impatient() const {
  uint64_t since = waiting ? waiting->load(std::memory_order_relaxed) : 0;
  return since != 0 && monotonic_nanoseconds() - since >= kPatienceNanoseconds;
}

// Requires the mutex and the turn, which is passed on when this throws.
void WriterLock::State::start_helper(const std::shared_ptr<State> &self) {
  // Of its own, so that the caller may close the one it lent when the WriterLock is gone.
  int own_descriptor, error;
  {
    NoFork no_fork;
    own_descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    error = own_descriptor < 0 ? errno : 0;
    if (error == 0) {
      try {
        close_in_child(own_descriptor);
      } catch (const std::bad_alloc &) {
        close(own_descriptor);
        error = ENOMEM;
      }
    }
  }
  if (error == 0) {
    // The application's signals are for the application's threads; a new thread inherits the mask.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([self, own_descriptor] { self->help(own_descriptor); }).detach();
    } catch (const std::system_error &failure) {
      error = failure.code().value();
    } catch (const std::bad_alloc &) {
      error = ENOMEM;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) close_registered(own_descriptor);
  }
  if (error != 0) {
    pass_turn();
    throw lock_error("start to wait", error);
  }
  helper = Helper::kWaiting;
}

// The helper thread. Holding kQueue while it waits for kWriter makes it the first in the queue of all processes.
void WriterLock::State::help(int own_descriptor) {
  int error = lock_byte(own_descriptor, LockByte::kQueue, true);
  if (error == 0) {
    say_waiting(monotonic_nanoseconds());
    error = lock_byte(own_descriptor, LockByte::kWriter, true);
    say_waiting(0);  // before the next in the queue says its own time
    unlock_byte(own_descriptor, LockByte::kQueue);
  }
  {
    std::lock_guard guard(mutex);
    if (taken && !closed) {
      helper = error == 0 ? Helper::kGranted : Helper::kFailed;
      helper_error = error;
      helper_ended.notify_one();
    } else {
      // Under the mutex, before a newcomer can lock: it would be the newcomer's lock that is given back.
      if (error == 0) unlock_byte(own_descriptor, LockByte::kWriter);
      helper = Helper::kNone;
    }
  }
  close_registered(own_descriptor);
}

void WriterLock::State::say_waiting(uint64_t since) {
  std::lock_guard guard(mutex);
  if (waiting && !closed) waiting->store(since, std::memory_order_relaxed);
}

}  // namespace dbc
