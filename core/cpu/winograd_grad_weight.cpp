// Grad-weight, as the transposed formula of winograd_transforms.h:
//   grad_weight[o, c] = Gᵀ S G,   S[ξ][o][c] = Σ_tiles (A grad Aᵀ)[ξ][tile][o] · (Bᵀ x B)[ξ][tile][c].
// (At stride 2 some points ξ share their weights, and thus their S.)
//
// Tasks are (chunk of tiles) × (slice of input channels) × (group of output channels): wide enough that few
// tiles are transformed more than once, yet S stays in the caches. The chunks, whose number depends only on
// the shape, are added in their order: the result does not depend on the threads.
#include <algorithm>

#include "core/cpu/winograd.h"
#include "core/cpu/winograd_tiles.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

using namespace winograd;

constexpr std::int64_t most_slice = 128;   // input channels
constexpr std::int64_t most_group = 64;    // output channels
constexpr std::int64_t block_tiles = 64;   // that pass by at a time
constexpr std::int64_t chunk_tiles = 64;   // at least: for fewer, Gᵀ S G would count
constexpr std::int64_t target_tasks = 32;  // enough for load balance on many cores

constexpr int row_unit = 4;  // output channels come in multiples of it

// The largest divisor of `channels` that is a multiple of `unit` and at most `most`.
std::int64_t share_of(std::int64_t channels, std::int64_t unit, std::int64_t most) {
  std::int64_t share = most / unit * unit;
  while (channels % share != 0) share -= unit;
  return share;
}

struct Plan {
  std::int64_t slice = 0, slices = 0;  // input channels of a task
  std::int64_t group = 0, groups = 0;  // output channels of a task
  std::int64_t chunks = 0, chunk = 0;  // tiles of a task
};

template <typename Tile, typename T = typename Tile::Element>
Plan make_plan(const ConvShape& shape, std::int64_t tiles) {
  Plan plan;
  plan.slice = share_of(shape.in_channels, Tile::width, most_slice);
  plan.slices = shape.in_channels / plan.slice;
  plan.group = share_of(shape.out_channels, std::max<std::int64_t>(row_unit, lanes<T>), most_group);
  plan.groups = shape.out_channels / plan.group;
  const std::int64_t wanted = ceil_div(target_tasks, plan.slices * plan.groups);
  plan.chunks = std::clamp<std::int64_t>(tiles / chunk_tiles, 1, wanted);
  plan.chunk = ceil_div(tiles, plan.chunks);
  plan.chunks = ceil_div(tiles, plan.chunk);
  return plan;
}

// Rows of S [group][slice] in steps of as many as the registers hold, and of row_unit where those leave a
// rest.
template <typename Tile, typename T = typename Tile::Element>
void multiply_point(const Plan& plan, std::int64_t tiles, bool add, const T* grads, const T* patches,
                    T* sums) {
  constexpr int rows = Tile::channel_rows;
  for (std::int64_t c = 0; c < plan.slice; c += Tile::width) {
    for (std::int64_t o = 0; o < plan.group;) {
      const Product<T> product{.rows = grads + o,
                               .row_stride = 1,
                               .row_depth_stride = plan.group,
                               .panel = patches + c,
                               .panel_depth_stride = plan.slice,
                               .depth = tiles};
      T* out = sums + o * plan.slice + c;
      if ((plan.group - o) % rows == 0) {
        multiply_tile<Tile, rows>(product, add, out, plan.slice);
        o += rows;
      } else {
        multiply_tile<Tile, row_unit>(product, add, out, plan.slice);
        o += row_unit;
      }
    }
  }
}

// kernels[o][…][c] = Gᵀ S G for a task's share of the channels, which begins at `kernels`.
template <typename Algorithm, typename T>
void transform_sums(const ConvShape& shape, const Plan& plan, const T* sums, std::int64_t sum_plane,
                    T* kernels) {
  for (std::int64_t o = 0; o < plan.group; ++o) {
    for (std::int64_t c = 0; c < plan.slice; c += lanes<T>) {
      const T* s = sums + o * plan.slice + c;
      T* to = kernels + o * shape.taps() * shape.in_channels + c;
      transform<Algorithm::template Gt, T>(
          [&](int r, int q) { return load(s + (r * Algorithm::kernels + q) * sum_plane); },
          [&](int r, int q, Vector<T> value) { store<T>(value, to + (r * kernel + q) * shape.in_channels); });
    }
  }
}

