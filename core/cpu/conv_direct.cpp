// Forward and grad-input. Both are the same sum: a grid of result pixels, each of which gathers one source
// pixel per tap and multiplies it by the tap's matrix of weights,
//   result[n, I(i), J(j), :] = Σ_t source[n, i·step + row_t, j·step + column_t, :] · W_t.
// A stride makes grad-input fall apart into stride² such grids, one per residue of the input's pixels.
//
// Blocking: weights are packed once per call into panels of panel_width result channels; a slice of a panel
// (depth_block source values × panel_width) stays in the L1 cache while a block of pixels passes by.
#include "core/cpu/conv_direct.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/base/rounding.h"
#include "core/cpu/micro_kernel.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

constexpr std::int64_t block_pixels = 8 * tile_rows;
constexpr std::int64_t depth_block = 288;  // × panel_width elements of 64 bytes in all: 18 KiB

struct Range {
  std::int64_t begin = 0, end = 0;
};

struct Image {
  std::int64_t rows = 0, columns = 0, channels = 0;
};

struct Tap {
  std::int64_t row = 0, column = 0;  // of its source pixel, relative to (i, j) · source_step
  std::int64_t weight = 0;           // index of its first weight
};

struct Gather {
  std::int64_t images = 0;
  Image source, result;
  std::int64_t rows = 0, columns = 0;  // of the grid of result pixels (i, j)
  std::int64_t source_step = 1;
  std::int64_t result_step = 1;  // I(i) = i · result_step + result_row
  std::int64_t result_row = 0, result_column = 0;
  std::int64_t weight_source_stride = 0, weight_result_stride = 0;  // between channels, in the weight array
  std::vector<Tap> taps;
};

// What one pass over a block of pixels covers of the sum over taps and source channels.
struct DepthBlock {
  Range taps, channels;
};

std::vector<DepthBlock> depth_blocks(std::int64_t taps, std::int64_t channels) {
  const std::int64_t taps_at_once =
      std::max<std::int64_t>(1, depth_block / std::max<std::int64_t>(1, channels));
  const std::int64_t tap_blocks = std::max<std::int64_t>(1, ceil_div(taps, taps_at_once));
  const std::int64_t channel_blocks = std::max<std::int64_t>(1, ceil_div(channels, depth_block));
  std::vector<DepthBlock> blocks;
  for (std::int64_t t = 0; t < tap_blocks; ++t) {
    for (std::int64_t c = 0; c < channel_blocks; ++c) {
      blocks.push_back({.taps = {t * taps / tap_blocks, (t + 1) * taps / tap_blocks},
                        .channels = {c * channels / channel_blocks, (c + 1) * channels / channel_blocks}});
    }
  }
  return blocks;
}

// packed[panel][tap][source channel][panel_width]; result channels beyond the last have zero weights.
template <typename T>
void pack_weights(const Gather& gather, const T* weight, T* packed) {
  const std::int64_t panels = ceil_div(gather.result.channels, panel_width<T>);
  const auto taps = static_cast<std::int64_t>(gather.taps.size());
  const std::int64_t size = gather.source.channels * panel_width<T>;     // of one tap's part of a panel
  const std::int64_t at_once = std::max<std::int64_t>(1, 32768 / size);  // less is not worth waking a thread
  parallel_for(panels * taps, at_once, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i / taps * panel_width<T>;
      const std::int64_t width = std::min(panel_width<T>, gather.result.channels - first);
      const T* from = weight + gather.taps[static_cast<std::size_t>(i % taps)].weight +
                      first * gather.weight_result_stride;
      T* to = packed + i * size;
      for (std::int64_t c = 0; c < gather.source.channels; ++c) {
        for (std::int64_t k = 0; k < panel_width<T>; ++k) {
          *to++ = k < width ? from[c * gather.weight_source_stride + k * gather.weight_result_stride] : T(0);
        }
      }
    }
  });
}

// Where a block of pixels reads and writes. Places past the last pixel read zeros and write to `unused`.
template <typename T>
struct PixelBlock {
  const T** sources;  // [tap][block_pixels]
  std::array<T*, block_pixels> results;
  std::int64_t pixels = 0;
};

// The pixels [j, j + count) of row i, which take the places from `place` on.
struct Run {
  std::int64_t place, image, i, j, count;
};

