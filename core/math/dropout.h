// The masks of dropout, for host and device.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/math/philox.h"

namespace lamina::math {

struct DropoutMask {
  static constexpr std::int64_t block = 4;  // elements that one call of Philox serves
  static constexpr std::uint32_t stream =
      5;  // Stream::dropout (core/random.h), so as not to draw what others do
  std::uint64_t seed;
  std::uint32_t draw;
  double keep;  // probability

  // Elements [first, first + block) of the mask, up to `end`: 1 / keep or 0. first is a multiple of `block`.
  template <typename T>
  LAMINA_HD void fill(std::int64_t first, std::int64_t end, T* mask) const {
    const auto number = static_cast<std::uint64_t>(first / block);
    const PhiloxBlock words = philox(
        {{static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(number >> 32), draw, stream}}, seed);
    for (std::int64_t k = 0; k < block && first + k < end; ++k) {
      const bool kept = words.word[k] < keep * 4294967296.0;
      mask[first + k] = static_cast<T>(kept ? static_cast<float>(1 / keep) : 0.0f);
    }
  }
};

}  // namespace lamina::math
