#include "core/random.h"

#include <atomic>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace lamina {
namespace {
std::atomic<std::uint64_t> process_seed{0};
std::atomic<std::uint32_t> draws{0};
}  // namespace

void seed(std::uint64_t value) { process_seed = value, draws = 0; }
std::uint32_t next_draw() { return draws++; }
std::uint64_t seed() { return process_seed; }

double Random::normal_of(std::uint32_t first, std::uint32_t second) {
  // The radius takes (0, 1], so that its logarithm is finite.
  const double radius = (static_cast<double>(first) + 1.0) * 0x1p-32;
  const double angle = static_cast<double>(second) * 0x1p-32;
  return std::sqrt(-2.0 * std::log(radius)) * std::cos(2.0 * std::numbers::pi * angle);
}

std::vector<std::int64_t> permutation(std::int64_t n, const Random& random) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t i = n - 1; i > 0; --i) {
    const std::uint32_t j = random.below(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i + 1));
    std::swap(order[static_cast<std::size_t>(i)], order[j]);
  }
  return order;
}

}  // namespace lamina
