// Transposing matrices in memory, a square of vector registers at a time.
#pragma once

#include <cstdint>
#include <utility>

#include "core/cpu/vector.h"

namespace lamina::cpu {

// One step of Eklundh's method: what lies in `low` at an index with the bit `distance` and what lies in
// `high` at one without it change places.
template <int distance, typename V, std::size_t... j>
[[gnu::always_inline]] inline void exchange(V& low, V& high, std::index_sequence<j...>) {
  constexpr int n = sizeof...(j);
  const V first = low;
  low = __builtin_shufflevector(
      first, high, ((j & distance) == 0 ? static_cast<int>(j) : n + static_cast<int>(j) - distance)...);
  high = __builtin_shufflevector(
      first, high, ((j & distance) == 0 ? static_cast<int>(j) + distance : n + static_cast<int>(j))...);
}

template <typename T, int distance>
[[gnu::always_inline]] inline void exchange_all(Vector<T>* rows) {
  if constexpr (distance < lanes<T>) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes<T>; ++i) {
      if ((i & distance) == 0)
        exchange<distance>(rows[i], rows[i + distance], std::make_index_sequence<lanes<T>>());
    }
    exchange_all<T, 2 * distance>(rows);
  }
}

// to[j · to_stride + i] = from[i · from_stride + j] for i < rows, j < columns.
template <typename T>
void transpose(const T* from, std::int64_t from_stride, std::int64_t rows, std::int64_t columns, T* to,
               std::int64_t to_stride) {
  constexpr std::int64_t side = lanes<T>;
  const std::int64_t whole_rows = rows / side * side, whole_columns = columns / side * side;
  for (std::int64_t j = 0; j < whole_columns; j += side) {
    for (std::int64_t i = 0; i < whole_rows; i += side) {
      Vector<T> square[side];
#pragma GCC unroll 16
      for (int k = 0; k < side; ++k) square[k] = load(from + (i + k) * from_stride + j);
      exchange_all<T, 1>(square);
#pragma GCC unroll 16
      for (int k = 0; k < side; ++k) store<T>(square[k], to + (j + k) * to_stride + i);
    }
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j)
      to[j * to_stride + i] = from[i * from_stride + j];
  }
}

}  // namespace lamina::cpu
