// Forward and grad-input. Both are the sum of gather.h; a stride makes grad-input fall apart into stride² of
// them, one per residue of the input's pixels.
//
// Blocking: weights are packed into panels of a tile's width of result channels, all of them first or, where
// pixels are few, some by the thread that needs them; a slice of a panel stays in the L1 cache while a block
// of pixels passes by. Source pixels are read where they lie; of images with few channels, in a copy with
// their padding.
#include "core/cpu/conv_direct.h"

#include <algorithm>
#include <vector>

#include "core/base/rounding.h"
#include "core/cpu/direct_products.h"
#include "core/cpu/gather.h"
#include "core/cpu/micro_kernel.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu {
namespace {

using namespace direct;

constexpr std::int64_t target_tasks = 32;         // enough for load balance on many cores
constexpr std::int64_t few_pixels = 2048;         // with more, packing by tasks gains nothing
constexpr std::int64_t group_bytes = 256 * 1024;  // of weights that stay in a core's L2 cache

// The source of these pixels where it is one piece of memory, for 1×1 kernels. (Those of larger ones share
// most of theirs with the pixels before.)
template <typename T>
NextLines<T> source_of(const Gather& gather, Range pixels, const T* source) {
  const bool in_place = gather.taps.size() == 1 && gather.source_step == 1 &&
                        gather.rows == gather.source.rows && gather.columns == gather.source.columns;
  if (!in_place || pixels.begin >= pixels.end) return {};
  return {.first = source + pixels.begin * gather.source.channels,
          .count = (pixels.end - pixels.begin) * gather.source.channels / NextLines<T>::size};
}

template <typename T>
bool streams_results(const Gather& gather, const T* result) {
  const Extent& to = gather.result;
  return is_streamed(result, gather.images * to.rows * to.columns * to.channels, to.channels);
}

// How the work is cut: a task takes `share` pixels and `group` panels of weights. It may depend on the
// threads: each result is summed by one task, in the same order.
struct Tasks {
  std::int64_t share = 0, group = 0;
  bool packing = false;  // Each packs its panels, which need not pass through memory.
};

template <typename Tile, typename T = typename Tile::Element>
Tasks make_tasks(std::int64_t pixels, std::int64_t panels, std::int64_t panel_size) {
  const std::int64_t panel_bytes = panel_size * static_cast<std::int64_t>(sizeof(T));
  if (const std::int64_t most = panels / (2 * threads()); pixels <= few_pixels && most > 0) {
    return {.share = pixels,
            .group = std::clamp<std::int64_t>(group_bytes / panel_bytes, 1, most),
            .packing = true};
  }
  constexpr std::int64_t at_once = block_pixels<Tile>;
  const std::int64_t share = std::clamp<std::int64_t>(pixels / at_once / 64, 1, 16) * at_once;
  // Where there are few shares, tasks are parts of the panels, too.
  const std::int64_t groups = std::clamp<std::int64_t>(target_tasks / ceil_div(pixels, share), 1, panels);
  return {.share = share, .group = ceil_div(panels, groups)};
}

template <typename Tile, typename T = typename Tile::Element>
void convolve_by(const Gather& gather, const T* source, const T* weight, T* result, Allocator& allocator) {
  const auto taps = static_cast<std::int64_t>(gather.taps.size());
  const std::int64_t pixels = gather.images * gather.rows * gather.columns;
  const std::int64_t panels = ceil_div(gather.result.channels, Tile::width);
  const std::int64_t panel_size = taps * gather.depth * Tile::width;
  const Tasks tasks = make_tasks<Tile>(pixels, panels, panel_size);
  const Scratch<T> all_weights(allocator, tasks.packing ? 0 : panels * panel_size);
  if (!tasks.packing) pack_weights<Tile>(gather, {0, panels}, weight, all_weights.data());
  const Scratch<T> zeros(allocator, gather.depth);
  std::fill_n(zeros.data(), gather.depth, T(0));
  const std::vector<DepthBlock> depths = depth_blocks<Tile>(taps, gather.depth);

  const bool streamed = !gather.add && depths.size() == 1 && Tile::width * sizeof(T) % streamed_line == 0 &&
                        streams_results(gather, result);
  constexpr std::int64_t at_once = block_pixels<Tile>;
  const std::int64_t shares = ceil_div(pixels, tasks.share);
  struct Workspace {
    Scratch<const T*> sources;
    Scratch<T> unused, weights;
  };
  const auto workspace = [&] {
    return Workspace{.sources = {allocator, taps * at_once},
                     .unused = {allocator, gather.result.channels},
                     .weights = {allocator, tasks.packing ? tasks.group * panel_size : 0}};
  };
  const auto run = [&](std::int64_t task, std::int64_t, const Workspace& work) {
    const Range some{task / shares * tasks.group, std::min((task / shares + 1) * tasks.group, panels)};
    const std::int64_t end = std::min((task % shares + 1) * tasks.share, pixels);
    if (tasks.packing) pack_weights<Tile>(gather, some, weight, work.weights.data());
    const T* const packed =
        tasks.packing ? work.weights.data() : all_weights.data() + some.begin * panel_size;
    PixelBlock<Tile> block{.sources = work.sources.data(), .results = {}};
    for (std::int64_t p = task % shares * tasks.share; p < end; p += at_once) {
      locate_pixels<Tile>(gather, {p, std::min(end, p + at_once)}, source, zeros.data(), result,
                          work.unused.data(), block);
      const Range next{p + at_once, std::min(pixels, p + 2 * at_once)};
      multiply_block<Tile>(gather, depths, some, packed, block, streamed, source_of(gather, next, source));
    }
    if (streamed) finish_streaming();
  };
  parallel_for(ceil_div(panels, tasks.group) * shares, 1, workspace, run);
}

// Where nothing is gathered: a strided 1×1 kernel leaves out pixels.
template <typename T>
void clear(const Gather& gather, T* result) {
  const std::int64_t channels = gather.result.channels;
  const bool streamed = streams_results(gather, result);
  parallel_for(gather.images * gather.rows, 1, [&](std::int64_t line, std::int64_t) {
    const std::int64_t row =
        line / gather.rows * gather.result.rows + line % gather.rows * gather.result_step + gather.result_row;
    for (std::int64_t j = 0; j < gather.columns; ++j) {
      const std::int64_t column = j * gather.result_step + gather.result_column;
      T* const pixel = result + (row * gather.result.columns + column) * channels;
      if (streamed)
        for (std::int64_t c = 0; c < channels; c += lanes<T>) stream<T>(Vector<T>{}, pixel + c);
      else
        std::fill_n(pixel, channels, T(0));
    }
    if (streamed) finish_streaming();
  });
}

template <typename T>
void convolve(const Gather& gather, const T* source, const T* weight, T* result, Allocator& allocator) {
  if (gather.images * gather.rows * gather.columns * gather.result.channels == 0) return;
  if (gather.taps.empty() || gather.depth == 0) {
    if (!gather.add) clear(gather, result);
    return;
  }
  with_tile_for<T>(gather.result.channels, [&](auto tile) {
    convolve_by<decltype(tile)>(gather, source, weight, result, allocator);
  });
}

// Of images with few channels, finding each tap's pixels takes as long as multiplying by them. With more
// padding than kernel the copy could be any number of times larger than they are.
bool joins_taps(const ConvShape& shape) {
  return shape.in_channels <= 4 && shape.kernel_width > 1 && shape.padding < shape.kernel_width &&
         shape.padding < shape.kernel_height;
}

// The images with their padding: [image][row + padding][column + padding][channel].
template <typename T>
void copy_padded(const ConvShape& shape, const Extent& padded, const T* x, T* to) {
  const std::int64_t line = shape.in_width * shape.in_channels, edge = shape.padding * shape.in_channels;
  const std::int64_t padded_line = padded.columns * padded.channels;
  parallel_for(shape.images * padded.rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t h = begin; h < end; ++h) {
      T* const first = to + h * padded_line;
      const std::int64_t image = h / padded.rows, row = h % padded.rows - shape.padding;
      std::fill_n(first, padded_line, T(0));
      if (row >= 0 && row < shape.in_height)
        std::copy_n(x + (image * shape.in_height + row) * line, line, first + edge);
    }
  });
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
                .weight_depth_stride = 1,
                .weight_result_stride = shape.taps() * shape.in_channels,
                .depth = shape.in_channels,
                .taps = {}};
  if (joins_taps(shape)) {
    // Where there are no edges a row of taps is one piece of memory.
    gather.depth = shape.kernel_width * shape.in_channels;
    for (std::int64_t r = 0; r < shape.kernel_height; ++r)
      gather.taps.push_back({.row = r, .column = 0, .weight = r * gather.depth});
    if (shape.padding == 0) return convolve(gather, x, weight, y, allocator);
    Extent& padded = gather.source;
    padded.rows += 2 * shape.padding;
    padded.columns += 2 * shape.padding;
    const Scratch<T> copy(allocator, shape.images * padded.rows * padded.columns * padded.channels);
    copy_padded(shape, padded, x, copy.data());
    return convolve(gather, copy.data(), weight, y, allocator);
  }
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
void conv_direct_grad_input(const ConvShape& shape, const T* grad, const T* weight, T* grad_x, bool add,
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
                          .add = add,
                          .weight_depth_stride = shape.taps() * shape.in_channels,
                          .weight_result_stride = 1,
                          .depth = shape.out_channels,
                          .taps = taps_of_residue(shape, row, column)};
      convolve(gather, grad, weight, grad_x, allocator);
    }
  }
}

template void conv_direct(const ConvShape&, const float*, const float*, float*, Allocator&);
template void conv_direct(const ConvShape&, const double*, const double*, double*, Allocator&);
template void conv_direct_grad_input(const ConvShape&, const float*, const float*, float*, bool, Allocator&);
template void conv_direct_grad_input(const ConvShape&, const double*, const double*, double*, bool,
                                     Allocator&);

}  // namespace lamina::cpu
