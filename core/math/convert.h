// From one element type to another, for host and device.
#pragma once

#include <limits>
#include <type_traits>

#include "core/base/host_device.h"
#include "core/bf16.h"

namespace lamina::math {

// Integers take the whole part, the nearest end of their range beyond it, and 0 for NaN.
template <typename To, typename From>
LAMINA_HD To convert(From x) {
  if constexpr (std::is_same_v<From, Bf16> && !std::is_same_v<To, Bf16>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (std::is_integral_v<To> && !std::is_same_v<To, From>) {
    const auto value = static_cast<double>(x);
    constexpr auto low = static_cast<double>(std::numeric_limits<To>::min());
    constexpr auto high = static_cast<double>(std::numeric_limits<To>::max());
    if (value != value) return To{0};
    return static_cast<To>(value < low ? low : (value > high ? high : value));
  } else if constexpr (std::is_same_v<To, Bf16> && !std::is_same_v<From, Bf16>) {
    return Bf16(static_cast<float>(x));
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace lamina::math
