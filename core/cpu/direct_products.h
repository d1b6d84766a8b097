// The products of direct convolutions: a block of pixels by panels of weights, a slice of the depth at a
// time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/cache_size.h"
#include "core/base/rounding.h"
#include "core/cpu/gather.h"
#include "core/cpu/micro_kernel.h"

namespace lamina::cpu::direct {

// What one pass over a block of pixels covers of the sum over taps and their values.
struct DepthBlock {
  Range taps, values;
};

// Cut so that a panel's slice of them takes up to three quarters of the L1 cache.
template <typename Tile, typename T = typename Tile::Element>
std::vector<DepthBlock> depth_blocks(std::int64_t taps, std::int64_t depth) {
  constexpr auto row = Tile::width * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t at_once = std::max<std::int64_t>(1, l1_cache_bytes() * 3 / 4 / row);
  const std::int64_t taps_at_once = std::max<std::int64_t>(1, at_once / depth);
  const std::int64_t tap_blocks = ceil_div(taps, taps_at_once);
  const std::int64_t value_blocks = ceil_div(depth, at_once);
  std::vector<DepthBlock> blocks;
  for (std::int64_t t = 0; t < tap_blocks; ++t) {
    for (std::int64_t v = 0; v < value_blocks; ++v) {
      blocks.push_back({.taps = {t * taps / tap_blocks, (t + 1) * taps / tap_blocks},
                        .values = {v * depth / value_blocks, (v + 1) * depth / value_blocks}});
    }
  }
  return blocks;
}

// Memory that will be read next: lines of the cache to fetch while others are computed with.
template <typename T>
struct NextLines {
  static constexpr std::int64_t size = 64 / static_cast<std::int64_t>(sizeof(T));
  const T* first = nullptr;
  std::int64_t count = 0;

  NextLines take(std::int64_t most) {
    const NextLines taken{.first = first, .count = std::min(most, count)};
    first += taken.count * size;
    count -= taken.count;
    return taken;
  }
};

// What becomes of a tile's sums: added to what lies there, stored, or stored past the caches.
enum class Results { added, stored, streamed };

// results[0 … rows)[0 … width) (+)= Σ source · weight over the depth block. Fetches a line with each of the
// first products.
template <typename Tile, typename T = typename Tile::Element>
void multiply_tile(const T* const* sources, const DepthBlock& depth, Results how, const T* weight,
                   T* const* results, NextLines<T> next) {
  const auto result = [=](int i) { return results[i]; };
  typename Tile::template Sums<> sums(how == Results::added, result);
  const std::int64_t values = depth.values.end - depth.values.begin;
  for (std::int64_t t = depth.taps.begin; t < depth.taps.end; ++t) {
    const T* x[Tile::rows];
#pragma GCC unroll 16
    for (int i = 0; i < Tile::rows; ++i) x[i] = sources[t * block_pixels<Tile> + i] + depth.values.begin;
    const auto add_product = [&](std::int64_t v) {
      sums.add_product([&](int i) { return x[i][v]; }, weight + v * Tile::width);
    };
    const std::int64_t fetching = std::min(next.count, values);
    for (std::int64_t v = 0; v < fetching; ++v) {
      __builtin_prefetch(next.first + v * next.size);
      add_product(v);
    }
    for (std::int64_t v = fetching; v < values; ++v) add_product(v);
    weight += values * Tile::width;
    next.take(fetching);
  }
  if (how == Results::streamed)
    sums.stream_to(result);
  else
    sums.store_to(result);
}

// The same where the last panel has fewer channels: through a tile of full width.
template <typename Tile, typename T = typename Tile::Element>
void multiply_ragged_tile(const T* const* sources, const DepthBlock& depth, Results how, const T* weight,
                          T* const* results, std::int64_t width) {
  T tile[Tile::rows][Tile::width] = {};
  T* tile_results[Tile::rows];
  for (int i = 0; i < Tile::rows; ++i) {
    tile_results[i] = tile[i];
    if (how == Results::added) std::copy_n(results[i], width, tile[i]);
  }
  multiply_tile<Tile>(sources, depth, how == Results::streamed ? Results::stored : how, weight, tile_results,
                      {});
  for (int i = 0; i < Tile::rows; ++i) std::copy_n(tile[i], width, results[i]);
}

// Results that will be added to lie in memory, each pixel's far from the next one's. Into the L2 cache:
// pixels of many channels share few sets of the L1 cache.
template <typename Tile, typename T = typename Tile::Element>
void fetch_results(const PixelBlock<Tile>& block, std::int64_t place, std::int64_t channel) {
  for (int i = 0; i < Tile::rows; ++i) {
    const T* const result = block.results[static_cast<std::size_t>(place + i)] + channel;
    for (std::int64_t k = 0; k < Tile::width; k += NextLines<T>::size) __builtin_prefetch(result + k, 0, 2);
  }
}

template <typename Tile, typename T = typename Tile::Element>
void multiply_block(const Gather& gather, const std::vector<DepthBlock>& depths, Range panels,
                    const T* packed, const PixelBlock<Tile>& block, bool streamed, NextLines<T> next) {
  const std::int64_t taps = std::ssize(gather.taps);
  const std::int64_t tiles =
      std::ssize(depths) * (panels.end - panels.begin) * ceil_div(block.pixels, Tile::rows);
  const std::int64_t lines = ceil_div(next.count, tiles);
  for (std::size_t d = 0; d < depths.size(); ++d) {
    const DepthBlock& depth = depths[d];
    const Results how = gather.add || d > 0 ? Results::added : streamed ? Results::streamed : Results::stored;
    const std::int64_t first = depth.taps.begin * gather.depth + depth.values.begin;
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
      const std::int64_t k = panel * Tile::width;
      const T* weight = packed + ((panel - panels.begin) * taps * gather.depth + first) * Tile::width;
      const std::int64_t width = gather.result.channels - k;
      for (std::int64_t place = 0; place < block.pixels; place += Tile::rows) {
        T* results[Tile::rows];
        for (int i = 0; i < Tile::rows; ++i)
          results[i] = block.results[static_cast<std::size_t>(place + i)] + k;
        if (gather.add && d == 0) {  // later slices find them in the caches
          if (place + Tile::rows < block.pixels)
            fetch_results<Tile>(block, place + Tile::rows, k);
          else if (panel + 1 < panels.end)
            fetch_results<Tile>(block, 0, k + Tile::width);
        }
        if (width >= Tile::width) {
          multiply_tile<Tile>(block.sources + place, depth, how, weight, results, next.take(lines));
        } else {
          multiply_ragged_tile<Tile>(block.sources + place, depth, how, weight, results, width);
        }
      }
    }
  }
}

}  // namespace lamina::cpu::direct
