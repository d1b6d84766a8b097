// Grad-weight: a product over pixels. With k = (tap, input channel),
//   grad_weight[o, k] = Σ_p grad[p, o] · x[p + tap, k],
// is summed in tiles of tile_rows values of k × panel_width output channels. Pixels pass by in blocks that
// fit the caches: the block's part of x, with its zero padding, is copied so that the inner loop has no
// edges.
//
// Tasks are (chunk of images) × (group of output channels). Each chunk has its own sums; these are added in
// the order of the chunks, whose number depends only on the shape: the result does not depend on the threads.
#include <algorithm>
#include <vector>

#include "core/cpu/conv_direct.h"
#include "core/cpu/parallel.h"
#include "core/cpu/scratch.h"

namespace lamina::cpu {
namespace {

constexpr std::int64_t block_pixels = 128;             // aimed at: 8 KiB of a panel of grad
constexpr std::int64_t block_bytes = 256 * 1024;       // of x at most, half an L2 cache
constexpr std::int64_t group_panels = 4;               // output channels of a task share the copy of x
constexpr std::int64_t target_tasks = 64;              // enough for load balance on many cores
constexpr std::int64_t sums_bytes = 32 * 1024 * 1024;  // of all chunks together at most

// How the sum is cut; a function of the shape only.
template <typename T>
struct Plan {
  explicit Plan(const ConvShape& shape);

  std::int64_t depth;                         // number of k
  std::int64_t padded_depth;                  // rounded up to whole tiles
  std::int64_t panels, groups, chunks;        // of output channels; of panels; of images
  std::int64_t pixel_stride;                  // elements between pixels of the copy
  std::int64_t copy_width;                    // pixels
  std::int64_t images_at_once, rows_at_once;  // of a block: either is 1 or the other is whole
};

template <typename T>
Plan<T>::Plan(const ConvShape& shape) {
  depth = shape.taps() * shape.in_channels;
  padded_depth = ceil_divide(depth, tile_rows) * tile_rows;
  panels = ceil_divide(shape.out_channels, panel_width<T>);
  groups = ceil_divide(panels, group_panels);
  const auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t bytes = panels * padded_depth * panel_width<T> * size;
  chunks =
      std::clamp<std::int64_t>(std::min(target_tasks / groups, sums_bytes / std::max<std::int64_t>(1, bytes)),
                               1, std::max<std::int64_t>(1, shape.images));

  // Pixels a power of two apart would all fall into a few sets of the cache.
  pixel_stride = shape.in_channels + (shape.in_channels * size % 256 == 0 ? 64 / size : 0);
  copy_width = (shape.out_width - 1) * shape.stride + shape.kernel_width;
  rows_at_once = std::clamp<std::int64_t>(block_pixels / shape.out_width, 1, shape.out_height);
  const auto copy_bytes = [&] {
    return ((rows_at_once - 1) * shape.stride + shape.kernel_height) * copy_width * pixel_stride * size;
  };
  while (rows_at_once > 1 && copy_bytes() > block_bytes) rows_at_once = ceil_divide(rows_at_once, 2);
  images_at_once = 1;
  if (rows_at_once == shape.out_height) {
    images_at_once =
        std::min(block_pixels / (shape.out_height * shape.out_width), block_bytes / copy_bytes());
    images_at_once = std::max<std::int64_t>(1, images_at_once);
  }
}

struct Block {
  std::int64_t image, images, row, rows;  // of the output
};

// Copies what the block reads of x, zeros where that is padding: [image][row][copy_width][pixel_stride].
template <typename T>
void copy_input(const ConvShape& shape, const Plan<T>& plan, const Block& block, const T* x, T* copy) {
  const std::int64_t height = (block.rows - 1) * shape.stride + shape.kernel_height;
  const std::int64_t channels = shape.in_channels;
  const std::int64_t left = std::min(shape.padding, plan.copy_width);
  const std::int64_t right = std::clamp(shape.in_width + shape.padding, left, plan.copy_width);
  for (std::int64_t h = 0; h < block.images * height; ++h) {
    const std::int64_t row = block.row * shape.stride - shape.padding + h % height;
    T* to = copy + h * plan.copy_width * plan.pixel_stride;
    if (row < 0 || row >= shape.in_height) {
      std::fill_n(to, plan.copy_width * plan.pixel_stride, T(0));
      continue;
    }
    const T* from = x + ((block.image + h / height) * shape.in_height + row) * shape.in_width * channels;
    std::fill(to, to + left * plan.pixel_stride, T(0));
    if (plan.pixel_stride == channels) {
      std::copy_n(from, (right - left) * channels, to + left * channels);
    } else {
      for (std::int64_t w = left; w < right; ++w) {
        std::copy_n(from + (w - left) * channels, channels, to + w * plan.pixel_stride);
      }
    }
    std::fill(to + right * plan.pixel_stride, to + plan.copy_width * plan.pixel_stride, T(0));
  }
}

// Where in the copy the block's output pixels read their first tap.
template <typename T>
void locate_pixels(const ConvShape& shape, const Plan<T>& plan, const Block& block,
                   std::vector<std::int64_t>& offsets) {
  const std::int64_t height = (block.rows - 1) * shape.stride + shape.kernel_height;
  offsets.clear();
  for (std::int64_t n = 0; n < block.images; ++n) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      for (std::int64_t j = 0; j < shape.out_width; ++j) {
        offsets.push_back(((n * height + i * shape.stride) * plan.copy_width + j * shape.stride) *
                          plan.pixel_stride);
      }
    }
  }
}

