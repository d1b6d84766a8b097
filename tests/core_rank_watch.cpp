// Processes that look after one another, with their deaths.
#include "core/parallel/rank_watch.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <new>
#include <string>

#include "catch.h"

namespace lamina {
namespace {

// A word that processes share, 0 at first.
class SharedWord {
 public:
  SharedWord()
      : place_(mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                    0)) {
    REQUIRE(place_ != MAP_FAILED);
    new (place_) std::atomic<int>(0);
  }
  ~SharedWord() { munmap(place_, sizeof(std::atomic<int>)); }
  SharedWord(const SharedWord&) = delete;
  SharedWord& operator=(const SharedWord&) = delete;
  std::atomic<int>& operator*() const { return *static_cast<std::atomic<int>*>(place_); }

 private:
  void* place_;
};

constexpr int ended_all = 42;

pid_t start(const std::function<void()>& work) {
  const pid_t process = fork();
  REQUIRE(process >= 0);
  if (process > 0) return process;
  alarm(30);  // whatever goes wrong
  work();
  _Exit(0);
}

int status_of(pid_t process) {
  int status = 0;
  waitpid(process, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// What two processes that watch a third say, and how they end, when that one has died.
struct Outcome {
  std::string said;
  std::array<int, 2> statuses;
};

Outcome after_the_death_of_one(int told) {
  const SharedWord word, watching;
  *word = told;
  std::array<int, 2> said{};
  REQUIRE(pipe(said.data()) == 0);
  const pid_t victim = start([] { pause(); });
  std::array<pid_t, 2> watchers{};
  for (pid_t& watcher : watchers)
    watcher = start([&] {
      dup2(said[1], STDERR_FILENO);
      close(said[1]);
      const RankWatch watch({{.rank = 7, .id = victim}}, *word, [] { _Exit(ended_all); });
      ++*watching;
      pause();
    });
  close(said[1]);
  while (*watching < 2) usleep(1000);
  kill(victim, SIGKILL);
  status_of(victim);
  Outcome outcome{.said = {}, .statuses = {status_of(watchers[0]), status_of(watchers[1])}};
  std::array<char, 512> text{};
  for (ssize_t n = 0; (n = read(said[0], text.data(), text.size())) > 0;)
    outcome.said.append(text.data(), static_cast<std::size_t>(n));
  close(said[0]);
  return outcome;
}

}  // namespace

TEST_CASE("a rank that is killed is told of by one of the others, and all of them end") {
  const Outcome outcome = after_the_death_of_one(0);
  CHECK_THAT(outcome.said, Catch::Contains("lamina: rank 7 (process ") && Catch::Contains("has died"));
  CHECK(outcome.said.find("has died") == outcome.said.rfind("has died"));
  CHECK(outcome.statuses[0] + outcome.statuses[1] == ended_all + 1);
}

TEST_CASE("nothing is said of a rank that has said itself why all end") {
  const Outcome outcome = after_the_death_of_one(1);
  CHECK(outcome.said.empty());
  CHECK(outcome.statuses == std::array{1, 1});
}

TEST_CASE("a watch ends while all are alive") {
  const SharedWord word;
  const pid_t other = start([] { pause(); });
  {
    const RankWatch watch({{.rank = 1, .id = other}}, *word, [] { _Exit(ended_all); });
  }
  kill(other, SIGKILL);
  status_of(other);
  CHECK(*word == 0);
}

}  // namespace lamina
