// What the tests of the CPU's kernels share: numbers, outputs that were never written, and a comparison of
// bits between numbers of threads.
#pragma once

#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "catch.h"
#include "core/backend.h"
#include "core/random.h"
#include "core/tensor.h"

namespace lamina::tests {

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// Numbers in [-1, 1), different for each `sample`.
inline Tensor random(const Shape& shape, std::uint32_t sample, DType dtype = DType::f32) {
  const Random numbers{.seed = 7, .sample = sample};
  std::vector<double> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 2 * static_cast<double>(numbers.uniform(static_cast<std::uint32_t>(i))) - 1;
  }
  Tensor wide = Tensor::from(values, shape);
  if (dtype == DType::f64) return wide;
  Tensor narrow = Tensor::empty(shape, {dtype});
  cpu_backend().cast(wide, narrow);
  return narrow;
}

inline Tensor poisoned(const Shape& shape, DType dtype = DType::f32) {
  return Tensor::full(shape, not_a_number, {dtype});
}

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// Runs `kernels` with 1, 2, 3 and 4 threads: every tensor it returns must have the same bytes each time.
inline void check_any_threads(const std::function<std::vector<Tensor>()>& kernels) {
  const int before = threads();
  set_threads(1);
  const std::vector<Tensor> expected = kernels();
  for (const int count : {2, 3, 4}) {
    CAPTURE(count);
    set_threads(count);
    const std::vector<Tensor> results = kernels();
    for (std::size_t i = 0; i < results.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bytes(results[i], expected[i]));
      CHECK(cpu_backend().all_finite(results[i]));  // outputs start as NaN: every element was written
    }
  }
  set_threads(before);
}

}  // namespace lamina::tests
