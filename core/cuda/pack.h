// Neighbours in memory that a thread loads and stores at once: a GPU moves 16 bytes a thread as fast as 2.
#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "core/base/host_device.h"
#include "core/bf16.h"
#include "core/cuda/alignment.h"

namespace lamina::cuda {

template <typename T, int width>
struct alignas(sizeof(T) * width < 16 ? sizeof(T) * width : 16) Pack {
  T value[width];
};

template <int width, typename T>
LAMINA_HD Pack<T, width> load(const T* from, std::int64_t pack) {
  return reinterpret_cast<const Pack<T, width>*>(from)[pack];
}

template <int width, typename T>
LAMINA_HD void store(const Pack<T, width>& values, T* to, std::int64_t pack) {
  reinterpret_cast<Pack<T, width>*>(to)[pack] = values;
}

// Two bf16 in a word, the first in its lower half.
template <int width>
struct Words {
  std::uint32_t value[width / 2];
};

template <typename T, int width>
LAMINA_HD Pack<float, width> widened(const Pack<T, width>& values) {
  Pack<float, width> wide;
  if constexpr (std::is_same_v<T, Bf16> && width % 2 == 0) {
    const auto words = std::bit_cast<Words<width>>(values);
    for (int k = 0; k < width; k += 2) {
      wide.value[k] = std::bit_cast<float>(words.value[k / 2] << 16);
      wide.value[k + 1] = std::bit_cast<float>(words.value[k / 2] & 0xffff0000u);
    }
  } else {
    for (int k = 0; k < width; ++k) wide.value[k] = static_cast<float>(values.value[k]);
  }
  return wide;
}

// As T rounds them, on a GPU two at once.
template <typename T, int width>
LAMINA_HD Pack<T, width> rounded(const Pack<float, width>& values) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  constexpr bool in_pairs = std::is_same_v<T, Bf16> && width % 2 == 0;
#else
  constexpr bool in_pairs = false;
#endif
  if constexpr (in_pairs) {
    Words<width> words;
    for (int k = 0; k < width; k += 2)
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
          : "=r"(words.value[k / 2])
          : "f"(values.value[k + 1]), "f"(values.value[k]));
    return std::bit_cast<Pack<T, width>>(words);
  } else {
    Pack<T, width> narrow;
    for (int k = 0; k < width; ++k) narrow.value[k] = static_cast<T>(values.value[k]);
    return narrow;
  }
}

// f(std::integral_constant<int, width>{}): 16 bytes of T if rows of `columns` elements and all the addresses
// allow it, else single elements.
template <typename T, typename F>
void visit_width(std::int64_t columns, std::initializer_list<const void*> addresses, F&& f) {
  constexpr int widest = 16 / static_cast<int>(sizeof(T));
  if (columns % widest == 0 && common_alignment(addresses, 16) == 16)
    return f(std::integral_constant<int, widest>{});
  f(std::integral_constant<int, 1>{});
}

// f(std::bool_constant<first>{}, std::bool_constant<second>{}).
template <typename F>
void visit_flags(bool first, bool second, F&& f) {
  const auto with = [&](auto known) { second ? f(known, std::true_type{}) : f(known, std::false_type{}); };
  first ? with(std::true_type{}) : with(std::false_type{});
}

}  // namespace lamina::cuda
