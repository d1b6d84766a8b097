// Forward and grad-input:
//   U[ξ][panel][source channel][Tile::width] = G g Gᵀ of the weights,
//   V[ξ][tile][source channel] = Bᵀ d B of the tiles' patches,
//   M[ξ][tile][result channel] = V[ξ] · U[ξ] for each of the 36 points ξ: small matrix products,
//   result = Aᵀ M A.
// The smaller of U and V is made once per call, the other and M piece by piece in each thread's own working
// memory. Grad-input is the convolution of grad with the kernels turned by 180 degrees and the channels'
// roles swapped.
#include "core/cpu/winograd.h"

#include <algorithm>

#include "core/cpu/stream.h"
#include "core/cpu/transpose.h"
#include "core/cpu/winograd_tiles.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

using namespace winograd;

// Enough for a panel of U to be worth loading, and V and M stay in the caches.
constexpr std::int64_t least_block_tiles = 24, most_block_tiles = 72;

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

// U of the source channels of one panel, of which `weight` is the first.
template <typename Tile, typename T = typename Tile::Element>
void transform_panel(const Problem& problem, std::int64_t channels, const T* weight, T* u,
                     std::int64_t plane) {
  for (std::int64_t c = 0; c < channels; c += channels_at_once)
    transform_weights<Tile>(problem, std::min(channels_at_once, channels - c),
                            weight + c * problem.weight_source_stride, u + c * Tile::width, plane);
}

template <typename Tile, typename T = typename Tile::Element>
void transform_all_weights(const Problem& problem, const T* weight, T* u, std::int64_t plane) {
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

struct Channels {
  std::int64_t first = 0, count = 0;
};

// These channels of the tiles' results, from m[point][tile][channels.count].
template <typename T>
void transform_products(const Problem& problem, const TileGrid& grid, TileRange tiles, Channels channels,
                        const T* m, std::int64_t plane, T* result, T* unused) {
  const bool add = problem.add;
  Pixels<T, tile> pixels(problem.result, result, unused, 0);
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t, m += channels.count) {
    pixels.locate(grid.at(t));
    for (std::int64_t k = 0; k < channels.count; k += lanes<T>) {
      transform<At, T>([m, plane, k](int r, int s) { return load(m + (r * patch + s) * plane + k); },
                       [&pixels, k, channels, add](int r, int s, Vector<T> value) {
                         T* const to = pixels.at(r, s) + channels.first + k;
                         store<T>(add ? load(to) + value : value, to);
                       });
    }
  }
}

// All channels of the tiles' results, past the caches: a row of a tile lies together.
template <typename T>
void stream_products(const Problem& problem, const TileGrid& grid, TileRange tiles, const T* m,
                     std::int64_t plane, T* result, T* pixels) {
  const Image& image = problem.result;
  const std::int64_t channels = image.channels;
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t, m += channels) {
    for (std::int64_t k = 0; k < channels; k += lanes<T>) {
      transform<At, T>([m, plane, k](int r, int s) { return load(m + (r * patch + s) * plane + k); },
                       [pixels, k, channels](int r, int s, Vector<T> value) {
                         store<T>(value, pixels + (r * tile + s) * channels + k);
                       });
    }
    const TileGrid::Place place = grid.at(t);
    const std::int64_t rows = std::min<std::int64_t>(tile, image.rows - place.row),
                       columns = std::min<std::int64_t>(tile, image.columns - place.column);
    T* to = result + ((place.image * image.rows + place.row) * image.columns + place.column) * channels;
    for (std::int64_t r = 0; r < rows; ++r, to += image.columns * channels)
      stream_copy(pixels + r * tile * channels, columns * channels, to);
  }
  finish_streaming();
}

// The largest blocks with which the busiest thread multiplies the fewest tiles. May depend on the threads:
// every tile is computed for itself.
template <typename Tile>
std::int64_t block_tiles(std::int64_t tiles) {
  std::int64_t best = most_block_tiles, fewest = tiles + most_block_tiles;
  for (std::int64_t block = most_block_tiles; block >= least_block_tiles; block -= Tile::rows) {
    const std::int64_t whole = tiles / block, rest = round_up(tiles % block, Tile::rows);
    const std::int64_t busiest = whole / threads() * block + (whole % threads() > 0 ? block : rest);
    if (busiest < fewest) best = block, fewest = busiest;
  }
  return best;
}

// By blocks of tiles, in which all of U is multiplied by the V of few tiles at a time.
template <typename Tile, typename T = typename Tile::Element>
void convolve_by_blocks(const Problem& problem, const T* source, const T* weight, T* result,
                        Allocator& allocator) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  const TileGrid grid(problem.images, problem.result);
  const std::int64_t block = block_tiles<Tile>(grid.tiles());
  const std::int64_t plane = plane_stride<T>(block * std::max(from, to));
  const Planes planes{.u = plane_stride<T>(from * to), .v = plane, .m = plane};
  const Scratch<T> u(allocator, points * planes.u);
  transform_all_weights<Tile>(problem, weight, u.data(), planes.u);
  const Scratch<T> zeros(allocator, from);
  std::fill_n(zeros.data(), from, T(0));

  const Pixels<const T, patch> patches(problem.source, source, zeros.data(), problem.padding);
  const bool streamed =
      !problem.add &&
      is_streamed(result, problem.images * problem.result.rows * problem.result.columns * to, to);
  struct Workspace {
    Scratch<T> products, pixels;
  };
  const auto workspace = [&] {
    return Workspace{.products = {allocator, (points + 1) * plane}, .pixels = {allocator, tile * tile * to}};
  };
  parallel_for(
      grid.tiles(), block, workspace, [&](std::int64_t begin, std::int64_t end, const Workspace& work) {
        T *const m = work.products.data(), *const v = m + plane;
        const std::int64_t count = end - begin, rounded = round_up(count, Tile::rows);
        transform_tiles<Bt>(grid, {begin, end}, patches, 0, from, v, plane);
        for (int point = 0; point < points; ++point)
          std::fill_n(v + point * plane + count * from, (rounded - count) * from, T(0));
        multiply_block<Tile>(problem, rounded, planes, v, u.data(), m);
        if (streamed)
          stream_products(problem, grid, {begin, end}, m, plane, result, work.pixels.data());
        else
          transform_products(problem, grid, {begin, end}, {0, to}, m, plane, result, work.pixels.data());
      });
}

