// Division and multiples of whole numbers, rounded up. n ≥ 0, step > 0.
#pragma once

#include <type_traits>

#include "core/base/host_device.h"

namespace lamina {

template <typename Integer>
LAMINA_HD constexpr Integer ceil_div(Integer n, std::type_identity_t<Integer> step) {
  return (n + step - 1) / step;
}

// The smallest multiple of `step` that is at least n.
template <typename Integer>
LAMINA_HD constexpr Integer round_up(Integer n, std::type_identity_t<Integer> step) {
  return ceil_div(n, step) * step;
}

}  // namespace lamina
