// Grad-weight: a product over pixels. With k = (tap, input channel),
//   grad_weight[o, k] = Σ_p grad[p, o] · x[p + tap, k],
// is summed in tiles of so many values of k × output channels. Pixels pass by in blocks that
// fit the caches: the block's part of x, with its zero padding, is copied so that the inner loop has no
// edges. For some 1×1 kernels x and grad change places below.
//
// Tasks are (chunk of images) × (slice of input channels) × (group of output channels). Each chunk has its
// own sums; these are added in the order of the chunks, whose number depends only on the shape: the result
// does not depend on the threads.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/rounding.h"
#include "core/cpu/grad_weight_blocks.h"
#include "core/cpu/micro_kernel.h"
#include "core/cpu/transpose.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

using namespace grad_weight;

// Copies what the block reads of x, zeros where that is padding: [image][row][copy_width][pixel_stride].
template <typename T>
void copy_input(const ConvShape& shape, const Plan& plan, const Task& task, const Block& block, const T* x,
                T* copy) {
  const std::int64_t height = copied_rows(shape, plan, block.rows);
  const std::int64_t left = std::min(ceil_div(shape.padding, plan.copy_step), plan.copy_width);
  const std::int64_t right =
      std::clamp(ceil_div(shape.in_width + shape.padding, plan.copy_step), left, plan.copy_width);
  for (std::int64_t h = 0; h < block.images * height; ++h) {
    const std::int64_t row = block.row * shape.stride - shape.padding + h % height * plan.copy_step;
    T* to = copy + h * plan.copy_width * plan.pixel_stride;
    T* const end = to + plan.copy_width * plan.pixel_stride;
    if (row < 0 || row >= shape.in_height) {
      std::fill(to, end, T(0));
      continue;
    }
    const std::int64_t column = left * plan.copy_step - shape.padding;
    const std::int64_t line = (block.image + h / height) * shape.in_height + row;
    const T* from = x + (line * shape.in_width + column) * shape.in_channels + task.channel;
    to = std::fill_n(to, left * plan.pixel_stride, T(0));
    if (plan.pixel_stride == shape.in_channels && plan.copy_step == 1) {
      to = std::copy_n(from, (right - left) * shape.in_channels, to);
    } else {
      for (std::int64_t w = left; w < right; ++w) {
        std::copy_n(from, task.channels, to);
        from += plan.copy_step * shape.in_channels;
        to += plan.pixel_stride;
      }
    }
    std::fill(to, end, T(0));
  }
}

// Where in the copy the block's output pixels read their first tap.
std::vector<std::int64_t> locate_pixels(const ConvShape& shape, const Plan& plan, const Block& block) {
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(block.images * block.rows * shape.out_width));
  for (std::int64_t n = 0; n < block.images; ++n) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const std::int64_t line = (n * copied_rows(shape, plan, block.rows) + i * plan.step) * plan.copy_width;
      for (std::int64_t j = 0; j < shape.out_width; ++j) {
        offsets.push_back((line + j * plan.step) * plan.pixel_stride);
      }
    }
  }
  return offsets;
}

// Where k = (tap, input channel) lies relative to that; the surplus repeats k = 0.
template <typename Tile>
std::vector<std::int64_t> locate_depths(const ConvShape& shape, const Plan& plan, std::int64_t channels) {
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(plan.depth));
  for (std::int64_t r = 0; r < shape.kernel_height; ++r) {
    for (std::int64_t s = 0; s < shape.kernel_width; ++s) {
      for (std::int64_t c = 0; c < channels; ++c) {
        offsets.push_back((r * plan.copy_width + s) * plan.pixel_stride + c);
      }
    }
  }
  offsets.resize(static_cast<std::size_t>(plan.depth), 0);
  return offsets;
}

