// What direct convolutions, forward and grad-input, come down to: a grid of result pixels, each of which
// gathers `depth` values per tap and multiplies them by the tap's matrix of weights,
//   result[n, I(i), J(j), :] = Σ_t (source from [n, i·step + row_t, j·step + column_t, 0] on) · W_t;
// its weights in panels, and where its pixels lie.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/base/rounding.h"
#include "core/cpu/transpose.h"
#include "core/parallel_for.h"

namespace lamina::cpu::direct {

struct Range {
  std::int64_t begin = 0, end = 0;
};

struct Extent {
  std::int64_t rows = 0, columns = 0, channels = 0;
};

// Its values are its source pixel's channels, or those of some pixels beside it, too.
struct Tap {
  std::int64_t row = 0, column = 0;  // of its source pixel, relative to (i, j) · source_step
  std::int64_t weight = 0;           // index of its first weight
};

struct Gather {
  std::int64_t images = 0;
  Extent source, result;
  std::int64_t rows = 0, columns = 0;  // of the grid of result pixels (i, j)
  std::int64_t source_step = 1;
  std::int64_t result_step = 1;  // I(i) = i · result_step + result_row
  std::int64_t result_row = 0, result_column = 0;
  bool add = false;  // to what the results hold
  std::int64_t weight_depth_stride = 0,
               weight_result_stride = 0;  // between a tap's values, and result channels
  std::int64_t depth = 0;                 // values that a tap multiplies
  std::vector<Tap> taps;
};

// A piece of a panel of weights: `count` values of a tap, from `first` on.
struct Piece {
  std::int64_t panel = 0, tap = 0, first = 0, count = 0;
};

// to[count][Tile::width]; result channels beyond the last have zero weights.
template <typename Tile, typename T = typename Tile::Element>
void pack_piece(const Gather& gather, const Piece& piece, const T* weight, T* to) {
  const std::int64_t k = piece.panel * Tile::width;
  const std::int64_t width = std::min(Tile::width, gather.result.channels - k);
  const T* from = weight + gather.taps[static_cast<std::size_t>(piece.tap)].weight +
                  k * gather.weight_result_stride + piece.first * gather.weight_depth_stride;
  if (width < Tile::width) std::fill_n(to, piece.count * Tile::width, T(0));
  if (gather.weight_result_stride != 1)
    return transpose(from, gather.weight_result_stride, width, piece.count, to, Tile::width);
  for (std::int64_t i = 0; i < piece.count; ++i)
    std::copy_n(from + i * gather.weight_depth_stride, width, to + i * Tile::width);
}

// packed[panel][tap][depth][Tile::width] of these panels. Weights are read as they lie: result channel by
// result channel, or those of all result channels for some values of a tap. Within a task by its thread
// alone, else by all.
template <typename Tile, typename T = typename Tile::Element>
void pack_weights(const Gather& gather, Range panels, const T* weight, T* packed) {
  const auto taps = static_cast<std::int64_t>(gather.taps.size());
  const bool results_lie_together = gather.weight_result_stride == 1;
  const std::int64_t group = results_lie_together ? panels.end - panels.begin : 1;
  const std::int64_t chunk = results_lie_together ? std::min<std::int64_t>(gather.depth, 16) : gather.depth;
  const std::int64_t chunks = ceil_div(gather.depth, chunk);
  const std::int64_t size = group * chunk * Tile::width;
  const std::int64_t at_once = std::max<std::int64_t>(1, 32768 / size);  // less is not worth waking a thread
  const auto pack = [&](std::int64_t first, std::int64_t tap, std::int64_t from) {
    const std::int64_t count = std::min(chunk, gather.depth - from);
    for (std::int64_t panel = first; panel < first + group; ++panel) {
      T* const to = packed + (((panel - panels.begin) * taps + tap) * gather.depth + from) * Tile::width;
      pack_piece<Tile>(gather, {panel, tap, from, count}, weight, to);
    }
  };
  parallel_for((panels.end - panels.begin) / group * taps * chunks, at_once,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   pack(panels.begin + i / chunks / taps * group, i / chunks % taps, i % chunks * chunk);
               });
}

template <typename Tile>
inline constexpr std::int64_t block_pixels = 8 * Tile::rows;

// Where a block of pixels reads and writes. Places past the last pixel read zeros and write to `unused`.
template <typename Tile, typename T = typename Tile::Element>
struct PixelBlock {
  const T** sources;  // [tap][block_pixels]
  std::array<T*, block_pixels<Tile>> results;
  std::int64_t pixels = 0;
};

// The pixels [j, j + count) of row i, which take the places from `place` on.
struct Run {
  std::int64_t place, image, i, j, count;
};

template <typename Tile, typename T = typename Tile::Element>
void locate_run(const Gather& gather, const Run& run, const T* source, const T* zeros, T* result,
                PixelBlock<Tile>& block) {
  const std::int64_t step = gather.source_step;
  for (std::size_t t = 0; t < gather.taps.size(); ++t) {
    const T** to = block.sources + static_cast<std::int64_t>(t) * block_pixels<Tile> + run.place;
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

template <typename Tile, typename T = typename Tile::Element>
void locate_pixels(const Gather& gather, Range pixels, const T* source, const T* zeros, T* result, T* unused,
                   PixelBlock<Tile>& block) {
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
  for (std::int64_t place = block.pixels; place % Tile::rows != 0; ++place) {
    for (std::size_t t = 0; t < gather.taps.size(); ++t) {
      block.sources[static_cast<std::int64_t>(t) * block_pixels<Tile> + place] = zeros;
    }
    block.results[static_cast<std::size_t>(place)] = unused;
  }
}

}  // namespace lamina::cpu::direct
