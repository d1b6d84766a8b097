// Signals that ask a run to stop: what they do, and what saying so must not do.
#include "core/base/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>

#include "catch.h"

namespace lamina::tests {
namespace {

constexpr std::array asking{SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
constexpr std::array from_batch_systems{SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};

// How a process that does this ends: its exit status, or 128 + the signal that killed it. It says nothing.
template <typename Action>
int end_of(const Action& action) {
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    for (const int number : asking) signal(number, SIG_DFL);  // not the test program's
    for (const int number : {SIGPIPE, SIGXFSZ}) signal(number, SIG_DFL);
    alarm(20);
    action();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void wait_half_a_second() {
  const timespec time{.tv_sec = 0, .tv_nsec = 500'000'000};
  nanosleep(&time, nullptr);
}

}  // namespace

TEST_CASE("a first Ctrl-C is noted, a second one ends the program") {
  for (const int number : asking) {
    CHECK(end_of([=] {
            const InterruptHandler handler;
            raise(number);
            _exit(InterruptHandler::signal());
          }) == number);
  }
  for (const int number : {SIGINT, SIGTERM}) {
    CHECK(end_of([=] {
            const InterruptHandler handler;
            raise(number);
            wait_half_a_second();
            raise(number);
          }) == 128 + number);
  }
  CHECK(end_of([] {
          const InterruptHandler study;
          {
            const InterruptHandler first_run;
            raise(SIGINT);
          }
          const InterruptHandler second_run;
          _exit(InterruptHandler::signal());
        }) == SIGINT);
  CHECK(end_of([] {
          { const InterruptHandler handler; }
          raise(SIGINT);
        }) == 128 + SIGINT);
}

TEST_CASE("a signal sent twice at once, as timeout does, is one request") {
  for (const int number : {SIGINT, SIGTERM}) {
    CHECK(end_of([=] {
            const InterruptHandler handler;
            raise(number);
            raise(number);
            _exit(InterruptHandler::signal());
          }) == number);
  }
}

TEST_CASE("a batch system may send its signals again, and another, while a run is saved") {
  for (const int number : from_batch_systems) {
    CHECK(end_of([=] {
            const InterruptHandler handler;
            raise(number);
            wait_half_a_second();
            raise(number);
            raise(SIGTERM);
            _exit(InterruptHandler::signal());
          }) == number);
  }
}

TEST_CASE("a signal that is ignored stays ignored, but for Ctrl-C, which shells ignore in the background") {
  for (const int number : from_batch_systems) {
    CHECK(end_of([=] {
            signal(number, SIG_IGN);
            const InterruptHandler handler;
            raise(number);
            _exit(InterruptHandler::signal());
          }) == 0);
  }
  CHECK(end_of([] {
          signal(SIGINT, SIG_IGN);
          {
            const InterruptHandler handler;
            raise(SIGINT);
            if (InterruptHandler::signal() != SIGINT) _exit(1);
          }
          raise(SIGINT);  // as before
        }) == 0);
}

TEST_CASE("saying that a run stops neither ends the program nor waits") {
  const auto stops = [](const auto& make_error) {
    return end_of([&] {
      make_error();
      const InterruptHandler handler;
      raise(SIGINT);
      _exit(InterruptHandler::signal());
    });
  };
  CHECK(stops([] {  // into a pipe that nobody reads
          std::array<int, 2> ends{};
          if (pipe(ends.data()) != 0) _exit(1);
          dup2(ends[1], STDERR_FILENO);
          close(ends[0]);
        }) == SIGINT);
  CHECK(stops([] {  // into one that is full
          std::array<int, 2> ends{};
          if (pipe(ends.data()) != 0) _exit(1);
          dup2(ends[1], STDERR_FILENO);
          fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
          while (write(STDERR_FILENO, "fill", 4) > 0) {
          }
          fcntl(STDERR_FILENO, F_SETFL, 0);
        }) == SIGINT);
  CHECK(stops([] {  // into a file that may not grow
          const int file = fileno(std::tmpfile());
          dup2(file, STDERR_FILENO);
          const rlimit nothing{0, 0};
          setrlimit(RLIMIT_FSIZE, &nothing);
        }) == SIGINT);
}

TEST_CASE("what a signal handler writes does not change errno") {
  CHECK(end_of([] {
          const InterruptHandler handler;
          errno = ERANGE;
          raise(SIGINT);
          _exit(errno == ERANGE ? 7 : 1);
        }) == 7);
}

}  // namespace lamina::tests