template <typename T>
void locate_run(const Gather& gather, const Run& run, const T* source, const T* zeros, T* result,
                PixelBlock<T>& block) {
  const std::int64_t step = gather.source_step;
  for (std::size_t t = 0; t < gather.taps.size(); ++t) {
    const T** to = block.sources + static_cast<std::int64_t>(t) * block_pixels + run.place;
    const Tap& tap = gather.taps[t];
    const std::int64_t row = run.i * step + tap.row;
    if (row < 0 || row >= gather.source.rows) {
      std::fill_n(to, run.count, zeros);
      continue;
    }
    const T* line =
        source + (run.image * gather.source.rows + row) * gather.source.columns * gather.source.channels;
    std::int64_t column = run.j * step + tap.column;
    for (std::int64_t k = 0; k < run.count; ++k, column += step) {
      const bool inside = column >= 0 && column < gather.source.columns;
      to[k] = inside ? line + column * gather.source.channels : zeros;
    }
  }
  const std::int64_t row = run.image * gather.result.rows + run.i * gather.result_step + gather.result_row;
  for (std::int64_t k = 0; k < run.count; ++k) {
    const std::int64_t column = (run.j + k) * gather.result_step + gather.result_column;
    block.results[static_cast<std::size_t>(run.place + k)] =
        result + (row * gather.result.columns + column) * gather.result.channels;
  }
}

template <typename T>
void locate_pixels(const Gather& gather, Range pixels, const T* source, const T* zeros, T* result, T* unused,
                   PixelBlock<T>& block) {
  block.pixels = pixels.end - pixels.begin;
  for (std::int64_t p = pixels.begin; p < pixels.end;) {
    const std::int64_t j = p % gather.columns;
    const Run run{.place = p - pixels.begin,
                  .image = p / gather.columns / gather.rows,
                  .i = p / gather.columns % gather.rows,
                  .j = j,
                  .count = std::min(gather.columns - j, pixels.end - p)};
    locate_run(gather, run, source, zeros, result, block);
    p += run.count;
  }
  for (std::int64_t place = block.pixels; place % tile_rows != 0; ++place) {
    for (std::size_t t = 0; t < gather.taps.size(); ++t) {
      block.sources[static_cast<std::int64_t>(t) * block_pixels + place] = zeros;
    }
    block.results[static_cast<std::size_t>(place)] = unused;
  }
}

// results[0 … 5][0 … panel_width) (+)= Σ source · weight over the depth block.
template <typename T>
void multiply_tile(const T* const* sources, const DepthBlock& depth, bool add, const T* weight,
                   T* const* results) {
  const auto result = [=](int i) { return results[i]; };
  RegisterTile<T> sums(add, result);
  const std::int64_t channels = depth.channels.end - depth.channels.begin;
  for (std::int64_t t = depth.taps.begin; t < depth.taps.end; ++t) {
    const T* x[tile_rows];
#pragma GCC unroll 6
    for (int i = 0; i < tile_rows; ++i) x[i] = sources[t * block_pixels + i] + depth.channels.begin;
    for (std::int64_t c = 0; c < channels; ++c, weight += panel_width<T>)
      sums.add_product([&](int i) { return x[i][c]; }, weight);
  }
  sums.store_to(result);
}

// The same where the last panel has fewer channels: through a tile of full width.
template <typename T>
void multiply_ragged_tile(const T* const* sources, const DepthBlock& depth, bool add, const T* weight,
                          T* const* results, std::int64_t width) {
  T tile[tile_rows][panel_width<T>] = {};
  T* tile_results[tile_rows];
  for (int i = 0; i < tile_rows; ++i) {
    tile_results[i] = tile[i];
    if (add) std::copy_n(results[i], width, tile[i]);
  }
  multiply_tile(sources, depth, add, weight, tile_results);
  for (int i = 0; i < tile_rows; ++i) std::copy_n(tile[i], width, results[i]);
}

template <typename T>
void multiply_block(const Gather& gather, const std::vector<DepthBlock>& depths, const T* packed,
                    const PixelBlock<T>& block) {
  const auto taps = static_cast<std::int64_t>(gather.taps.size());
  for (std::size_t d = 0; d < depths.size(); ++d) {
    const DepthBlock& depth = depths[d];
    const std::int64_t first = depth.taps.begin * gather.source.channels + depth.channels.begin;
    for (std::int64_t k = 0; k < gather.result.channels; k += panel_width<T>) {
      const T* weight = packed + (k * taps * gather.source.channels) + first * panel_width<T>;
      const std::int64_t width = gather.result.channels - k;
      for (std::int64_t place = 0; place < block.pixels; place += tile_rows) {
        T* results[tile_rows];
        for (int i = 0; i < tile_rows; ++i)
          results[i] = block.results[static_cast<std::size_t>(place + i)] + k;
        if (width >= panel_width<T>) {
          multiply_tile(block.sources + place, depth, d > 0, weight, results);
        } else {
          multiply_ragged_tile(block.sources + place, depth, d > 0, weight, results, width);
        }
      }
    }
  }
}

