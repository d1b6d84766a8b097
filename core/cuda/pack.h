// Neighbours in memory that a thread loads and stores at once: a GPU moves 16 bytes a thread as fast as 2.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "core/base/host_device.h"
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

// f(std::integral_constant<int, width>{}): 16 bytes of T if rows of `columns` elements and all the addresses
// allow it, else single elements.
template <typename T, typename F>
void visit_width(std::int64_t columns, std::initializer_list<const void*> addresses, F&& f) {
  constexpr int widest = 16 / static_cast<int>(sizeof(T));
  if (columns % widest == 0 && common_alignment(addresses, 16) == 16)
    return f(std::integral_constant<int, widest>{});
  f(std::integral_constant<int, 1>{});
}

}  // namespace lamina::cuda