// [panel][pixel][Tile::width] of the task's panels of grad, with zeros beyond the last output channel. Pixel
// by pixel: they are read as they lie.
template <typename Tile, typename T = typename Tile::Element>
void pack_grad(const ConvShape& shape, const Task& task, const T* grad, std::int64_t pixels, T* packed) {
  const std::int64_t channels =
      std::min(task.last_panel * Tile::width, shape.out_channels) - task.first_panel * Tile::width;
  for (std::int64_t p = 0; p < pixels; ++p) {
    const T* from = grad + p * shape.out_channels;
    T* to = packed + p * Tile::width;
    std::int64_t o = 0;
    for (; o + Tile::width <= channels; o += Tile::width, to += pixels * Tile::width) {
      for (int v = 0; v < Tile::vectors; ++v) {
        __builtin_prefetch(from + o + v * lanes<T> + pixels_ahead * shape.out_channels);
        store<T>(load(from + o + v * lanes<T>), to + v * lanes<T>);
      }
    }
    if (o < channels) std::fill_n(std::copy_n(from + o, channels - o, to), o + Tile::width - channels, T(0));
  }
}

// A panel of grad as it lies there or was packed: Tile::width values of each pixel.
template <typename T>
struct Panel {
  const T* first = nullptr;
  std::int64_t stride = 0;  // from pixel to pixel
};

// A single panel lies as it would be packed. Where panels are read only a few times, by 1×1 kernels, several
// are read in place, too; pixels that lie too far apart would share few sets of the caches.
template <typename Tile, typename T = typename Tile::Element>
bool reads_in_place(const ConvShape& shape) {
  if (shape.out_channels == Tile::width) return true;
  return shape.taps() == 1 && shape.out_channels % Tile::width == 0 &&
         shape.out_channels * static_cast<std::int64_t>(sizeof(T)) <= 2048;
}

// What a tile reads of x beside a pixel: row i at depths[i]. `consecutive`: at depths[0] + i, which takes one
// register for all of them. `fetches`: the next block, too.
enum class Reading { anywhere, consecutive, consecutive_and_fetches };

// sums[rows][Tile::width] += Σ_p x[pixel_p + depth_i] · grad[p][…].
template <typename Tile, int rows, Reading reading, typename T = typename Tile::Element>
void add_outer_products(const T* x, const std::vector<std::int64_t>& pixels, const std::int64_t* depths,
                        Panel<T> grad, typename Fetched<T>::Lines ahead, T* sums) {
  const auto row_of_sums = [=](int i) { return sums + i * Tile::width; };
  typename Tile::template Sums<rows> tile(/*add=*/true, row_of_sums);
  const T* row[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) row[i] = x + depths[i];
  for (std::size_t p = 0; p < pixels.size(); ++p) {
    const std::int64_t pixel = pixels[p];
    const T* first = row[0] + pixel;
    tile.add_product([&](int i) { return reading == Reading::anywhere ? row[i][pixel] : first[i]; },
                     grad.first + static_cast<std::int64_t>(p) * grad.stride);
    if constexpr (reading == Reading::consecutive_and_fetches) {
      __builtin_prefetch(ahead.first, 0, 2);  // into the L2 cache: the L1 cache has this block's panel
      ahead.first += ahead.stride;
    }
  }
  tile.store_to(row_of_sums);
}

template <typename Tile, int rows, typename T = typename Tile::Element>
void add_tile(const T* x, const std::vector<std::int64_t>& pixels, const std::int64_t* depths, Panel<T> grad,
              Fetched<T>& fetched, T* sums) {
  if (depths[rows - 1] - depths[0] != rows - 1)
    return add_outer_products<Tile, rows, Reading::anywhere>(x, pixels, depths, grad, {}, sums);
  const auto ahead = fetched.next();
  if (ahead.first != nullptr)
    add_outer_products<Tile, rows, Reading::consecutive_and_fetches>(x, pixels, depths, grad, ahead, sums);
  else
    add_outer_products<Tile, rows, Reading::consecutive>(x, pixels, depths, grad, ahead, sums);
}

