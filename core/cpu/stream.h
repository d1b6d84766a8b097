// Stores past the caches, for results so large that whoever reads them finds little of them there anyway: a
// line that is only written need not be read first, and what the caches hold stays.
#pragma once

#include <cstdint>

#include "core/cpu/vector.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace lamina::cpu {

// Below it the next kernel would miss what it finds in the caches today. A quarter of a common L3 cache.
inline constexpr std::int64_t least_streamed_bytes = 8 * 1024 * 1024;

inline constexpr std::int64_t streamed_line = 64;  // bytes: of the cache, which go to memory together

inline namespace LAMINA_VECTORS {

// `to` is a multiple of vector_bytes. Others may read it after finish_streaming().
template <typename T>
inline void stream(Vector<T> value, T* to) {
#if defined(__AVX512F__)
  _mm512_stream_ps(reinterpret_cast<float*>(to), reinterpret_cast<__m512>(value));
#elif defined(__AVX__)
  _mm256_stream_ps(reinterpret_cast<float*>(to), reinterpret_cast<__m256>(value));
#elif defined(__SSE2__)
  _mm_stream_ps(reinterpret_cast<float*>(to), reinterpret_cast<__m128>(value));
#else
  store<T>(value, to);
#endif
}

inline void finish_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Whether results of this size, written in whole runs of so many elements, are to be streamed: in whole lines
// of the cache, or each would go to memory twice.
template <typename T>
inline bool is_streamed([[maybe_unused]] const T* results, [[maybe_unused]] std::int64_t elements,
                        [[maybe_unused]] std::int64_t run) {
#if defined(__SSE2__)
  constexpr std::int64_t size = sizeof(T), line = streamed_line;
  return elements * size >= least_streamed_bytes && run * size % line == 0 &&
         reinterpret_cast<std::uintptr_t>(results) % line == 0;
#else
  return false;
#endif
}

// `count` is a multiple of the lanes.
template <typename T>
inline void stream_copy(const T* from, std::int64_t count, T* to) {
  for (std::int64_t i = 0; i < count; i += lanes<T>) stream<T>(load(from + i), to + i);
}

}  // namespace LAMINA_VECTORS
}  // namespace lamina::cpu
