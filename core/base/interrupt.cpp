#include "core/base/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <string_view>

namespace lamina {
namespace {

constexpr std::array handled{SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
// What writing the message may raise: the reader is gone, the file is at its limit, or the process is in the
// background of its terminal, which would stop it.
constexpr std::array raised_by_writing{SIGPIPE, SIGXFSZ, SIGTTOU};

std::array<struct sigaction, handled.size()> previous;
std::atomic<int> arrived{0};
std::array<std::atomic<std::int64_t>, 2> first_arrival;  // of SIGINT and SIGTERM, in ns; 0: not yet
std::mutex mutex;                                        // of the one below
int handlers = 0;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

// What follows until install() is safe in a signal handler: lock-free atomics and system calls.

std::int64_t nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// timeout(1) sends its signal to the process and then to its group: the same request, at the same time.
bool is_repeated(int number) {
  constexpr std::int64_t at_once = 200'000'000;
  if (number != SIGINT && number != SIGTERM) return false;
  std::int64_t first = 0;
  const std::int64_t now = nanoseconds();
  return !first_arrival[number == SIGINT ? 0 : 1].compare_exchange_strong(first, now) &&
         now - first > at_once;
}

// Never waits, and what it raises, which is blocked in the handler, is taken back.
void tell(std::string_view message) {
  sigset_t before, raised;
  sigpending(&before);
  pollfd error{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&error, 1, 0) != 1) return;
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
  sigemptyset(&raised);
  for (const int number : raised_by_writing)
    if (sigismember(&before, number) == 0) sigaddset(&raised, number);
  const timespec at_once{};
  while (sigtimedwait(&raised, nullptr, &at_once) > 0) {
  }
}

void on_signal(int number) {
  const int error = errno;
  int none = 0;
  if (is_repeated(number)) {
    ::signal(number, SIG_DFL);
    ::raise(number);  // delivered on return
  } else if (arrived.compare_exchange_strong(none, number)) {
    tell(number == SIGINT || number == SIGTERM
             ? "\nlamina: stopping after this step; again, and it stops at once\n"
             : "\nlamina: stopping after this step\n");
  }
  errno = error;
}

bool is_ignored(const struct sigaction& action) { return action.sa_handler == SIG_IGN; }

void install() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : raised_by_writing) sigaddset(&action.sa_mask, number);
  for (std::size_t i = 0; i < handled.size(); ++i) {
    sigaction(handled[i], nullptr, &previous[i]);
    if (handled[i] == SIGINT || !is_ignored(previous[i])) sigaction(handled[i], &action, nullptr);
  }
}

}  // namespace

InterruptHandler::InterruptHandler() {
  const std::lock_guard lock(mutex);
  if (++handlers > 1) return;
  arrived = 0;
  for (auto& arrival : first_arrival) arrival = 0;
  install();
}

InterruptHandler::~InterruptHandler() {
  const std::lock_guard lock(mutex);
  if (--handlers > 0) return;
  for (std::size_t i = 0; i < handled.size(); ++i) sigaction(handled[i], &previous[i], nullptr);
}

int InterruptHandler::signal() { return arrived; }

}  // namespace lamina