// Where k = (tap, input channel) lies relative to that; the last tile's surplus repeats k = 0.
template <typename T>
std::vector<std::int64_t> locate_depth(const ConvShape& shape, const Plan<T>& plan) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(plan.padded_depth), 0);
  for (std::int64_t k = 0; k < plan.depth; ++k) {
    const std::int64_t tap = k / shape.in_channels;
    offsets[static_cast<std::size_t>(k)] =
        (tap / shape.kernel_width * plan.copy_width + tap % shape.kernel_width) * plan.pixel_stride +
        k % shape.in_channels;
  }
  return offsets;
}

// [pixel][panel_width] of grad's output channels from `first` on, with zeros beyond the last.
template <typename T>
void pack_grad(const T* grad, std::int64_t pixels, std::int64_t channels, std::int64_t first, T* packed) {
  const std::int64_t width = std::min(panel_width<T>, channels - first);
  for (std::int64_t p = 0; p < pixels; ++p) {
    T* to = packed + p * panel_width<T>;
    std::copy_n(grad + p * channels + first, width, to);
    std::fill(to + width, to + panel_width<T>, T(0));
  }
}

// The micro-kernel: sums[tile_rows][panel_width] += Σ_p x[pixel_p + depth_i] · grad[p][…].
template <typename T>
void add_outer_products(const T* x, const std::vector<std::int64_t>& pixels, const std::int64_t* depths,
                        const T* grad, T* sums) {
  Vector<T> sum[tile_rows][2];
  const T* row[tile_rows];
  for (int i = 0; i < tile_rows; ++i) {
    sum[i][0] = load(sums + i * panel_width<T>);
    sum[i][1] = load(sums + i * panel_width<T> + lanes<T>);
    row[i] = x + depths[i];
  }
  for (const std::int64_t pixel : pixels) {
    const Vector<T> grad_0 = load(grad);
    const Vector<T> grad_1 = load(grad + lanes<T>);
    for (int i = 0; i < tile_rows; ++i) {
      sum[i][0] += row[i][pixel] * grad_0;
      sum[i][1] += row[i][pixel] * grad_1;
    }
    grad += panel_width<T>;
  }
  for (int i = 0; i < tile_rows; ++i) {
    store<T>(sum[i][0], sums + i * panel_width<T>);
    store<T>(sum[i][1], sums + i * panel_width<T> + lanes<T>);
  }
}

// One task: the sums over images [first_image, last_image) for panels [first_panel, last_panel).
struct Task {
  std::int64_t first_image, last_image, first_panel, last_panel;
};

