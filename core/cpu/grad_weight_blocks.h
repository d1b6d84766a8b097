// How grad-weight cuts its sum over pixels: chunks, slices and groups of tasks, and the blocks that a task
// takes one after another, of which the next is fetched while one is summed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "core/base/rounding.h"
#include "core/cpu/conv_direct.h"
#include "core/cpu/vector.h"

namespace lamina::cpu::grad_weight {

inline constexpr std::int64_t block_pixels = 128;    // aimed at: 8 KiB of a panel of grad
inline constexpr std::int64_t slice_channels = 128;  // at most
inline constexpr int row_unit = 4;                   // of a tile where larger ones leave a rest
// Of a core's L2 cache, in CPUs with AVX-512 and in others.
inline constexpr std::int64_t cache_bytes = (vector_registers == 32 ? 1024 : 512) * 1024;
inline constexpr std::int64_t block_bytes = cache_bytes * 5 / 16;  // of the copy of x at most, and
inline constexpr std::int64_t group_bytes = cache_bytes * 7 / 16;  // of a task's sums
inline constexpr std::int64_t group_channels = 256;                // at most: x is copied once for each group
inline constexpr std::int64_t pixels_ahead = 8;   // of the one being packed: grad comes from memory
inline constexpr std::int64_t target_tasks = 32;  // enough for load balance on many cores
inline constexpr std::int64_t chunks_bytes = 32 * 1024 * 1024;  // of all chunks' sums at most

// Rows of a tile for RGB images: three taps of three channels lie together. Too many for 16 registers.
template <typename Tile>
inline constexpr int rgb_rows = vector_registers == 32 ? 9 : Tile::channel_rows;

// How the sum is cut; a function of the shape only.
struct Plan {
  std::int64_t slice = 0, slices = 0;                 // input channels of a slice (the last may have fewer)
  std::int64_t depth = 0;                             // values of k in a slice, in whole tiles
  int tile_rows = 0;                                  // rows of most tiles
  std::int64_t panels = 0, group = 0, groups = 0;     // of output channels; panels of a group
  std::int64_t chunks = 0;                            // of images
  std::int64_t chunk_size = 0;                        // elements: sums[slice][panel][depth][Tile::width]
  std::int64_t images_at_once = 1, rows_at_once = 1;  // of a block; several images only if whole
  std::int64_t copy_width = 0, copy_height = 0;       // of one image's rows in the copy, in pixels
  std::int64_t copy_step = 1;                         // every copy_step-th row and column of x is copied
  std::int64_t step = 1;                              // between the windows of neighbours in the copy
  std::int64_t pixel_stride = 0;                      // elements between pixels of the copy
};

inline std::int64_t copied_rows(const ConvShape& shape, const Plan& plan, std::int64_t out_rows) {
  return (out_rows - 1) * plan.step + shape.kernel_height;
}

template <typename T>
void plan_blocks(const ConvShape& shape, Plan& plan) {
  const auto size = static_cast<std::int64_t>(sizeof(T));
  // Pixels a multiple of 256 bytes apart would share few sets of the L1 cache.
  plan.pixel_stride = plan.slice + (plan.slice * size % 256 == 0 ? 64 / size : 0);
  // A strided 1×1 kernel leaves out whole rows and columns.
  (shape.taps() == 1 ? plan.copy_step : plan.step) = shape.stride;
  plan.copy_width = (shape.out_width - 1) * plan.step + shape.kernel_width;
  const auto bytes = [&](std::int64_t rows) {
    return copied_rows(shape, plan, rows) * plan.copy_width * plan.pixel_stride * size;
  };
  plan.rows_at_once = std::clamp<std::int64_t>(block_pixels / shape.out_width, 1, shape.out_height);
  while (plan.rows_at_once > 1 && bytes(plan.rows_at_once) > block_bytes) --plan.rows_at_once;
  if (plan.rows_at_once == shape.out_height) {
    const std::int64_t fit =
        std::min(block_pixels / (shape.out_height * shape.out_width), block_bytes / bytes(shape.out_height));
    plan.images_at_once = std::max<std::int64_t>(1, fit);
  }
  plan.copy_height = copied_rows(shape, plan, plan.rows_at_once);
}

// The least number ≥ `depth` that tiles of Tile::channel_rows and of row_unit rows make up.
template <typename Tile>
constexpr std::int64_t whole_tiles(std::int64_t depth) {
  return std::max<std::int64_t>(row_unit, round_up(depth, std::gcd(Tile::channel_rows, row_unit)));
}

template <typename Tile, typename T = typename Tile::Element>
Plan make_plan(const ConvShape& shape) {
  const auto size = static_cast<std::int64_t>(sizeof(T));
  Plan plan;
  plan.slice = ceil_div(shape.in_channels, ceil_div(shape.in_channels, slice_channels));
  plan.slices = ceil_div(shape.in_channels, plan.slice);
  const std::int64_t depth = shape.taps() * plan.slice;
  const bool is_rgb = shape.kernel_width * plan.slice == rgb_rows<Tile>;  // depth is then a multiple of it
  plan.tile_rows = is_rgb ? rgb_rows<Tile> : Tile::channel_rows;
  plan.depth = is_rgb ? depth : whole_tiles<Tile>(depth);
  plan.panels = ceil_div(shape.out_channels, Tile::width);
  const std::int64_t panel_bytes = plan.depth * Tile::width * size;
  constexpr std::int64_t most_panels = group_channels / Tile::width;
  static_assert(most_panels >= 1);
  plan.group = std::clamp<std::int64_t>(group_bytes / panel_bytes, 1, most_panels);
  plan.groups = ceil_div(plan.panels, plan.group);
  plan.chunk_size = plan.slices * plan.panels * plan.depth * Tile::width;
  const std::int64_t wanted = target_tasks / (plan.slices * plan.groups);
  const std::int64_t most = std::min(shape.images, chunks_bytes / (plan.chunk_size * size));
  plan.chunks = std::max<std::int64_t>(1, std::min(wanted, most));
  plan_blocks<T>(shape, plan);
  return plan;
}

// What a task sums: for input channels [channel, channel + channels) and panels [first_panel, last_panel).
struct Task {
  std::int64_t first_image, last_image, channel, channels, first_panel, last_panel;
};

struct Block {
  std::int64_t image, images, row, rows;  // of the output
};

// From a row of an image on; of no images, behind the task's last one.
inline Block block_at(const ConvShape& shape, const Plan& plan, const Task& task, std::int64_t image,
                      std::int64_t row) {
  return {image, std::min(plan.images_at_once, task.last_image - image), row,
          std::min(plan.rows_at_once, shape.out_height - row)};
}

inline Block block_after(const ConvShape& shape, const Plan& plan, const Task& task, const Block& block) {
  const std::int64_t row = block.row + block.rows;
  return row < shape.out_height ? block_at(shape, plan, task, block.image, row)
                                : block_at(shape, plan, task, block.image + block.images, 0);
}

// Pixels in memory, of which a block reads so many channels.
template <typename T>
struct Pixels {
  const T* first = nullptr;
  std::int64_t count = 0, channels = 0, stride = 0;
};

template <typename Tile, typename T = typename Tile::Element>
Pixels<T> grad_of(const ConvShape& shape, const Task& task, const Block& block, const T* grad) {
  const std::int64_t channel = task.first_panel * Tile::width;
  const std::int64_t first = (block.image * shape.out_height + block.row) * shape.out_width;
  return {.first = grad + first * shape.out_channels + channel,
          .count = std::max<std::int64_t>(block.images, 0) * block.rows * shape.out_width,
          .channels = std::min(task.last_panel * Tile::width, shape.out_channels) - channel,
          .stride = shape.out_channels};
}

// Of x, unless some rows and columns are left out.
template <typename T>
Pixels<T> input_of(const ConvShape& shape, const Plan& plan, const Task& task, const Block& block,
                   const T* x) {
  if (plan.copy_step > 1 || block.images <= 0) return {};
  const std::int64_t begin = std::max<std::int64_t>(0, block.row * shape.stride - shape.padding);
  const std::int64_t end = std::min(
      shape.in_height, block.row * shape.stride - shape.padding + copied_rows(shape, plan, block.rows));
  const std::int64_t first = (block.image * shape.in_height + begin) * shape.in_width;
  return {.first = x + first * shape.in_channels + task.channel,
          .count = ((block.images - 1) * shape.in_height + end - begin) * shape.in_width,
          .channels = task.channels,
          .stride = shape.in_channels};
}

// What the next block will read, fetched while this one computes: a line of the cache for each pixel that a
// tile of sums passes by.
template <typename T>
class Fetched {
 public:
  Fetched(const Pixels<T>& grad, const Pixels<T>& x, std::int64_t at_once)
      : of_{grad, x}, at_once_(at_once) {}
  struct Lines {
    const T* first;
    std::int64_t stride;
  };
  // Those of the next tile: its n-th pixel fetches first + n · stride. Null if all are fetched.
  Lines next() {
    std::int64_t index = next_++;
    for (const Pixels<T>& pixels : of_) {
      const std::int64_t parts = ceil_div(pixels.count, at_once_),
                         all = ceil_div(pixels.channels, line) * parts;
      if (index < all)
        return {pixels.first + index % parts * at_once_ * pixels.stride + index / parts * line,
                pixels.stride};
      index -= all;
    }
    return {nullptr, 0};
  }

 private:
  static constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  Pixels<T> of_[2];
  std::int64_t at_once_, next_ = 0;
};

}  // namespace lamina::cpu::grad_weight
