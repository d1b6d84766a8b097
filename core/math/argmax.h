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

}  // namespace lamina::math
