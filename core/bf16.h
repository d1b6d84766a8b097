// bfloat16: the upper half of a float. Arithmetic is done in float; only storing rounds.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"

namespace lamina {

struct Bf16 {
  std::uint16_t bits;

  Bf16() = default;
  // To the nearest, ties to even; a NaN stays one (on a GPU 0x7fff), values past the largest become infinite.
  LAMINA_HD explicit Bf16(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
    const auto wide = std::bit_cast<std::uint32_t>(value);
    if (value != value) {
      bits = static_cast<std::uint16_t>((wide >> 16) | 0x40u);  // quiet
    } else {
      bits = static_cast<std::uint16_t>((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16);
    }
#endif
  }
  LAMINA_HD operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};
static_assert(sizeof(Bf16) == 2);

}  // namespace lamina