template <typename T>
void add_block(const ConvShape& shape, const Plan<T>& plan, const Task& task, const T* grad, const T* copy,
               const std::vector<std::int64_t>& pixels, const std::vector<std::int64_t>& depths, T* packed,
               T* sums) {
  for (std::int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
    const T* panel_grad = grad;
    if (shape.out_channels != panel_width<T>) {
      pack_grad(grad, static_cast<std::int64_t>(pixels.size()), shape.out_channels, panel * panel_width<T>,
                packed);
      panel_grad = packed;
    }
    for (std::int64_t k = 0; k < plan.padded_depth; k += tile_rows) {
      add_outer_products(copy, pixels, depths.data() + k, panel_grad,
                         sums + (panel * plan.padded_depth + k) * panel_width<T>);
    }
  }
}

template <typename T>
void run(const ConvShape& shape, const Plan<T>& plan, const Task& task, const T* grad, const T* x,
         const std::vector<std::int64_t>& depths, T* sums, Allocator& allocator) {
  const std::int64_t panel_size = plan.padded_depth * panel_width<T>;
  std::fill(sums + task.first_panel * panel_size, sums + task.last_panel * panel_size, T(0));
  const std::int64_t copy_height = (plan.rows_at_once - 1) * shape.stride + shape.kernel_height;
  const std::int64_t most_pixels = plan.images_at_once * plan.rows_at_once * shape.out_width;
  const Scratch<T> copy(allocator, plan.images_at_once * copy_height * plan.copy_width * plan.pixel_stride);
  const Scratch<T> packed(allocator, most_pixels * panel_width<T>);
  std::vector<std::int64_t> pixels;
  for (std::int64_t n = task.first_image; n < task.last_image; n += plan.images_at_once) {
    for (std::int64_t i = 0; i < shape.out_height; i += plan.rows_at_once) {
      const Block block{n, std::min(plan.images_at_once, task.last_image - n), i,
                        std::min(plan.rows_at_once, shape.out_height - i)};
      copy_input(shape, plan, block, x, copy.data());
      locate_pixels(shape, plan, block, pixels);
      const T* block_grad = grad + (n * shape.out_height + i) * shape.out_width * shape.out_channels;
      add_block(shape, plan, task, block_grad, copy.data(), pixels, depths, packed.data(), sums);
    }
  }
}

// grad_weight[o][k] = Σ over chunks of sums[chunk][panel][k][o within the panel].
template <typename T>
void add_chunks(const ConvShape& shape, const Plan<T>& plan, const T* sums, T* grad_weight) {
  const std::int64_t chunk_size = plan.panels * plan.padded_depth * panel_width<T>;
  parallel_for(plan.panels, 1, [&](std::int64_t panel, std::int64_t) {
    const std::int64_t first = panel * panel_width<T>;
    const std::int64_t width = std::min(panel_width<T>, shape.out_channels - first);
    for (std::int64_t k = 0; k < plan.depth; ++k) {
      T total[panel_width<T>] = {};
      const T* from = sums + (panel * plan.padded_depth + k) * panel_width<T>;
      for (std::int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
        for (std::int64_t o = 0; o < panel_width<T>; ++o) total[o] += from[chunk * chunk_size + o];
      }
      for (std::int64_t o = 0; o < width; ++o) grad_weight[(first + o) * plan.depth + k] = total[o];
    }
  });
}

}  // namespace

template <typename T>
void conv_direct_grad_weight(const ConvShape& shape, const T* grad, const T* x, T* grad_weight,
                             Allocator& allocator) {
  const Plan<T> plan(shape);
  const std::vector<std::int64_t> depths = locate_depth(shape, plan);
  const std::int64_t chunk_size = plan.panels * plan.padded_depth * panel_width<T>;
  const Scratch<T> sums(allocator, plan.chunks * chunk_size);
  parallel_for(plan.chunks * plan.groups, 1, [&](std::int64_t index, std::int64_t) {
    const std::int64_t chunk = index / plan.groups;
    const std::int64_t group = index % plan.groups;
    const Task task{.first_image = chunk * shape.images / plan.chunks,
                    .last_image = (chunk + 1) * shape.images / plan.chunks,
                    .first_panel = group * plan.panels / plan.groups,
                    .last_panel = (group + 1) * plan.panels / plan.groups};
    run(shape, plan, task, grad, x, depths, sums.data() + chunk * chunk_size, allocator);
  });
  add_chunks(shape, plan, sums.data(), grad_weight);
}

template void conv_direct_grad_weight(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_direct_grad_weight(const ConvShape&, const double*, const double*, double*, Allocator&);

}  // namespace lamina::cpu
