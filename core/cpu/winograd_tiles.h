// What the Winograd kernels share: the tiles of an image, moving them between images and the products'
// layout, and the products' micro-kernel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/rounding.h"
#include "core/cpu/micro_kernel.h"
#include "core/cpu/winograd_transforms.h"

namespace lamina::cpu::winograd {

struct Image {
  std::int64_t rows = 0, columns = 0, channels = 0;
};

// Images cut into tiles, the last row and column of which may reach over the edge.
class TileGrid {
 public:
  TileGrid(std::int64_t images, const Image& image)
      : rows_(ceil_div(image.rows, tile)),
        columns_(ceil_div(image.columns, tile)),
        tiles_(images * rows_ * columns_) {}

  struct Place {
    std::int64_t image, row, column;  // of its first pixel
  };
  Place at(std::int64_t index) const {
    return {index / columns_ / rows_, index / columns_ % rows_ * tile, index % columns_ * tile};
  }
  std::int64_t tiles() const { return tiles_; }

 private:
  std::int64_t rows_, columns_, tiles_;
};

// Where the pixels of a square of side × side lie, `outside` standing for those beyond the image's edges.
template <typename T, int side>
class Pixels {
 public:
  Pixels(const Image& image, T* images, T* outside, const TileGrid::Place& place, std::int64_t padding) {
    for (int r = 0; r < side; ++r) {
      const std::int64_t row = place.row - padding + r;
      const bool row_inside = row >= 0 && row < image.rows;
      for (int s = 0; s < side; ++s) {
        const std::int64_t column = place.column - padding + s;
        const bool inside = row_inside && column >= 0 && column < image.columns;
        at_[r][s] =
            inside ? images + ((place.image * image.rows + row) * image.columns + column) * image.channels
                   : outside;
      }
    }
  }
  T* at(int r, int s) const { return at_[r][s]; }

 private:
  T* at_[side][side];
};

// to[point · plane + c] = (M d Mᵀ)[point] for the channels of one tile.
template <template <typename> typename M, typename T, int side>
void transform_tile(const Pixels<const T, side>& pixels, std::int64_t first, std::int64_t channels, T* to,
                    std::int64_t plane) {
  for (std::int64_t c = 0; c < channels; c += lanes<T>) {
    T* column = to + c;
    transform<M, T>([&pixels, c, first](int r, int s) { return load(pixels.at(r, s) + first + c); },
                    [column, plane](int r, int s, Vector<T> value) {
                      store<T>(value, column + (r * patch + s) * plane);
                    });
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

// out[i][0 … panel_width) (+)= Σ_d rows[i · row_stride + d · row_depth_stride] · panel[d][0 … panel_width)
template <int rows, typename T>
inline void multiply_tile(const Product<T>& p, bool add, T* out, std::int64_t out_stride) {
  const auto row_of_out = [=](int i) { return out + i * out_stride; };
  RegisterTile<T, rows> sums(add, row_of_out);
  const T* x[rows];
#pragma GCC unroll 6
  for (int i = 0; i < rows; ++i) x[i] = p.rows + i * p.row_stride;
  const T* panel = p.panel;
  for (std::int64_t d = 0; d < p.depth; ++d, panel += p.panel_depth_stride)
    sums.add_product([&](int i) { return x[i][d * p.row_depth_stride]; }, panel);
  sums.store_to(row_of_out);
}

}  // namespace lamina::cpu::winograd
