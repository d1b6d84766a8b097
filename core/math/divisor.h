// Division by a number that stays the same, as a multiplication: a GPU takes some seventy instructions for a
// division of 64 bits, and about ten for this (Granlund & Montgomery 1994, theorem 4.2). For host and device.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"

namespace lamina::math {

// n / divisor and n % divisor are those of its value, for n of 0 to 2^63 - 1. By 0, nothing may be divided.
class Divisor {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): extents become divisors, and are numbers still
  Divisor(std::int64_t value = 1) : value_(value) {
    const auto positive = static_cast<std::uint64_t>(value < 1 ? 1 : value);
    shift_ = static_cast<int>(std::bit_width(positive - 1));  // the logarithm, rounded up
    multiplier_ = static_cast<std::uint64_t>((Wide{1} << (63 + shift_)) / positive) + 1;
  }

  LAMINA_HD operator std::int64_t() const { return value_; }

  LAMINA_HD friend std::int64_t operator/(std::int64_t n, const Divisor& divisor) {
    return static_cast<std::int64_t>(upper_half(static_cast<std::uint64_t>(n) << 1, divisor.multiplier_) >>
                                     divisor.shift_);
  }
  LAMINA_HD friend std::int64_t operator%(std::int64_t n, const Divisor& divisor) {
    return n - n / divisor * divisor.value_;
  }

 private:
  __extension__ typedef unsigned __int128 Wide;  // NOLINT(modernize-use-using): nvcc knows no other way

  LAMINA_HD static std::uint64_t upper_half(std::uint64_t a, std::uint64_t b) {
#ifdef __CUDA_ARCH__
    return __umul64hi(a, b);
#else
    return static_cast<std::uint64_t>(Wide{a} * b >> 64);
#endif
  }

  std::int64_t value_;
  std::uint64_t multiplier_;
  int shift_;
};

}  // namespace lamina::math
