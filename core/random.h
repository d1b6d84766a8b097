// Random numbers as a pure function of (seed, stream, epoch, sample, draw): Philox4x32-10, Salmon et al.,
// "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. There is no state to save, and threads, workers and
// devices cannot change a result.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/host_device.h"
#include "core/math/philox.h"

namespace lamina {

// What the numbers are for; streams never overlap.
enum class Stream : std::uint32_t {
  init,
  shuffle,
  augment,
  synthetic,
  split,
  dropout,
  probe,
  user,
  tensor,
  views
};

// Of one of a sample's views, counted from 0.
constexpr Stream stream_of_view(Stream stream, int view) {
  return static_cast<Stream>(static_cast<std::uint32_t>(stream) + (static_cast<std::uint32_t>(view) << 16));
}

// The numbers of one (seed, stream, epoch, sample); `draw` counts within it.
struct Random {
  std::uint64_t seed = 0;
  Stream stream = Stream::user;
  std::uint32_t epoch = 0;
  std::uint32_t sample = 0;

  LAMINA_HD std::uint32_t bits(std::uint32_t draw) const { return block(draw).word[draw % 4]; }
  // The bits of the four draws that `draw` is among, the first of them a multiple of 4.
  LAMINA_HD math::PhiloxBlock block(std::uint32_t draw) const {
    return math::philox({{draw / 4, sample, epoch, static_cast<std::uint32_t>(stream)}}, seed);
  }
  // In [0, 1): 24 bits, exact in f32.
  LAMINA_HD float uniform(std::uint32_t draw) const { return uniform_of(bits(draw)); }
  LAMINA_HD static float uniform_of(std::uint32_t word) {
    return static_cast<float>(word >> 8) * (1.0f / 16777216.0f);
  }
  // In {0, …, n - 1}, by multiplication; the bias is below n / 2^32.
  LAMINA_HD std::uint32_t below(std::uint32_t draw, std::uint32_t n) const {
    return static_cast<std::uint32_t>((std::uint64_t{bits(draw)} * n) >> 32);
  }
  // Standard normal by Box–Muller from draws 2*draw and 2*draw + 1. Host only: libm differs between devices.
  double normal(std::uint32_t draw) const { return normal_of(bits(2 * draw), bits(2 * draw + 1)); }
  static double normal_of(std::uint32_t first, std::uint32_t second);
};

// The process-wide seed that models and loaders take when none is given to them.
void seed(std::uint64_t value);
std::uint64_t seed();
// Tells apart what is drawn under that seed without a number of its own, like Tensor::randn(): 0, 1, … since
// seed() set it.
std::uint32_t next_draw();

// A permutation of 0 … n-1: Fisher–Yates with `random.below(i, ·)`.
std::vector<std::int64_t> permutation(std::int64_t n, const Random& random);

}  // namespace lamina