constexpr std::int64_t depth_at_once = 128;  // source channels of a panel of U: a piece that caches hold

// m[ξ][tile][Tile::width] (+)= V · U for `depth` source channels from `first` on, of which u has the panel.
template <typename Tile, typename T = typename Tile::Element>
void multiply_piece(std::int64_t tiles, std::int64_t channels, std::int64_t first, std::int64_t depth,
                    const Planes& planes, const T* v, const T* u, T* m) {
  for (int point = 0; point < points; ++point) {
    for (std::int64_t t = 0; t < tiles; t += Tile::rows) {
      const Product<T> product{.rows = v + point * planes.v + t * channels + first,
                               .row_stride = channels,
                               .row_depth_stride = 1,
                               .panel = u + point * planes.u,
                               .panel_depth_stride = Tile::width,
                               .depth = depth};
      multiply_tile<Tile, Tile::rows>(product, first > 0, m + point * planes.m + t * Tile::width,
                                      Tile::width);
    }
  }
}

// V of all tiles, and zeros up to a multiple of Tile::rows; in the planes of `v`.
template <typename T>
void transform_all_tiles(const Problem& problem, const TileGrid& grid, std::int64_t rounded, const T* source,
                         const T* zeros, T* v, std::int64_t plane) {
  const std::int64_t from = problem.source.channels;
  const Pixels<const T, patch> patches(problem.source, source, zeros, problem.padding);
  parallel_for(grid.tiles(), 4, [&](std::int64_t begin, std::int64_t end) {
    transform_tiles<Bt>(grid, {begin, end}, patches, 0, from, v + begin * from, plane);
  });
  for (int point = 0; point < points; ++point)
    std::fill_n(v + point * plane + grid.tiles() * from, (rounded - grid.tiles()) * from, T(0));
}

// By panels of result channels. The thread that multiplies by a panel of U makes it, piece by piece, so that
// all of U, 36 numbers for 9 weights, is never written and read.
template <typename Tile, typename T = typename Tile::Element>
void convolve_by_panels(const Problem& problem, const T* source, const T* weight, T* result,
                        Allocator& allocator) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  const TileGrid grid(problem.images, problem.result);
  const std::int64_t rounded = round_up(grid.tiles(), Tile::rows);
  const Planes planes{.u = plane_stride<T>(depth_at_once * Tile::width),
                      .v = plane_stride<T>(rounded * from),
                      .m = plane_stride<T>(rounded * Tile::width)};
  const Scratch<T> zeros(allocator, from), v(allocator, points * planes.v);
  std::fill_n(zeros.data(), from, T(0));
  transform_all_tiles(problem, grid, rounded, source, zeros.data(), v.data(), planes.v);

  struct Workspace {
    Scratch<T> u, m, unused;
  };
  const auto workspace = [&] {
    return Workspace{
        .u = {allocator, points * planes.u}, .m = {allocator, points * planes.m}, .unused = {allocator, to}};
  };
  const auto compute_panel = [&](std::int64_t k, const Workspace& work) {
    for (std::int64_t first = 0; first < from; first += depth_at_once) {
      const std::int64_t depth = std::min(depth_at_once, from - first);
      const T* const piece = weight + k * problem.weight_result_stride + first * problem.weight_source_stride;
      transform_panel<Tile>(problem, depth, piece, work.u.data(), planes.u);
      multiply_piece<Tile>(rounded, from, first, depth, planes, v.data(), work.u.data(), work.m.data());
    }
    transform_products(problem, grid, {0, grid.tiles()}, {k, Tile::width}, work.m.data(), planes.m, result,
                       work.unused.data());
  };
  parallel_for(to / Tile::width, 1, workspace,
               [&](std::int64_t begin, std::int64_t end, const Workspace& work) {
                 for (std::int64_t panel = begin; panel < end; ++panel)
                   compute_panel(panel * Tile::width, work);
               });
}

template <typename T>
void convolve(const Problem& problem, const T* source, const T* weight, T* result, Allocator& allocator) {
  with_tile_for<T>(problem.result.channels, [&](auto tile) {
    using Tile = decltype(tile);
    const std::int64_t tiles = TileGrid(problem.images, problem.result).tiles(),
                       channels = problem.result.channels;
    // Fewer panels than threads would leave some without work. The bits are the same either way.
    const bool by_panels = tiles < channels && channels / Tile::width >= threads();
    (by_panels ? convolve_by_panels<Tile, T> : convolve_by_blocks<Tile, T>)(problem, source, weight, result,
                                                                            allocator);
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
