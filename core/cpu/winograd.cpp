// Forward and grad-input: for blocks of tiles, in each thread's own working memory,
//   V[ξ][tile][source channel] = Bᵀ d B of the tiles' patches,
//   M[ξ][tile][result channel] = V[ξ] · U[ξ] for each of the 36 points ξ: small matrix products,
//   result = Aᵀ M A.
// U[ξ][panel][source channel][panel_width] = G g Gᵀ is made once per call. Grad-input is the convolution of
// grad with the kernels turned by 180 degrees and the channels' roles swapped.
#include "core/cpu/winograd.h"

#include <algorithm>

#include "core/cpu/winograd_tiles.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

using namespace winograd;

// Enough for a panel of U to be worth loading, and V and M stay in the caches.
constexpr std::int64_t most_block_tiles = 8 * tile_rows;

struct Problem {
  std::int64_t images = 0;
  Image source, result;
  std::int64_t padding = 0;  // of the source
  // Between neighbours in the weight array.
  std::int64_t weight_tap_stride = 0, weight_source_stride = 0, weight_result_stride = 0;
  bool turned = false;  // use the kernels turned by 180 degrees
};

// U of one source channel and one panel of result channels, which are the lanes.
template <typename T>
void transform_weight(const Problem& problem, const T* weight, T* u, std::int64_t plane) {
  constexpr std::int64_t width = panel_width<T>;
  T taps[kernel * kernel][width];
  for (int t = 0; t < kernel * kernel; ++t) {
    const T* tap = weight + (problem.turned ? kernel * kernel - 1 - t : t) * problem.weight_tap_stride;
    for (std::int64_t k = 0; k < width; ++k) taps[t][k] = tap[k * problem.weight_result_stride];
  }
  for (std::int64_t k = 0; k < width; k += lanes<T>) {
    transform<G, T>([&](int r, int s) { return load(taps[r * kernel + s] + k); },
                    [&](int r, int s, Vector<T> value) { store<T>(value, u + (r * patch + s) * plane + k); });
  }
}

template <typename T>
void transform_weights(const Problem& problem, const T* weight, T* u, std::int64_t plane) {
  const std::int64_t channels = problem.source.channels;
  const std::int64_t panels = problem.result.channels / panel_width<T>;
  parallel_for(panels * channels, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* from = weight + i / channels * panel_width<T> * problem.weight_result_stride +
                      i % channels * problem.weight_source_stride;
      transform_weight(problem, from, u + i * panel_width<T>, plane);
    }
  });
}

// Working memory of a block of tiles; elements from one point's matrix to the next.
struct Planes {
  std::int64_t u = 0, v = 0, m = 0;
};

// M = V · U for `tiles` tiles, a multiple of tile_rows.
template <typename T>
void multiply_block(const Problem& problem, std::int64_t tiles, const Planes& planes, const T* v, const T* u,
                    T* m) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  for (int point = 0; point < points; ++point) {
    for (std::int64_t k = 0; k < to; k += panel_width<T>) {
      for (std::int64_t t = 0; t < tiles; t += tile_rows) {
        const Product<T> product{.rows = v + point * planes.v + t * from,
                                 .row_stride = from,
                                 .row_depth_stride = 1,
                                 .panel = u + point * planes.u + k * from,
                                 .panel_depth_stride = panel_width<T>,
                                 .depth = from};
        multiply_tile<tile_rows>(product, false, m + point * planes.m + t * to + k, to);
      }
    }
  }
}

// May depend on the threads: every tile is computed for itself.
std::int64_t block_tiles(std::int64_t tiles) {
  const std::int64_t blocks = ceil_div(tiles, most_block_tiles);
  const std::int64_t even = round_up(blocks, threads());  // as many for every thread
  return round_up(ceil_div(tiles, even), tile_rows);
}

