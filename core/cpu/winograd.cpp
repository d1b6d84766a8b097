// Forward and grad-input:
//   U[ξ][panel][source channel][Tile::width] = G g Gᵀ of the weights,
//   V[ξ][tile][source channel] = Bᵀ d B of the tiles' patches,
//   M[ξ][tile][result channel] = V[ξ] · U[ξ] for each of the points ξ: small matrix products,
//   result = Aᵀ M A.
// U, or V where there are fewer tiles than result channels, is made once per call, the other and M piece by
// piece in each thread's own working memory. Grad-input is the convolution of grad with the kernels turned by
// 180 degrees and the channels' roles swapped; at stride 2 it has matrices of its own.
#include "core/cpu/winograd.h"

#include <algorithm>

#include "core/cpu/stream.h"
#include "core/cpu/winograd_tiles.h"
#include "core/cpu/winograd_weights.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

using namespace winograd;

// Tiles of a block: enough for a panel of U to be worth loading, few enough for V and M to stay in the
// caches.
constexpr std::int64_t least_block_tiles = 24;
template <typename Algorithm>
constexpr std::int64_t most_block_tiles = all_points<Algorithm> == 36 ? 72 : 36;

// Working memory of a block of tiles; elements from one point's matrix to the next.
struct Planes {
  std::int64_t u = 0, v = 0, m = 0;
};

