// Random numbers: the published vectors of Philox, distributions, permutations, independence of streams.
#include "core/random_fill.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "catch.h"

namespace lamina::tests {
namespace {

std::vector<std::uint32_t> words(const math::PhiloxBlock& block) {
  return {std::begin(block.word), std::end(block.word)};
}

}  // namespace

// The known-answer vectors of Random123, kat_vectors, philox4x32 with 10 rounds.
TEST_CASE("Philox gives the published numbers", "[random]") {
  CHECK(words(math::philox({{0, 0, 0, 0}}, 0)) ==
        std::vector<std::uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  CHECK(words(math::philox({{ones, ones, ones, ones}}, 0xffffffffffffffff)) ==
        std::vector<std::uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(words(math::philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822)) ==
        std::vector<std::uint32_t>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("numbers are a function of seed, stream, epoch, sample and draw", "[random]") {
  const Random random{.seed = 5, .stream = Stream::augment, .epoch = 2, .sample = 9};
  CHECK(random.bits(3) == Random{.seed = 5, .stream = Stream::augment, .epoch = 2, .sample = 9}.bits(3));
  std::set<std::uint32_t> seen;
  for (std::uint32_t draw = 0; draw < 9; ++draw) seen.insert(random.bits(draw));
  for (const Random& other :
       {Random{6, Stream::augment, 2, 9}, Random{5, Stream::shuffle, 2, 9}, Random{5, Stream::augment, 3, 9},
        Random{5, Stream::augment, 2, 10}, Random{(std::uint64_t{1} << 32) + 5, Stream::augment, 2, 9}})
    seen.insert(other.bits(3));
  CHECK(seen.size() == 14);
}

// Bounds below are five standard deviations of the mean or variance of n independent draws.
TEST_CASE("uniform numbers fill [0, 1)", "[random]") {
  const Random random{.seed = 11};
  const std::uint32_t n = 200'000;
  double sum = 0, squares = 0;
  float lowest = 1, highest = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    const float u = random.uniform(i);
    sum += u;
    squares += double{u} * u;
    lowest = std::min(lowest, u);
    highest = std::max(highest, u);
  }
  CHECK(lowest >= 0);
  CHECK(highest < 1);
  CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
}

TEST_CASE("below() meets every number about equally often", "[random]") {
  const Random random{.seed = 12};
  const std::uint32_t n = 60'000, faces = 6;
  std::vector<int> counts(faces);
  for (std::uint32_t i = 0; i < n; ++i) ++counts.at(random.below(i, faces));
  const double expected = double{n} / faces;
  double chi_squared = 0;
  for (const int count : counts) chi_squared += (count - expected) * (count - expected) / expected;
  CHECK(chi_squared < 20.5);  // 5 degrees of freedom: exceeded with probability 0.001
  CHECK(random.below(0, 1) == 0);
  CHECK(random.below(7, 0xffffffff) < 0xffffffff);
}

TEST_CASE("normal numbers have the moments of N(0, 1)", "[random]") {
  const Random random{.seed = 13, .stream = Stream::init};
  const std::uint32_t n = 200'000;
  double sum = 0, squares = 0, fourth = 0, neighbours = 0, previous = 0;
  int beyond_two = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    const double x = random.normal(i);
    REQUIRE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    neighbours += x * previous;
    beyond_two += std::abs(x) > 2;
    previous = x;
  }
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(fourth / n - 3) < 5 * std::sqrt(96.0 / n));
  CHECK(std::abs(neighbours / n) < 5 / std::sqrt(n));
  CHECK(std::abs(double(beyond_two) / n - 0.0455) < 5 * std::sqrt(0.0455 / n));
}

TEST_CASE("permutations are valid, pure and uniform", "[random]") {
  const Random random{.seed = 1, .stream = Stream::shuffle, .epoch = 4};
  std::vector<std::int64_t> order = permutation(1000, random);
  CHECK(order == permutation(1000, random));
  CHECK(order != permutation(1000, {.seed = 1, .stream = Stream::shuffle, .epoch = 5}));
  CHECK(order != permutation(1000, {.seed = 2, .stream = Stream::shuffle, .epoch = 4}));
  std::sort(order.begin(), order.end());
  std::vector<std::int64_t> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(order == expected);
  CHECK(permutation(0, random).empty());
  CHECK(permutation(1, random) == std::vector<std::int64_t>{0});

  std::map<std::vector<std::int64_t>, int> counts;
  for (std::uint32_t epoch = 0; epoch < 6000; ++epoch) ++counts[permutation(3, {.seed = 3, .epoch = epoch})];
  REQUIRE(counts.size() == 6);
  double chi_squared = 0;
  for (const auto& [_, count] : counts) chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  CHECK(chi_squared < 20.5);  // 5 degrees of freedom: exceeded with probability 0.001
}

TEST_CASE("many numbers at a time are those drawn one by one", "[random]") {
  const Random random{.seed = 5, .stream = Stream::user, .epoch = 2, .sample = 3};
  for (const std::size_t count : {0, 1, 2, 3, 5, 6, 4096, 70'001}) {
    CAPTURE(count);
    for (const int threads : {1, 3}) {
      const Threads guard(threads);
      std::vector<double> normal(count, -100), uniform(count, -100);
      fill_normal(random, normal);
      fill_uniform(random, uniform);
      std::size_t other = 0;
      for (std::uint32_t i = 0; i < count; ++i) {
        other += normal[i] == random.normal(i) ? 0 : 1;
        other += uniform[i] == static_cast<double>(random.uniform(i)) ? 0 : 1;
      }
      CHECK(other == 0);
    }
  }
}

TEST_CASE("the process-wide seed is kept", "[random]") {
  const std::uint64_t before = seed();
  seed(0x123456789abcdef0);
  CHECK(seed() == 0x123456789abcdef0);
  seed(before);
}

}  // namespace lamina::tests