// total[i] = Σ over chunks of chunks[chunk][i]
template <typename T>
void add_chunks(const T* chunks, std::int64_t count, std::int64_t size, T* total) {
  parallel_for(size, 4096, [&](std::int64_t begin, std::int64_t end) {
    std::copy(chunks + begin, chunks + end, total + begin);
    for (std::int64_t chunk = 1; chunk < count; ++chunk) {
      const T* part = chunks + chunk * size;
      for (std::int64_t i = begin; i < end; ++i) total[i] += part[i];
    }
  });
}

template <typename Algorithm, typename Tile, typename T = typename Tile::Element>
void grad_weight_by(const ConvShape& shape, const T* grad, const T* x, T* grad_weight, Allocator& allocator) {
  const Image from{shape.in_height, shape.in_width, shape.in_channels};
  const Image to{shape.out_height, shape.out_width, shape.out_channels};
  const TileGrid grid(shape.images, to, Algorithm::tile);
  const Plan plan = make_plan<Tile>(shape, grid.tiles());
  const std::int64_t weights = shape.out_channels * shape.taps() * shape.in_channels;
  const Scratch<T> chunks(allocator, plan.chunks > 1 ? plan.chunks * weights : 0);
  const Scratch<T> zeros(allocator, std::max(from.channels, to.channels));
  std::fill_n(zeros.data(), std::max(from.channels, to.channels), T(0));

  const std::int64_t patch_plane = plane_stride<T>(block_tiles * plan.slice);
  const std::int64_t grad_plane = plane_stride<T>(block_tiles * plan.group);
  const std::int64_t sum_plane = plane_stride<T>(plan.group * plan.slice);
  struct Workspace {
    Scratch<T> patches, grads, sums;
  };
  const auto workspace = [&] {
    return Workspace{.patches = {allocator, all_points<Algorithm> * patch_plane},
                     .grads = {allocator, all_points<Algorithm> * grad_plane},
                     .sums = {allocator, all_kernels<Algorithm> * sum_plane}};
  };
  const Pixels<const T, Algorithm::patch> x_patches(from, x, zeros.data(), shape.padding);
  const Pixels<const T, Algorithm::tile> grad_tiles(to, grad, zeros.data(), 0);
  const auto add_share = [&](std::int64_t task, std::int64_t, const Workspace& work) {
    const auto& [patches, grads, sums] = work;
    const std::int64_t chunk = task / (plan.slices * plan.groups);
    const std::int64_t first_in = task / plan.groups % plan.slices * plan.slice;
    const std::int64_t first_out = task % plan.groups * plan.group;
    const std::int64_t begin = chunk * plan.chunk, end = std::min(grid.tiles(), begin + plan.chunk);
    for (std::int64_t first = begin; first < end; first += block_tiles) {
      const std::int64_t tiles = std::min(block_tiles, end - first);
      const TileRange range{first, first + tiles};
      transform_tiles<Algorithm::template Bt>(grid, Algorithm::source_step, range, x_patches, first_in,
                                              plan.slice, patches.data(), patch_plane);
      transform_tiles<Algorithm::template A>(grid, Algorithm::tile, range, grad_tiles, first_out, plan.group,
                                             grads.data(), grad_plane);
      for (int point = 0; point < all_points<Algorithm>; ++point) {
        const bool add = first > begin || !is_first_of_kernel<Algorithm>(point);
        multiply_point<Tile>(plan, tiles, add, grads.data() + point * grad_plane,
                             patches.data() + point * patch_plane,
                             sums.data() + kernel_of<Algorithm>(point) * sum_plane);
      }
    }

    T* out = plan.chunks > 1 ? chunks.data() + chunk * weights : grad_weight;
    transform_sums<Algorithm>(shape, plan, sums.data(), sum_plane,
                              out + first_out * shape.taps() * shape.in_channels + first_in);
  };
  parallel_for(plan.chunks * plan.slices * plan.groups, 1, workspace, add_share);

  if (plan.chunks > 1) add_chunks(chunks.data(), plan.chunks, weights, grad_weight);
}

}  // namespace

template <typename T>
void conv_winograd_grad_weight(const ConvShape& shape, const T* grad, const T* x, T* grad_weight,
                               Allocator& allocator) {
  with_tile_for<T>(shape.in_channels, [&](auto tile) {
    using Tile = decltype(tile);
    const auto grad_weight_of =
        shape.stride == 1 ? grad_weight_by<UnitStride, Tile> : grad_weight_by<Strided, Tile>;
    grad_weight_of(shape, grad, x, grad_weight, allocator);
  });
}

template void conv_winograd_grad_weight(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_winograd_grad_weight(const ConvShape&, const double*, const double*, double*, Allocator&);

}  // namespace lamina::cpu