template <typename Tile, typename T = typename Tile::Element>
void add_block(const ConvShape& shape, const Plan& plan, const Task& task, const T* grad, const T* copy,
               const std::vector<std::int64_t>& pixels, const std::vector<std::int64_t>& depths,
               Fetched<T> fetched, T* packed, T* sums) {
  const auto count = static_cast<std::int64_t>(pixels.size());
  const bool in_place = reads_in_place<Tile>(shape);
  if (!in_place) pack_grad<Tile>(shape, task, grad, count, packed);
  Panel<T> panel_of_grad = in_place ? Panel<T>{grad, shape.out_channels} : Panel<T>{packed, Tile::width};
  const bool is_rgb = plan.tile_rows == rgb_rows<Tile>;
  const auto add_large_tile =
      is_rgb ? add_tile<Tile, rgb_rows<Tile>, T> : add_tile<Tile, Tile::channel_rows, T>;
  for (std::int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
    T* to = sums + panel * plan.depth * Tile::width;
    for (std::int64_t k = 0; k < plan.depth;) {
      const bool large = (plan.depth - k) % plan.tile_rows == 0;
      (large ? add_large_tile : add_tile<Tile, row_unit, T>)(copy, pixels, depths.data() + k, panel_of_grad,
                                                             fetched, to);
      const std::int64_t rows = large ? plan.tile_rows : row_unit;
      k += rows;
      to += rows * Tile::width;
    }
    panel_of_grad.first += in_place ? Tile::width : count * Tile::width;
  }
}

// sums: [panel][depth][Tile::width], of the task's slice.
template <typename Tile, typename T = typename Tile::Element>
void run(const ConvShape& shape, const Plan& plan, const Task& task, const T* grad, const T* x, T* sums,
         Allocator& allocator) {
  const std::int64_t panel_size = plan.depth * Tile::width;
  std::fill(sums + task.first_panel * panel_size, sums + task.last_panel * panel_size, T(0));
  const std::int64_t most_pixels = plan.images_at_once * plan.rows_at_once * shape.out_width;
  const Scratch<T> packed(allocator,
                          reads_in_place<Tile>(shape) ? 0 : plan.group * most_pixels * Tile::width);
  const Scratch<T> copy(allocator,
                        plan.images_at_once * plan.copy_height * plan.copy_width * plan.pixel_stride);
  const std::vector<std::int64_t> depths = locate_depths<Tile>(shape, plan, task.channels);
  std::vector<std::int64_t> pixels;
  Block located{};
  for (Block block = block_at(shape, plan, task, task.first_image, 0); block.images > 0;) {
    const Block next = block_after(shape, plan, task, block);
    if (block.images != located.images || block.rows != located.rows) {
      pixels = locate_pixels(shape, plan, block);
      located = block;
    }
    copy_input(shape, plan, task, block, x, copy.data());
    add_block<Tile>(
        shape, plan, task, grad_of<Tile>(shape, task, block, grad).first, copy.data(), pixels, depths,
        {grad_of<Tile>(shape, task, next, grad), input_of(shape, plan, task, next, x), std::ssize(pixels)},
        packed.data(), sums);
    block = next;
  }
}

