#include "core/base/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string_view>

namespace lamina {
namespace {

constexpr std::array handled{SIGINT, SIGTERM};
std::array<struct sigaction, handled.size()> previous;
std::atomic<int> arrived{0};
std::mutex mutex;  // of the two below
int handlers = 0;
static_assert(std::atomic<int>::is_always_lock_free);

// Only what is safe in a signal handler: a lock-free atomic and write().
void on_signal(int number) {
  arrived = number;
  constexpr std::string_view message = "\nlamina: stopping after this step; again, and it stops at once\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
}

}  // namespace

InterruptHandler::InterruptHandler() {
  const std::lock_guard lock(mutex);
  if (++handlers > 1) return;
  arrived = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < handled.size(); ++i) sigaction(handled[i], &action, &previous[i]);
}

InterruptHandler::~InterruptHandler() {
  const std::lock_guard lock(mutex);
  if (--handlers > 0) return;
  for (std::size_t i = 0; i < handled.size(); ++i) sigaction(handled[i], &previous[i], nullptr);
}

int InterruptHandler::signal() { return arrived; }

}  // namespace lamina
