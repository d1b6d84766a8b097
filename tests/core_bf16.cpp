// bfloat16 against a definition of its own: the nearest multiple of the spacing at that magnitude, in f64.
#include "core/bf16.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "catch.h"

namespace lamina::tests {
namespace {

Bf16 of_bits(std::uint32_t bits) {
  Bf16 value;
  value.bits = static_cast<std::uint16_t>(bits);
  return value;
}

// 8 significant bits, exponents as in f32: neighbours are 2^(e-7) apart in [2^e, 2^(e+1)), and 2^-133 below
// 2^-126. nearbyint takes ties to even.
double rounded(float value) {
  const int exponent = value == 0 ? -126 : std::max(std::ilogb(value), -126);
  const double spacing = std::ldexp(1.0, exponent - 7);
  const double nearest = std::nearbyint(static_cast<double>(value) / spacing) * spacing;
  return std::abs(nearest) < 0x1p128 ? nearest
                                     : std::copysign(std::numeric_limits<double>::infinity(), value);
}

bool agrees(float value) {
  const auto result = static_cast<double>(static_cast<float>(Bf16(value)));
  return result == rounded(value) && std::signbit(result) == std::signbit(value);
}

}  // namespace

TEST_CASE("every bf16 number is a float and comes back", "[bf16]") {
  int changed = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = of_bits(bits);
    if (std::isnan(value)) continue;
    changed += Bf16(value).bits != bits ? 1 : 0;
  }
  CHECK(changed == 0);
  CHECK(static_cast<float>(of_bits(0x3fc0)) == 1.5f);
  CHECK(static_cast<float>(of_bits(0xc100)) == -8.0f);
}

TEST_CASE("a float becomes the nearest bf16, ties to even", "[bf16]") {
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto low = std::bit_cast<float>(bits << 16);
    if (!std::isfinite(low)) continue;
    const auto half = std::bit_cast<float>((bits << 16) | 0x8000u);  // between this bf16 and the next
    const float beyond = std::bit_cast<float>((bits << 16) | 0x8001u);
    const float before = std::bit_cast<float>((bits << 16) | 0x7fffu);
    for (const float value : {low, before, half, beyond, std::bit_cast<float>((bits << 16) | 0xffffu)})
      wrong += agrees(value) ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(Bf16(1.0f + 0x1p-8f).bits == 0x3f80);      // a tie: down to the even 1
  CHECK(Bf16(1.0f + 3 * 0x1p-8f).bits == 0x3f82);  // a tie: up to the even 1 + 2^-6
}

TEST_CASE("bf16 at the ends of its range: infinity, NaN, zero", "[bf16]") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(Bf16(infinity).bits == 0x7f80);
  CHECK(Bf16(-infinity).bits == 0xff80);
  CHECK(Bf16(std::numeric_limits<float>::max()).bits == 0x7f80);  // nearer to 2^128 than to the largest bf16
  CHECK(Bf16(0x1.fep127f).bits == 0x7f7f);
  CHECK(Bf16(-0.0f).bits == 0x8000);
  CHECK(Bf16(0x1p-134f).bits == 0);  // half the smallest: a tie, down to zero
  CHECK(Bf16(0x1.1p-134f).bits == 1);
  // Also those whose payload lies in the lower half alone, of which the upper half is infinity's.
  for (const std::uint32_t bits :
       {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xff800001u, 0x7fffffffu, 0x7fff8000u})
    CHECK(std::isnan(static_cast<float>(Bf16(std::bit_cast<float>(bits)))));
}

}  // namespace lamina::tests
