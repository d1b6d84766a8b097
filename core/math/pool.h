// Which pixels a pooling window has, and which of them wins, for host and device.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/math/divisor.h"

namespace lamina::math {

// Whether x takes the place of the best so far: the first of equals stays, and the first NaN.
template <typename T>
LAMINA_HD bool larger(T x, T best) {
  return !(x <= best) && best == best;
}

struct Range {
  std::int64_t begin, end;
};

// Windows along one axis: number o covers [o stride - padding, o stride - padding + size) of `pixels`.
struct Windows {
  std::int64_t size;
  Divisor stride;
  std::int64_t padding;
  Divisor pixels, count;

  // The pixels of window o; at least one, as padding is at most half the size.
  LAMINA_HD Range pixels_of(std::int64_t o) const {
    const std::int64_t first = o * stride - padding, end = first + size;
    return {first < 0 ? 0 : first, end < pixels ? end : std::int64_t{pixels}};
  }

  // The windows that a pixel lies in; none where the stride is larger than the size.
  LAMINA_HD Range windows_of(std::int64_t pixel) const {
    const std::int64_t at = pixel + padding, end = at / stride + 1;
    return {at < size ? 0 : (at - size) / stride + 1, end < count ? end : std::int64_t{count}};
  }
};

}  // namespace lamina::math
