// Where the largest element is, for host and device.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace lamina::math {

// The first of the largest of a row; a NaN is larger than all.
template <typename T>
LAMINA_HD std::int64_t argmax(const T* row, std::int64_t columns) {
  std::int64_t at = 0;
  auto largest = +row[0];  // Bf16 as float
  for (std::int64_t c = 1; c < columns; ++c) {
    const auto value = +row[c];
    if (!(value <= largest) && largest == largest) at = c, largest = value;
  }
  return at;
}

// Whether x[a] comes before x[b] among the largest: NaNs first, of equals the first.
template <typename T>
LAMINA_HD bool comes_before(T x_a, std::int64_t a, T x_b, std::int64_t b) {
  const bool nan_a = x_a != x_a, nan_b = x_b != x_b;
  if (nan_a || nan_b) return nan_a && (!nan_b || a < b);
  return x_a > x_b || (x_a == x_b && a < b);
}

// The first among what it was offered, in any order.
template <typename T>
struct First {
  LAMINA_HD void offer(T x, std::int64_t place) {
    if (place >= 0 && (at < 0 || comes_before(x, place, value, at))) value = x, at = place;
  }

  T value = 0;
  std::int64_t at = -1;  // none yet
};

}  // namespace lamina::math
