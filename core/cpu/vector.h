// A vector register of T and its unaligned loads and stores, in the compilers' common vector extension:
// + and * work element by element, and scalar * vector broadcasts the scalar.
#pragma once

#include <cstdint>

namespace lamina::cpu {

// Files of one program may be compiled for different instruction sets. What depends on the width has it in
// its name, or the linker would take one file's functions for another's.
#if defined(__AVX512F__)
#define LAMINA_VECTORS bytes64
#elif defined(__AVX__)
#define LAMINA_VECTORS bytes32
#else
#define LAMINA_VECTORS bytes16
#endif
inline namespace LAMINA_VECTORS {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64, vector_registers = 32;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32, vector_registers = 16;
#else
inline constexpr int vector_bytes = 16, vector_registers = 16;
#endif

template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
  typedef T unaligned __attribute__((vector_size(vector_bytes), aligned(alignof(T)), may_alias));
};
template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
inline constexpr std::int64_t lanes = vector_bytes / static_cast<std::int64_t>(sizeof(T));

// Through an unaligned, aliasing vector type: std::memcpy would keep arrays of vectors out of registers.
template <typename T>
inline Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(from);
}

template <typename T>
inline void store(Vector<T> value, T* to) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(to) = value;
}

// The next lanes<double> elements in double precision.
inline Vector<double> load_doubles(const double* from) { return load(from); }

inline Vector<double> load_doubles(const float* from) {
  typedef float Floats __attribute__((vector_size(vector_bytes / 2)));
  typedef float Unaligned __attribute__((vector_size(vector_bytes / 2), aligned(alignof(float)), may_alias));
  return __builtin_convertvector(Floats(*reinterpret_cast<const Unaligned*>(from)), Vector<double>);
}

}  // namespace LAMINA_VECTORS
}  // namespace lamina::cpu
