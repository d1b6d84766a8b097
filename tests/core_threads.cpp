// The threads of the CPU's kernels: all work is done once, whoever asks for it, and errors come back.
#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>

#include "catch.h"
#include "core/base/error.h"
#include "core/parallel_for.h"

namespace lamina::tests {
namespace {

struct FourThreads {
  int before = threads();
  FourThreads() { set_threads(4); }
  ~FourThreads() { set_threads(before); }
};

// How often each of n items is worked on by a loop in chunks.
std::vector<int> visits(std::int64_t n, std::int64_t chunk) {
  std::vector<std::atomic<int>> counts(static_cast<std::size_t>(n));
  parallel_for(n, chunk, [&](std::int64_t begin, std::int64_t end) {
    for (; begin < end; ++begin) ++counts[static_cast<std::size_t>(begin)];
  });
  return {counts.begin(), counts.end()};
}

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

TEST_CASE("every item of a loop is worked on once", "[threads]") {
  const FourThreads four;
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t n = round % 40 + 1, chunk = round % 7 + 1;
    if (visits(n, chunk) != std::vector<int>(static_cast<std::size_t>(n), 1)) FAIL("round " << round);
  }
}

TEST_CASE("loops within loops and loops of several threads at once are done", "[threads]") {
  const FourThreads four;
  std::atomic<int> inner = 0;
  parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
    parallel_for(8, 1, [&](std::int64_t, std::int64_t) { ++inner; });
  });
  CHECK(inner == 64);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&wrong] {
      for (int round = 0; round < 300; ++round) wrong += visits(50, 3) != std::vector<int>(50, 1);
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("what a loop's body throws comes out of the loop, and later loops work", "[threads]") {
  const FourThreads four;
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS_AS(
        parallel_for(64, 1, [](std::int64_t begin, std::int64_t) { check(begin != 37, "item {}", begin); }),
        Error);
    CHECK(visits(64, 1) == std::vector<int>(64, 1));
  }
}

TEST_CASE("threads that have nothing to do take no time", "[threads]") {
  const FourThreads four;
  visits(64, 1);
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // Three threads that spin would take most of 0.3 s on any number of cores.
  CHECK(cpu_seconds() - before < 0.05);
}

}  // namespace lamina::tests
