// What all convolutions come down to: a tile of sums that stays in registers while factors and rows of a
// panel pass by. The file that includes this needs -ffp-contract=fast, or multiply and add stay two
// instructions.
//
// 6 × 2 vectors leave, of 16 registers, just enough for the operands, and 12 independent sums hide the
// latency of a fused multiply-add.
#pragma once

#include <cstdint>

#include "core/cpu/vector.h"

namespace lamina::cpu {

inline constexpr int tile_rows = 6;
template <typename T>
inline constexpr std::int64_t panel_width = 2 * lanes<T>;

// rows × panel_width sums; at most six rows.
template <typename T, int rows = tile_rows>
class RegisterTile {
 public:
  // Starts with zeros, or with what lies at out(0), …, out(rows - 1).
  template <typename Out>
  RegisterTile(bool add, const Out& out) {
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i) {
      sum_[i][0] = add ? load(out(i)) : Vector<T>{};
      sum_[i][1] = add ? load(out(i) + lanes<T>) : Vector<T>{};
    }
  }

  // Row i += factor(i) · panel[0 … panel_width)
  template <typename Factor>
  void add_product(const Factor& factor, const T* panel) {
    const Vector<T> panel_0 = load(panel), panel_1 = load(panel + lanes<T>);
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i) {
      sum_[i][0] += factor(i) * panel_0;
      sum_[i][1] += factor(i) * panel_1;
    }
  }

  template <typename Out>
  void store_to(const Out& out) const {
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i) {
      store<T>(sum_[i][0], out(i));
      store<T>(sum_[i][1], out(i) + lanes<T>);
    }
  }

 private:
  Vector<T> sum_[rows][2];
};

}  // namespace lamina::cpu
