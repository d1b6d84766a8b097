// Forward and grad-input: for blocks of tiles, in each thread's own working memory,
//   V[ξ][tile][source channel] = Bᵀ d B of the tiles' patches,
//   M[ξ][tile][result channel] = V[ξ] · U[ξ] for each of the 36 points ξ: small matrix products,
//   result = Aᵀ M A.
// U[ξ][panel][source channel][Tile::width] = G g Gᵀ is made once per call. Grad-input is the convolution of
// grad with the kernels turned by 180 degrees and the channels' roles swapped.
#include "core/cpu/winograd.h"

#include <algorithm>

#include "core/cpu/transpose.h"
#include "core/cpu/winograd_tiles.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

using namespace winograd;

// Enough for a panel of U to be worth loading, and V and M stay in the caches.
constexpr std::int64_t most_block_tiles = 72;

struct Problem {
  std::int64_t images = 0;
  Image source, result;
  std::int64_t padding = 0;  // of the source
  // Between neighbours in the weight array.
  std::int64_t weight_tap_stride = 0, weight_source_stride = 0, weight_result_stride = 0;
  bool turned = false;  // use the kernels turned by 180 degrees
  bool add = false;     // to what the result holds
};

constexpr std::int64_t channels_at_once = 16;  // of the source: a cache line of their weights

// U of some source channels and one panel of result channels, which are the lanes.
template <typename Tile, typename T = typename Tile::Element>
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
      transform<G, T>(
          [&](int r, int s) { return load(taps[r * kernel + s][c] + k); },
          [&](int r, int s, Vector<T> value) { store<T>(value, u + (r * patch + s) * plane + k); });
    }
  }
}

template <typename Tile, typename T = typename Tile::Element>
void transform_weights(const Problem& problem, const T* weight, T* u, std::int64_t plane) {
  const std::int64_t channels = problem.source.channels;
  const std::int64_t panels = problem.result.channels / Tile::width;
  const std::int64_t pieces = ceil_div(channels, channels_at_once);
  parallel_for(panels * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t panel = i / pieces, first = i % pieces * channels_at_once;
      const T* from =
          weight + panel * Tile::width * problem.weight_result_stride + first * problem.weight_source_stride;
      transform_weights<Tile>(problem, std::min(channels_at_once, channels - first), from,
                              u + (panel * channels + first) * Tile::width, plane);
    }
  });
}

// Working memory of a block of tiles; elements from one point's matrix to the next.
struct Planes {
  std::int64_t u = 0, v = 0, m = 0;
};

// M = V · U for `tiles` tiles, a multiple of Tile::rows.
template <typename Tile, typename T = typename Tile::Element>
void multiply_block(const Problem& problem, std::int64_t tiles, const Planes& planes, const T* v, const T* u,
                    T* m) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  for (int point = 0; point < points; ++point) {
    for (std::int64_t k = 0; k < to; k += Tile::width) {
      for (std::int64_t t = 0; t < tiles; t += Tile::rows) {
        const Product<T> product{.rows = v + point * planes.v + t * from,
                                 .row_stride = from,
                                 .row_depth_stride = 1,
                                 .panel = u + point * planes.u + k * from,
                                 .panel_depth_stride = Tile::width,
                                 .depth = from};
        multiply_tile<Tile, Tile::rows>(product, false, m + point * planes.m + t * to + k, to);
      }
    }
  }
}

// The results of the tiles.
template <typename T>
void transform_products(const Problem& problem, const TileGrid& grid, TileRange tiles, const T* m,
                        std::int64_t plane, T* result, T* unused) {
  const bool add = problem.add;
  Pixels<T, tile> pixels(problem.result, result, unused, 0);
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t, m += problem.result.channels) {
    pixels.locate(grid.at(t));
    for (std::int64_t k = 0; k < problem.result.channels; k += lanes<T>) {
      transform<At, T>([m, plane, k](int r, int s) { return load(m + (r * patch + s) * plane + k); },
                       [&pixels, k, add](int r, int s, Vector<T> value) {
                         T* const to = pixels.at(r, s) + k;
                         store<T>(add ? load(to) + value : value, to);
                       });
    }
  }
}

