// The limit of arithmetic: chains of multiply-adds in registers that touch no memory.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/vector.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

// Enough for two multiply-adds a cycle that each take five cycles, in 16 registers with the two factors.
constexpr int chains = 12;

float run_chains(std::int64_t rounds, float factor) {
  using Vector = cpu::Vector<float>;
  const Vector scale = Vector{} + factor, term = Vector{} + (1 - factor);
  std::array<Vector, chains> sums{};
  for (int k = 0; k < chains; ++k)
    sums[static_cast<std::size_t>(k)] += factor * static_cast<float>(k);  // no two alike
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (Vector& sum : sums) sum = sum * scale + term;
  }
  Vector total{};
  for (const Vector& sum : sums) total += sum;
  return total[0];
}

}  // namespace

double CpuBackend::peak_gflops() {
  constexpr std::int64_t rounds = 200'000;
  constexpr double flop = 2.0 * rounds * chains * cpu::lanes<float>;
  std::atomic<float> factor = 0.5f;  // unknown to the compiler, as is who reads the result
  const auto run = [&](std::int64_t, std::int64_t) { factor = 0.5f + 0 * run_chains(rounds, factor); };
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(threads(), 1, run);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, flop * threads() / seconds.count() * 1e-9);
  }
  return best;
}

}  // namespace lamina