template <typename T>
void convolve(const Gather& gather, const T* source, const T* weight, T* result, Allocator& allocator) {
  const auto taps = static_cast<std::int64_t>(gather.taps.size());
  const std::int64_t panels = ceil_div(gather.result.channels, panel_width<T>);
  const Scratch<T> packed(allocator, panels * taps * gather.source.channels * panel_width<T>);
  pack_weights(gather, weight, packed.data());
  const Scratch<T> zeros(allocator, gather.source.channels);
  std::fill_n(zeros.data(), gather.source.channels, T(0));
  const std::vector<DepthBlock> depths = depth_blocks(taps, gather.source.channels);

  const std::int64_t pixels = gather.images * gather.rows * gather.columns;
  const std::int64_t blocks_at_once = std::clamp<std::int64_t>(pixels / block_pixels / 64, 1, 16);
  struct Workspace {
    Scratch<const T*> sources;
    Scratch<T> unused;
  };
  const auto workspace = [&] {
    return Workspace{.sources = {allocator, taps * block_pixels},
                     .unused = {allocator, gather.result.channels}};
  };
  const auto convolve_share = [&](std::int64_t begin, std::int64_t end, const Workspace& work) {
    PixelBlock<T> block{.sources = work.sources.data(), .results = {}};
    for (std::int64_t p = begin; p < end; p += block_pixels) {
      locate_pixels(gather, {p, std::min(end, p + block_pixels)}, source, zeros.data(), result,
                    work.unused.data(), block);
      multiply_block(gather, depths, packed.data(), block);
    }
  };
  parallel_for(pixels, blocks_at_once * block_pixels, workspace, convolve_share);
}

}  // namespace

template <typename T>
void conv_direct(const ConvShape& shape, const T* x, const T* weight, T* y, Allocator& allocator) {
  Gather gather{.images = shape.images,
                .source = {shape.in_height, shape.in_width, shape.in_channels},
                .result = {shape.out_height, shape.out_width, shape.out_channels},
                .rows = shape.out_height,
                .columns = shape.out_width,
                .source_step = shape.stride,
                .weight_source_stride = 1,
                .weight_result_stride = shape.taps() * shape.in_channels,
                .taps = {}};
  for (std::int64_t r = 0; r < shape.kernel_height; ++r) {
    for (std::int64_t s = 0; s < shape.kernel_width; ++s) {
      gather.taps.push_back({.row = r - shape.padding,
                             .column = s - shape.padding,
                             .weight = (r * shape.kernel_width + s) * shape.in_channels});
    }
  }
  convolve(gather, x, weight, y, allocator);
}

namespace {

// The taps through which input pixels ≡ (row, column) mod stride were read: output pixel o reads input
// o · stride + r − padding, so input a + i · stride was read, with tap r, by o = i + (a + padding − r) /
// stride.
std::vector<Tap> taps_of_residue(const ConvShape& shape, std::int64_t row, std::int64_t column) {
  std::vector<Tap> taps;
  for (std::int64_t r = 0; r < shape.kernel_height; ++r) {
    for (std::int64_t s = 0; s < shape.kernel_width; ++s) {
      const std::int64_t down = row + shape.padding - r;
      const std::int64_t right = column + shape.padding - s;
      if (down % shape.stride != 0 || right % shape.stride != 0) continue;
      taps.push_back({.row = down / shape.stride,
                      .column = right / shape.stride,
                      .weight = (r * shape.kernel_width + s) * shape.in_channels});
    }
  }
  return taps;
}

}  // namespace

template <typename T>
void conv_direct_grad_input(const ConvShape& shape, const T* grad, const T* weight, T* grad_x,
                            Allocator& allocator) {
  const std::int64_t stride = shape.stride;
  for (std::int64_t row = 0; row < std::min(stride, shape.in_height); ++row) {
    for (std::int64_t column = 0; column < std::min(stride, shape.in_width); ++column) {
      const Gather gather{.images = shape.images,
                          .source = {shape.out_height, shape.out_width, shape.out_channels},
                          .result = {shape.in_height, shape.in_width, shape.in_channels},
                          .rows = ceil_div(shape.in_height - row, stride),
                          .columns = ceil_div(shape.in_width - column, stride),
                          .result_step = stride,
                          .result_row = row,
                          .result_column = column,
                          .weight_source_stride = shape.taps() * shape.in_channels,
                          .weight_result_stride = 1,
                          .taps = taps_of_residue(shape, row, column)};
      convolve(gather, grad, weight, grad_x, allocator);
    }
  }
}

template void conv_direct(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_direct(const ConvShape&, const double*, const double*, double*, Allocator&);
template void conv_direct_grad_input(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_direct_grad_input(const ConvShape&, const double*, const double*, double*, Allocator&);

}  // namespace lamina::cpu