// May depend on the threads: every tile is computed for itself.
template <typename Tile>
std::int64_t block_tiles(std::int64_t tiles) {
  const std::int64_t blocks = ceil_div(tiles, most_block_tiles);
  const std::int64_t even = round_up(blocks, threads());  // as many for every thread
  return round_up(ceil_div(tiles, even), Tile::rows);
}

template <typename Tile, typename T = typename Tile::Element>
void convolve_by(const Problem& problem, const T* source, const T* weight, T* result, Allocator& allocator) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  const TileGrid grid(problem.images, problem.result);
  const std::int64_t block = block_tiles<Tile>(grid.tiles());
  const std::int64_t plane = plane_stride<T>(block * std::max(from, to));
  const Planes planes{.u = plane_stride<T>(from * to), .v = plane, .m = plane};
  const Scratch<T> u(allocator, points * planes.u);
  transform_weights<Tile>(problem, weight, u.data(), planes.u);
  const Scratch<T> zeros(allocator, from);
  std::fill_n(zeros.data(), from, T(0));

  const Pixels<const T, patch> patches(problem.source, source, zeros.data(), problem.padding);
  struct Workspace {
    Scratch<T> products, unused;
  };
  const auto workspace = [&] {
    return Workspace{.products = {allocator, (points + 1) * plane}, .unused = {allocator, to}};
  };
  parallel_for(grid.tiles(), block, workspace,
               [&](std::int64_t begin, std::int64_t end, const Workspace& work) {
                 T *const m = work.products.data(), *const v = m + plane;
                 const std::int64_t count = end - begin, rounded = round_up(count, Tile::rows);
                 transform_tiles<Bt>(grid, {begin, end}, patches, 0, from, v, plane);
                 for (int point = 0; point < points; ++point)
                   std::fill_n(v + point * plane + count * from, (rounded - count) * from, T(0));
                 multiply_block<Tile>(problem, rounded, planes, v, u.data(), m);
                 transform_products(problem, grid, {begin, end}, m, plane, result, work.unused.data());
               });
}

template <typename T>
void convolve(const Problem& problem, const T* source, const T* weight, T* result, Allocator& allocator) {
  with_tile_for<T>(problem.result.channels, [&](auto tile) {
    convolve_by<decltype(tile)>(problem, source, weight, result, allocator);
  });
}

template <typename T>
bool fills_panels(std::int64_t channels) {
  return with_tile_for<T>(channels, [&](auto tile) { return channels % decltype(tile)::width == 0; });
}

}  // namespace

// In products of one channel pair: direct convolution has 9 a pixel; here a tile has its 36 points, and the
// transforms cost a channel about as much as 5 channel pairs.
template <typename T>
bool winograd_suits(const ConvShape& shape) {
  if (shape.kernel_height != kernel || shape.kernel_width != kernel || shape.stride != 1) return false;
  if (shape.images == 0) return false;  // no tiles to cut into blocks
  const std::int64_t in = shape.in_channels, out = shape.out_channels;
  if (!fills_panels<T>(in) || !fills_panels<T>(out) || shape.padding >= kernel) return false;
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
void conv_winograd_grad_input(const ConvShape& shape, const T* grad, const T* weight, T* grad_x, bool add,
                              Allocator& allocator) {
  const Problem problem{.images = shape.images,
                        .source = {shape.out_height, shape.out_width, shape.out_channels},
                        .result = {shape.in_height, shape.in_width, shape.in_channels},
                        .padding = kernel - 1 - shape.padding,
                        .weight_tap_stride = shape.in_channels,
                        .weight_source_stride = shape.taps() * shape.in_channels,
                        .weight_result_stride = 1,
                        .turned = true,
                        .add = add};
  convolve(problem, grad, weight, grad_x, allocator);
}

template bool winograd_suits<float>(const ConvShape&);
template bool winograd_suits<double>(const ConvShape&);
template void conv_winograd(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_winograd(const ConvShape&, const double*, const double*, double*, Allocator&);
template void conv_winograd_grad_input(const ConvShape&, const float*, const float*, float*, bool,
                                       Allocator&);
template void conv_winograd_grad_input(const ConvShape&, const double*, const double*, double*, bool,
                                       Allocator&);

}  // namespace lamina::cpu