template <typename T>
void convolve(const Problem& problem, const T* source, const T* weight, T* result, Allocator& allocator) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  const TileGrid grid(problem.images, problem.result);
  const std::int64_t block = block_tiles(grid.tiles());
  const Planes planes{
      .u = plane_stride<T>(from * to), .v = plane_stride<T>(block * from), .m = plane_stride<T>(block * to)};
  const Scratch<T> u(allocator, points * planes.u);
  transform_weights(problem, weight, u.data(), planes.u);
  const Scratch<T> zeros(allocator, from);
  std::fill_n(zeros.data(), from, T(0));

  struct Workspace {
    Scratch<T> v, m, unused;
  };
  const auto workspace = [&] {
    return Workspace{
        .v = {allocator, points * planes.v}, .m = {allocator, points * planes.m}, .unused = {allocator, to}};
  };
  parallel_for(
      grid.tiles(), block, workspace, [&](std::int64_t begin, std::int64_t end, const Workspace& work) {
        const auto& [v, m, unused] = work;
        const std::int64_t count = end - begin, rounded = round_up(count, tile_rows);
        for (std::int64_t t = 0; t < count; ++t) {
          const Pixels<const T, patch> pixels(problem.source, source, zeros.data(), grid.at(begin + t),
                                              problem.padding);
          transform_tile<Bt>(pixels, 0, from, v.data() + t * from, planes.v);
        }
        for (int point = 0; point < points; ++point) {
          std::fill_n(v.data() + point * planes.v + count * from, (rounded - count) * from, T(0));
        }
        multiply_block(problem, rounded, planes, v.data(), u.data(), m.data());
        for (std::int64_t t = 0; t < count; ++t) {
          const Pixels<T, tile> pixels(problem.result, result, unused.data(), grid.at(begin + t), 0);
          for (std::int64_t k = 0; k < to; k += lanes<T>) {
            const T* products = m.data() + t * to + k;
            transform<At, T>(
                [products, plane = planes.m](int r, int s) {
                  return load(products + (r * patch + s) * plane);
                },
                [&pixels, k](int r, int s, Vector<T> value) { store<T>(value, pixels.at(r, s) + k); });
          }
        }
      });
}

}  // namespace

// In products of one channel pair: direct convolution has 9 a pixel; here a tile has its 36 points, and the
// transforms cost a channel about as much as 5 channel pairs.
template <typename T>
bool winograd_suits(const ConvShape& shape) {
  if (shape.kernel_height != kernel || shape.kernel_width != kernel || shape.stride != 1) return false;
  if (shape.images == 0) return false;  // no tiles to cut into blocks
  const std::int64_t in = shape.in_channels, out = shape.out_channels;
  if (in % panel_width<T> != 0 || out % panel_width<T> != 0 || shape.padding >= kernel) return false;
  const std::int64_t tiles = ceil_div(shape.out_height, tile) * ceil_div(shape.out_width, tile);
  return tiles * points * (in * out + 5 * (in + out)) <
         shape.out_height * shape.out_width * shape.taps() * in * out;
}

template <typename T>
void conv_winograd(const ConvShape& shape, const T* x, const T* weight, T* y, Allocator& allocator) {
  const Problem problem{.images = shape.images,
                        .source = {shape.in_height, shape.in_width, shape.in_channels},
                        .result = {shape.out_height, shape.out_width, shape.out_channels},
                        .padding = shape.padding,
                        .weight_tap_stride = shape.in_channels,
                        .weight_source_stride = 1,
                        .weight_result_stride = shape.taps() * shape.in_channels};
  convolve(problem, x, weight, y, allocator);
}

template <typename T>
void conv_winograd_grad_input(const ConvShape& shape, const T* grad, const T* weight, T* grad_x,
                              Allocator& allocator) {
  const Problem problem{.images = shape.images,
                        .source = {shape.out_height, shape.out_width, shape.out_channels},
                        .result = {shape.in_height, shape.in_width, shape.in_channels},
                        .padding = kernel - 1 - shape.padding,
                        .weight_tap_stride = shape.in_channels,
                        .weight_source_stride = shape.taps() * shape.in_channels,
                        .weight_result_stride = 1,
                        .turned = true};
  convolve(problem, grad, weight, grad_x, allocator);
}

template bool winograd_suits<float>(const ConvShape&);
template bool winograd_suits<double>(const ConvShape&);
template void conv_winograd(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_winograd(const ConvShape&, const double*, const double*, double*, Allocator&);
template void conv_winograd_grad_input(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_winograd_grad_input(const ConvShape&, const double*, const double*, double*, Allocator&);

}  // namespace lamina::cpu
