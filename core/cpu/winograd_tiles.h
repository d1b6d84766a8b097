// What the Winograd kernels share: the tiles of an image, moving them between images and the products'
// layout, and the products' micro-kernel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/rounding.h"
#include "core/cpu/micro_kernel.h"
#include "core/cpu/winograd_strided.h"
#include "core/cpu/winograd_transforms.h"

namespace lamina::cpu::winograd {

// Of both sides together.
template <typename Algorithm>
inline constexpr int all_points = Algorithm::points* Algorithm::points;
template <typename Algorithm>
inline constexpr int all_kernels = Algorithm::kernels* Algorithm::kernels;

template <typename Algorithm>
constexpr int kernel_of(int point) {
  return Algorithm::kernel_of(point / Algorithm::points) * Algorithm::kernels +
         Algorithm::kernel_of(point % Algorithm::points);
}

// Whether no point before it has the same transformed weights.
template <typename Algorithm>
constexpr bool is_first_of_kernel(int point) {
  return point / Algorithm::points < Algorithm::kernels && point % Algorithm::points < Algorithm::kernels;
}

struct Image {
  std::int64_t rows = 0, columns = 0, channels = 0;
};

// Images cut into tiles, the last row and column of which may reach over the edge.
class TileGrid {
 public:
  TileGrid(std::int64_t images, const Image& image, int tile)
      : rows_(ceil_div(image.rows, tile)),
        columns_(ceil_div(image.columns, tile)),
        tiles_(images * rows_ * columns_) {}

  struct Place {
    std::int64_t image, row, column;  // of its first pixel
  };
  // `step`: pixels from a tile to the next, of these images or of those that they are computed from.
  Place at(std::int64_t index, int step) const {
    return {index / columns_ / rows_, index / columns_ % rows_ * step, index % columns_ * step};
  }
  std::int64_t tiles() const { return tiles_; }

 private:
  std::int64_t rows_, columns_, tiles_;
};

// Where the pixels of a tile's square of side × side lie, `outside` standing for those beyond the image's
// edges. With few channels finding them takes as long as reading them: a register of addresses at a time.
template <typename T, int side>
class Pixels {
 public:
  Pixels(const Image& image, T* images, T* outside, std::int64_t padding)
      : image_(image), images_(address(images)), outside_(address(outside)), padding_(padding) {}

  void locate(const TileGrid::Place& place) {
    const std::int64_t row = place.row - padding_, column = place.column - padding_;
    const auto pixel = image_.channels * static_cast<std::int64_t>(sizeof(T));
    Addresses inside[registers], offset[registers];  // masks; from the first pixel of a row
    for (int v = 0; v < registers; ++v) {
      const Addresses s = load(numbers + v * lanes<Address>);
      inside[v] = (column + s >= 0) & (column + s < image_.columns);
      offset[v] = s * pixel;
    }
    Address first = images_ + ((place.image * image_.rows + row) * image_.columns + column) * pixel;
#pragma GCC unroll 9
    for (int r = 0; r < side; ++r, first += image_.columns * pixel) {
      const Address row_inside = row + r >= 0 && row + r < image_.rows ? -1 : 0;
      for (int v = 0; v < registers; ++v) {
        const Addresses at = ((first + offset[v] - outside_) & inside[v] & row_inside) + outside_;
        store<Address>(at, reinterpret_cast<Address*>(at_[r] + v * lanes<Address>));
      }
    }
  }
  T* at(int r, int s) const { return at_[r][s]; }

 private:
  using Address = std::int64_t;
  using Addresses = Vector<Address>;
  static_assert(sizeof(T*) == sizeof(Address));
  static Address address(T* pointer) { return reinterpret_cast<Address>(pointer); }

  static constexpr int registers = static_cast<int>(ceil_div(side, lanes<Address>));
  static constexpr Address numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

  Image image_;
  Address images_, outside_;
  std::int64_t padding_;
  T* at_[side][registers * lanes<Address>];
};

struct TileRange {
  std::int64_t begin = 0, end = 0;
};

// The pixels of one tile after another, and of the next one, for the caller to fetch meanwhile: its rows lie
// too far apart for the hardware to foresee.
template <typename T, int side>
class TileWalk {
 public:
  TileWalk(const TileGrid& grid, int step, std::int64_t first, const Pixels<T, side>& pixels)
      : grid_(grid), step_(step), pixels_{pixels, pixels} {
    pixels_[first % 2].locate(grid.at(first, step));
  }

  struct Tiles {
    const Pixels<T, side>&here, &next;
  };
  // Of the first tile, then of the one after it, and so on. The grid's last one is its own next.
  Tiles at(std::int64_t index) {
    Pixels<T, side>& next = pixels_[(index + 1) % 2];
    next.locate(grid_.at(std::min(index + 1, grid_.tiles() - 1), step_));
    return {pixels_[index % 2], next};
  }

 private:
  const TileGrid& grid_;
  int step_;
  Pixels<T, side> pixels_[2];
};

// to[t · channels + point · plane + c] = (M d Mᵀ)[point] for the given channels of the tiles, t counted from
// the first.
template <template <typename> typename M, typename T, int side>
void transform_tiles(const TileGrid& grid, int step, TileRange tiles, const Pixels<const T, side>& pixels,
                     std::int64_t first, std::int64_t channels, T* to, std::int64_t plane) {
  TileWalk<const T, side> walk(grid, step, tiles.begin, pixels);
  for (std::int64_t t = tiles.begin; t < tiles.end; ++t, to += channels) {
    const auto [here, next] = walk.at(t);
    for (std::int64_t c = 0; c < channels; c += lanes<T>) {
      T* column = to + c;
      transform<M, T>(
          [&here = here, &next = next, c, first](int r, int s) {
            __builtin_prefetch(next.at(r, s) + first + c);
            return load(here.at(r, s) + first + c);
          },
          [column, plane](int r, int s, Vector<T> value) {
            store<T>(value, column + (r * M<T>::to + s) * plane);
          });
    }
  }
}

// Elements between the matrices of two points: a line more than the matrix, for planes a power of two apart
// would share few sets of the caches.
template <typename T>
constexpr std::int64_t plane_stride(std::int64_t elements) {
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  return round_up(elements, line) + line;
}

template <typename T>
struct Product {
  const T* rows = nullptr;
  std::int64_t row_stride = 0, row_depth_stride = 0;
  const T* panel = nullptr;
  std::int64_t panel_depth_stride = 0;
  std::int64_t depth = 0;
};

// out[i][0 … Tile::width) (+)= Σ_d rows[i · row_stride + d · row_depth_stride] · panel[d][0 … Tile::width)
template <typename Tile, int rows, typename T = typename Tile::Element>
inline void multiply_tile(const Product<T>& p, bool add, T* out, std::int64_t out_stride) {
  const auto row_of_out = [=](int i) { return out + i * out_stride; };
  typename Tile::template Sums<rows> sums(add, row_of_out);
  const T* x[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) x[i] = p.rows + i * p.row_stride;
  const T* panel = p.panel;
  for (std::int64_t d = 0; d < p.depth; ++d, panel += p.panel_depth_stride)
    sums.add_product([&](int i) { return x[i][d * p.row_depth_stride]; }, panel);
  sums.store_to(row_of_out);
}

}  // namespace lamina::cpu::winograd