// grad_weight[o][tap][c] = Σ over chunks of sums[chunk][slice][panel][tap, c within it][o within it]; a line
// of the cache for each o at a time. `transposed`: grad_weight[c][o].
template <typename Tile, typename T = typename Tile::Element>
void add_chunks(const ConvShape& shape, const Plan& plan, const T* sums, bool transposed, T* grad_weight) {
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  parallel_for(plan.slices * plan.panels, 1, [&](std::int64_t index, std::int64_t) {
    const std::int64_t channel = index / plan.panels * plan.slice;
    const std::int64_t channels = std::min(plan.slice, shape.in_channels - channel);
    const std::int64_t first = index % plan.panels * Tile::width;
    const std::int64_t width = std::min(Tile::width, shape.out_channels - first);
    for (std::int64_t tap = 0; tap < shape.taps(); ++tap) {
      for (std::int64_t c = 0; c < channels; c += line) {
        const std::int64_t count = std::min(line, channels - c);
        const T* from = sums + (index * plan.depth + tap * channels + c) * Tile::width;
        T total[line * Tile::width];
        std::copy_n(from, count * Tile::width, total);
        for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk) {
          const T* part = from + chunk * plan.chunk_size;
          for (std::int64_t i = 0; i < count * Tile::width; ++i) total[i] += part[i];
        }
        if (transposed) {
          T* const to = grad_weight + (channel + c) * shape.out_channels + first;
          for (std::int64_t i = 0; i < count; ++i)
            std::copy_n(total + i * Tile::width, width, to + i * shape.out_channels);
        } else {
          T* const to = grad_weight + (first * shape.taps() + tap) * shape.in_channels + channel + c;
          transpose(total, Tile::width, count, width, to, shape.taps() * shape.in_channels);
        }
      }
    }
  });
}

template <typename Tile, typename T = typename Tile::Element>
void grad_weight_by(const ConvShape& shape, const T* grad, const T* x, bool transposed, T* grad_weight,
                    Allocator& allocator) {
  const Plan plan = make_plan<Tile>(shape);
  const Scratch<T> sums(allocator, plan.chunks * plan.chunk_size);
  parallel_for(plan.chunks * plan.slices * plan.groups, 1, [&](std::int64_t index, std::int64_t) {
    const std::int64_t chunk = index / (plan.slices * plan.groups);
    const std::int64_t slice = index / plan.groups % plan.slices;
    const std::int64_t first_panel = index % plan.groups * plan.group;
    const Task task{.first_image = chunk * shape.images / plan.chunks,
                    .last_image = (chunk + 1) * shape.images / plan.chunks,
                    .channel = slice * plan.slice,
                    .channels = std::min(plan.slice, shape.in_channels - slice * plan.slice),
                    .first_panel = first_panel,
                    .last_panel = std::min(plan.panels, first_panel + plan.group)};
    T* slice_sums = sums.data() + chunk * plan.chunk_size + slice * plan.panels * plan.depth * Tile::width;
    run<Tile>(shape, plan, task, grad, x, slice_sums, allocator);
  });
  add_chunks<Tile>(shape, plan, sums.data(), transposed, grad_weight);
}

// Values of x and grad that all tasks together copy for a pixel.
template <typename T>
std::int64_t copied_values(const ConvShape& shape) {
  return with_tile_for<T>(shape.out_channels, [&](auto tile) {
    using Tile = decltype(tile);
    const Plan plan = make_plan<Tile>(shape);
    return plan.groups * shape.in_channels +
           (reads_in_place<Tile>(shape) ? 0 : plan.slices * shape.out_channels);
  });
}

}  // namespace

template <typename T>
void conv_direct_grad_weight(const ConvShape& shape, const T* grad, const T* x, T* grad_weight,
                             Allocator& allocator) {
  if (shape.out_channels * shape.in_channels == 0) return;
  // gradᵀ · x = (xᵀ · grad)ᵀ: of 1×1 kernels either may be the one that is read in place.
  ConvShape swapped = shape;
  std::swap(swapped.in_channels, swapped.out_channels);
  const bool is_product = shape.taps() == 1 && shape.stride == 1 && shape.padding == 0;
  const bool transposed = is_product && copied_values<T>(swapped) < copied_values<T>(shape);
  if (transposed) std::swap(grad, x);
  const ConvShape& by = transposed ? swapped : shape;
  with_tile_for<T>(by.out_channels, [&](auto tile) {
    grad_weight_by<decltype(tile)>(by, grad, x, transposed, grad_weight, allocator);
  });
}

template void conv_direct_grad_weight(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_direct_grad_weight(const ConvShape&, const double*, const double*, double*, Allocator&);

}  // namespace lamina::cpu
