// How addresses are aligned, which decides what the fastest kernels of NVIDIA's libraries may load at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace lamina::cuda {

// The largest power of two, at most `limit` (one itself), that divides all of them.
inline std::size_t common_alignment(std::initializer_list<const void*> addresses, std::size_t limit) {
  std::uintptr_t bits = limit;
  for (const void* address : addresses) bits |= reinterpret_cast<std::uintptr_t>(address);
  return bits & (~bits + 1);
}

}  // namespace lamina::cuda
