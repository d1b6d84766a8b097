// Element types. f32 everywhere; f64 on the CPU for gradient checks; bf16 on CUDA; u8 images; i32 labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/base/error.h"
#include "core/bf16.h"

namespace lamina {

enum class DType : std::uint8_t { f32, f64, bf16, u8, i32 };

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::u8:
      return "u8";
    case DType::i32:
      return "i32";
  }
  return "?";
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16;
}

template <typename T>
inline constexpr DType dtype_of = [] {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, std::uint8_t> ||
                    std::is_same_v<T, std::int32_t> || std::is_same_v<T, Bf16>,
                "no tensor element type corresponds to this C++ type");
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, Bf16>) return DType::bf16;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
  return DType::i32;
}();

// visit_floating(dtype, "conv2d", [&](auto zero) { using T = decltype(zero); … }) for the CPU's f32 and f64.
template <typename F>
decltype(auto) visit_floating(DType dtype, std::string_view operation, F&& f) {
  if (dtype == DType::f32) return std::forward<F>(f)(float{});
  if (dtype == DType::f64) return std::forward<F>(f)(double{});
  fail("{}: dtype {} is not supported on the CPU; expected f32 or f64", operation, name_of(dtype));
}

// f(an unsigned integer as large as an element), where bits are moved whatever they mean.
template <typename F>
void visit_word(DType dtype, const F& f) {
  switch (size_of(dtype)) {
    case 1:
      return f(std::uint8_t{});
    case 2:
      return f(std::uint16_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

}  // namespace lamina
