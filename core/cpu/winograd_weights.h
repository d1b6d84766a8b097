// U = G g Gᵀ of the weights, in panels of result channels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/rounding.h"
#include "core/cpu/transpose.h"
#include "core/cpu/winograd_tiles.h"
#include "core/parallel_for.h"

namespace lamina::cpu::winograd {

// A convolution, forward or backward: results from a source.
struct Problem {
  std::int64_t images = 0;
  Image source, result;
  std::int64_t padding = 0;  // of the source
  // Between neighbours in the weight array.
  std::int64_t weight_tap_stride = 0, weight_source_stride = 0, weight_result_stride = 0;
  bool turned = false;  // use the kernels turned by 180 degrees
  bool add = false;     // to what the result holds
};

inline constexpr std::int64_t channels_at_once = 16;  // of the source: a cache line of their weights

// U of some source channels and one panel of result channels, which are the lanes.
template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void transform_weights(const Problem& problem, std::int64_t channels, const T* weight, T* u,
                       std::int64_t plane) {
  constexpr std::int64_t width = Tile::width;
  T taps[kernel * kernel][channels_at_once][width];
  for (int t = 0; t < kernel * kernel; ++t) {
    const T* tap = weight + (problem.turned ? kernel * kernel - 1 - t : t) * problem.weight_tap_stride;
    if (problem.weight_result_stride == 1) {
      for (std::int64_t c = 0; c < channels; ++c)
        std::copy_n(tap + c * problem.weight_source_stride, width, taps[t][c]);
    } else {
      transpose(tap, problem.weight_result_stride, width, channels, taps[t][0], width);
    }
  }
  for (std::int64_t c = 0; c < channels; ++c, u += width) {
    for (std::int64_t k = 0; k < width; k += lanes<T>) {
      transform<Algorithm::template G, T>([&](int r, int s) { return load(taps[r * kernel + s][c] + k); },
                                          [&](int r, int s, Vector<T> value) {
                                            store<T>(value, u + (r * Algorithm::kernels + s) * plane + k);
                                          });
    }
  }
}

// U of the source channels of one panel, of which `weight` is the first.
template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void transform_panel(const Problem& problem, std::int64_t channels, const T* weight, T* u,
                     std::int64_t plane) {
  for (std::int64_t c = 0; c < channels; c += channels_at_once)
    transform_weights<Algorithm, Tile>(problem, std::min(channels_at_once, channels - c),
                                       weight + c * problem.weight_source_stride, u + c * Tile::width, plane);
}

template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void transform_all_weights(const Problem& problem, const T* weight, T* u, std::int64_t plane) {
  const std::int64_t channels = problem.source.channels;
  const std::int64_t panels = problem.result.channels / Tile::width;
  const std::int64_t pieces = ceil_div(channels, channels_at_once);
  parallel_for(panels * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t panel = i / pieces, first = i % pieces * channels_at_once;
      const T* from =
          weight + panel * Tile::width * problem.weight_result_stride + first * problem.weight_source_stride;
      transform_weights<Algorithm, Tile>(problem, std::min(channels_at_once, channels - first), from,
                                         u + (panel * channels + first) * Tile::width, plane);
    }
  });
}

}  // namespace lamina::cpu::winograd
