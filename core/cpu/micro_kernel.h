// What all convolutions come down to: a tile of sums that stays in registers while factors and rows of a
// panel pass by. The file that includes this needs -ffp-contract=fast, or multiply and add stay two
// instructions.
#pragma once

#include <cstdint>

#include "core/base/rounding.h"
#include "core/cpu/stream.h"
#include "core/cpu/vector.h"

namespace lamina::cpu {

// rows × vectors registers of sums. T is float or double.
//
// Twelve sums that do not wait for one another hide the latency of a multiply-add, and 6 × 2 leave, of 16
// registers, just enough for the operands. Of 32 registers 12 × 2 leave as much, which halves the loads.
template <typename T, int vectors_>
class RegisterTile {
 public:
  using Element = T;
  static constexpr int vectors = vectors_;
  static constexpr int rows = vector_registers == 32 ? 12 : 6;
  // For rows that are channels, whose number is a multiple of these.
  static constexpr int channel_rows = vector_registers == 32 ? 16 / vectors : rows;
  static constexpr std::int64_t width = vectors * lanes<T>;  // of a panel: the columns of the tile

  // The sums of the first `used` rows.
  template <int used = rows>
  class Sums {
   public:
    // Starts with zeros, or with what lies at out(0), …, out(used - 1).
    template <typename Out>
    Sums(bool add, const Out& out) {
#pragma GCC unroll 16
      for (int i = 0; i < used; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) sum_[i][v] = add ? load(out(i) + v * lanes<T>) : Vector<T>{};
      }
    }

    // Row i += factor(i) · panel[0 … width)
    template <typename Factor>
    void add_product(const Factor& factor, const T* panel) {
      Vector<T> columns[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) columns[v] = load(panel + v * lanes<T>);
#pragma GCC unroll 16
      for (int i = 0; i < used; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) sum_[i][v] += factor(i) * columns[v];
      }
    }

    template <typename Out>
    void store_to(const Out& out) const {
#pragma GCC unroll 16
      for (int i = 0; i < used; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) store<T>(sum_[i][v], out(i) + v * lanes<T>);
      }
    }

    // The same past the caches (stream.h).
    template <typename Out>
    void stream_to(const Out& out) const {
#pragma GCC unroll 16
      for (int i = 0; i < used; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) stream<T>(sum_[i][v], out(i) + v * lanes<T>);
      }
    }

   private:
    Vector<T> sum_[used][vectors];
  };
};

// body(RegisterTile{}) with the tile for panels of a matrix with so many columns: of two vectors, or of one
// if two would leave half of the last panel unused. With 16 registers panels of one vector bring nothing.
template <typename T, typename Body>
auto with_tile_for(std::int64_t columns, const Body& body) {
  if constexpr (vector_registers == 32) {
    if (ceil_div(columns, lanes<T>) % 2 == 1) return body(RegisterTile<T, 1>{});
  }
  return body(RegisterTile<T, 2>{});
}

}  // namespace lamina::cpu
