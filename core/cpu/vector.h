// A vector register of T and its unaligned loads and stores, in the compilers' common vector extension:
// + and * work element by element, and scalar * vector broadcasts the scalar.
#pragma once

#include <cstdint>
#include <cstring>

namespace lamina::cpu {

#ifdef __AVX__
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
};
template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
inline constexpr std::int64_t lanes = vector_bytes / static_cast<std::int64_t>(sizeof(T));

template <typename T>
inline Vector<T> load(const T* from) {
  Vector<T> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
inline void store(const Vector<T>& value, T* to) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace lamina::cpu