// M = V · U for `tiles` tiles, a multiple of Tile::rows.
template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void multiply_block(const Problem& problem, std::int64_t tiles, const Planes& planes, const T* v, const T* u,
                    T* m) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  for (int point = 0; point < all_points<Algorithm>; ++point) {
    for (std::int64_t k = 0; k < to; k += Tile::width) {
      for (std::int64_t t = 0; t < tiles; t += Tile::rows) {
        const Product<T> product{.rows = v + point * planes.v + t * from,
                                 .row_stride = from,
                                 .row_depth_stride = 1,
                                 .panel = u + kernel_of<Algorithm>(point) * planes.u + k * from,
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
template <typename Algorithm, typename T>
void transform_products(const Problem& problem, const TileGrid& grid, TileRange tiles, Channels channels,
                        const T* m, std::int64_t plane, T* result, T* unused) {
  const bool add = problem.add;
  constexpr int tile = Algorithm::tile;
  TileWalk<T, tile> walk(grid, tile, tiles.begin, {problem.result, result, unused, 0});
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t, m += channels.count) {
    const auto [here, next] = walk.at(t);
    for (std::int64_t k = 0; k < channels.count; k += lanes<T>) {
      transform<Algorithm::template At, T>(
          [m, plane, k](int r, int s) { return load(m + (r * Algorithm::points + s) * plane + k); },
          [&here = here, &next = next, k, channels, add](int r, int s, Vector<T> value) {
            T* const to = here.at(r, s) + channels.first + k;
            if (add) __builtin_prefetch(next.at(r, s) + channels.first + k);
            store<T>(add ? load(to) + value : value, to);
          });
    }
  }
}

// All channels of the tiles' results, past the caches: a row of a tile lies together.
template <typename Algorithm, typename T>
void stream_products(const Problem& problem, const TileGrid& grid, TileRange tiles, const T* m,
                     std::int64_t plane, T* result, T* pixels) {
  constexpr int tile = Algorithm::tile;
  const Image& image = problem.result;
  const std::int64_t channels = image.channels;
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t, m += channels) {
    for (std::int64_t k = 0; k < channels; k += lanes<T>) {
      transform<Algorithm::template At, T>(
          [m, plane, k](int r, int s) { return load(m + (r * Algorithm::points + s) * plane + k); },
          [pixels, k, channels](int r, int s, Vector<T> value) {
            store<T>(value, pixels + (r * tile + s) * channels + k);
          });
    }
    const TileGrid::Place place = grid.at(t, tile);
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
template <typename Algorithm, typename Tile>
std::int64_t block_tiles(std::int64_t tiles) {
  constexpr std::int64_t most = most_block_tiles<Algorithm>;
  std::int64_t best = most, fewest = tiles + most;
  for (std::int64_t block = most; block >= least_block_tiles; block -= Tile::rows) {
    const std::int64_t whole = tiles / block, rest = round_up(tiles % block, Tile::rows);
    const std::int64_t busiest = whole / threads() * block + (whole % threads() > 0 ? block : rest);
    if (busiest + busiest / 32 < fewest) best = block, fewest = busiest;  // or U would be read more often
  }
  return best;
}

// By blocks of tiles, in which all of U is multiplied by the V of few tiles at a time.
template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void convolve_by_blocks(const Problem& problem, const T* source, const T* weight, T* result,
                        Allocator& allocator) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  const TileGrid grid(problem.images, problem.result, Algorithm::tile);
  const std::int64_t block = block_tiles<Algorithm, Tile>(grid.tiles());
  const std::int64_t plane = plane_stride<T>(block * std::max(from, to));
  const Planes planes{.u = plane_stride<T>(from * to), .v = plane, .m = plane};
  const Scratch<T> u(allocator, all_kernels<Algorithm> * planes.u);
  transform_all_weights<Algorithm, Tile>(problem, weight, u.data(), planes.u);
  const Scratch<T> zeros(allocator, from);
  std::fill_n(zeros.data(), from, T(0));

  const Pixels<const T, Algorithm::patch> patches(problem.source, source, zeros.data(), problem.padding);
  const bool streamed =
      !problem.add &&
      is_streamed(result, problem.images * problem.result.rows * problem.result.columns * to, to);
  struct Workspace {
    Scratch<T> products, pixels;
  };
  const auto workspace = [&] {
    return Workspace{.products = {allocator, (all_points<Algorithm> + 1) * plane},
                     .pixels = {allocator, Algorithm::tile * Algorithm::tile * to}};
  };
  parallel_for(
      grid.tiles(), block, workspace, [&](std::int64_t begin, std::int64_t end, const Workspace& work) {
        T *const m = work.products.data(), *const v = m + plane;
        const std::int64_t count = end - begin, rounded = round_up(count, Tile::rows);
        transform_tiles<Algorithm::template Bt>(grid, Algorithm::source_step, {begin, end}, patches, 0, from,
                                                v, plane);
        for (int point = 0; point < all_points<Algorithm>; ++point)
          std::fill_n(v + point * plane + count * from, (rounded - count) * from, T(0));
        multiply_block<Algorithm, Tile>(problem, rounded, planes, v, u.data(), m);
        if (streamed)
          stream_products<Algorithm>(problem, grid, {begin, end}, m, plane, result, work.pixels.data());
        else
          transform_products<Algorithm>(problem, grid, {begin, end}, {0, to}, m, plane, result,
                                        work.pixels.data());
      });
}

constexpr std::int64_t depth_at_once = 128;  // source channels of a panel of U: a piece that caches hold

// m[ξ][tile][Tile::width] (+)= V · U for `depth` source channels from `first` on, of which u has the panel.
template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void multiply_piece(std::int64_t tiles, std::int64_t channels, std::int64_t first, std::int64_t depth,
                    const Planes& planes, const T* v, const T* u, T* m) {
  for (int point = 0; point < all_points<Algorithm>; ++point) {
    for (std::int64_t t = 0; t < tiles; t += Tile::rows) {
      const Product<T> product{.rows = v + point * planes.v + t * channels + first,
                               .row_stride = channels,
                               .row_depth_stride = 1,
                               .panel = u + kernel_of<Algorithm>(point) * planes.u,
                               .panel_depth_stride = Tile::width,
                               .depth = depth};
      multiply_tile<Tile, Tile::rows>(product, first > 0, m + point * planes.m + t * Tile::width,
                                      Tile::width);
    }
  }
}

// V of all tiles, and zeros up to a multiple of Tile::rows; in the planes of `v`.
template <typename Algorithm, typename T>
void transform_all_tiles(const Problem& problem, const TileGrid& grid, std::int64_t rounded, const T* source,
                         const T* zeros, T* v, std::int64_t plane) {
  const std::int64_t from = problem.source.channels;
  const Pixels<const T, Algorithm::patch> patches(problem.source, source, zeros, problem.padding);
  parallel_for(grid.tiles(), 4, [&](std::int64_t begin, std::int64_t end) {
    transform_tiles<Algorithm::template Bt>(grid, Algorithm::source_step, {begin, end}, patches, 0, from,
                                            v + begin * from, plane);
  });
  for (int point = 0; point < all_points<Algorithm>; ++point)
    std::fill_n(v + point * plane + grid.tiles() * from, (rounded - grid.tiles()) * from, T(0));
}

// By panels of result channels. The thread that multiplies by a panel of U makes it, piece by piece, so that
// all of U, 36 numbers for 9 weights, is never written and read.
template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void convolve_by_panels(const Problem& problem, const T* source, const T* weight, T* result,
                        Allocator& allocator) {
  const std::int64_t from = problem.source.channels, to = problem.result.channels;
  const TileGrid grid(problem.images, problem.result, Algorithm::tile);
  const std::int64_t rounded = round_up(grid.tiles(), Tile::rows);
  const Planes planes{.u = plane_stride<T>(depth_at_once * Tile::width),
                      .v = plane_stride<T>(rounded * from),
                      .m = plane_stride<T>(rounded * Tile::width)};
  const Scratch<T> zeros(allocator, from), v(allocator, all_points<Algorithm> * planes.v);
  std::fill_n(zeros.data(), from, T(0));
  transform_all_tiles<Algorithm>(problem, grid, rounded, source, zeros.data(), v.data(), planes.v);

  struct Workspace {
    Scratch<T> u, m, unused;
  };
  const auto workspace = [&] {
    return Workspace{.u = {allocator, all_kernels<Algorithm> * planes.u},
                     .m = {allocator, all_points<Algorithm> * planes.m},
                     .unused = {allocator, to}};
  };
  const auto compute_panel = [&](std::int64_t k, const Workspace& work) {
    for (std::int64_t first = 0; first < from; first += depth_at_once) {
      const std::int64_t depth = std::min(depth_at_once, from - first);
      const T* const piece = weight + k * problem.weight_result_stride + first * problem.weight_source_stride;
      transform_panel<Algorithm, Tile>(problem, depth, piece, work.u.data(), planes.u);
      multiply_piece<Algorithm, Tile>(rounded, from, first, depth, planes, v.data(), work.u.data(),
                                      work.m.data());
    }
    transform_products<Algorithm>(problem, grid, {0, grid.tiles()}, {k, Tile::width}, work.m.data(), planes.m,
                                  result, work.unused.data());
  };
  parallel_for(to / Tile::width, 1, workspace,
               [&](std::int64_t begin, std::int64_t end, const Workspace& work) {
                 for (std::int64_t panel = begin; panel < end; ++panel)
                   compute_panel(panel * Tile::width, work);
               });
}

template <typename Algorithm, typename T>
void convolve(const Problem& problem, const T* source, const T* weight, T* result, Allocator& allocator) {
  with_tile_for<T>(problem.result.channels, [&](auto tile) {
    using Tile = decltype(tile);
    const std::int64_t tiles = TileGrid(problem.images, problem.result, Algorithm::tile).tiles(),
                       channels = problem.result.channels;
    if (tiles == 0) return;
    // Fewer panels than threads would leave some without work. The bits are the same either way.
    const bool by_panels = tiles < channels && channels / Tile::width >= threads();
    (by_panels ? convolve_by_panels<Algorithm, Tile>
               : convolve_by_blocks<Algorithm, Tile>)(problem, source, weight, result, allocator);
  });
}

template <typename T>
bool fills_panels(std::int64_t channels) {
  return with_tile_for<T>(channels, [&](auto tile) { return channels % decltype(tile)::width == 0; });
}

}  // namespace

// In products of one channel pair: direct convolution has 9 a pixel; here a tile has its points, and the
// transforms cost a channel about as much as 5 channel pairs.
template <typename T>
bool winograd_suits(const ConvShape& shape) {
  if (shape.kernel_height != kernel || shape.kernel_width != kernel || shape.images == 0) return false;
  const bool strided = shape.stride == 2 && shape.padding == 1;
  if (!strided && (shape.stride != 1 || shape.padding >= kernel)) return false;
  const std::int64_t in = shape.in_channels, out = shape.out_channels;
  if (!fills_panels<T>(in) || !fills_panels<T>(out)) return false;
  constexpr int tile = UnitStride::tile;
  static_assert(Strided::tile == tile);
  const std::int64_t tiles = ceil_div(shape.out_height, tile) * ceil_div(shape.out_width, tile);
  const std::int64_t points = strided ? all_points<Strided> : all_points<UnitStride>;
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
  const auto convolution = shape.stride == 1 ? convolve<UnitStride, T> : convolve<Strided, T>;
  convolution(problem, x, weight, y, allocator);
}

template <typename T>
void conv_winograd_grad_input(const ConvShape& shape, const T* grad, const T* weight, T* grad_x, bool add,
                              Allocator& allocator) {
  const bool strided = shape.stride == 2;
  const Problem problem{.images = shape.images,
                        .source = {shape.out_height, shape.out_width, shape.out_channels},
                        .result = {shape.in_height, shape.in_width, shape.in_channels},
                        .padding = strided ? 0 : kernel - 1 - shape.padding,
                        .weight_tap_stride = shape.in_channels,
                        .weight_source_stride = shape.taps() * shape.in_channels,
                        .weight_result_stride = 1,
                        .turned = true,
                        .add = add};
  const auto convolution = strided ? convolve<StridedGradInput, T> : convolve<UnitStride, T>;
  convolution(problem, grad, weight, grad_x, allocator);
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
