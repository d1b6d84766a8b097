#include "apps/interrupt.h"

#include <signal.h>

#include <array>
#include <atomic>

namespace lamina {
namespace {

constexpr std::array handled{SIGINT, SIGTERM};
std::array<struct sigaction, handled.size()> previous;
std::atomic<int> arrived{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void on_signal(int number) { arrived = number; }

}  // namespace

InterruptHandler::InterruptHandler() {
  arrived = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < handled.size(); ++i) sigaction(handled[i], &action, &previous[i]);
}

InterruptHandler::~InterruptHandler() {
  for (std::size_t i = 0; i < handled.size(); ++i) sigaction(handled[i], &previous[i], nullptr);
}

int InterruptHandler::signal() { return arrived; }

}  // namespace lamina
