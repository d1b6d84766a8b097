// What the tests of CUDA's kernels share: the same numbers on the CPU in f32 and on the GPU in bf16.
#pragma once

#include <cstring>
#include <limits>
#include <vector>

#include "catch.h"
#include "core/backend.h"
#include "op_inputs.h"

namespace lamina::tests {

inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

inline Backend& gpu() { return backend_for(Device::cuda()); }

inline Tensor on_gpu(const Shape& shape, DType dtype = DType::f32) {
  return Tensor::empty(shape, {dtype, Device::cuda()});
}

// f32 on the CPU, all of them bf16 numbers: multiples of 2^-6 with 8 significant bits at most. Sums of less
// than 2^17 of them are exact in f32, in any order.
inline Tensor draw_exact(const Shape& shape, std::uint64_t seed, double low = -2, double high = 2) {
  Draw draw(seed);
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (float& value : values) value = static_cast<float>(std::round(draw.uniform(low, high) * 64) / 64);
  return Tensor::from(values, shape);
}

inline Tensor to_bf16(const Tensor& f32) {
  const std::vector<float> wide = f32.to_vector<float>();
  const std::vector<Bf16> values(wide.begin(), wide.end());
  return Tensor::from(values, f32.shape(), Device::cuda());
}

// f32 on the CPU, of f32 or bf16 on any device.
inline Tensor to_f32(const Tensor& tensor) {
  Tensor host = tensor.to(Device::cpu());
  if (host.dtype() == DType::f32) return host;
  const std::vector<Bf16> narrow = host.to_vector<Bf16>();
  return Tensor::from(std::vector<float>(narrow.begin(), narrow.end()), host.shape());
}

// The largest |value - reference| that a bound does not allow; 0: none. Rounding to 8 significant bits moves
// a number by at most 2^-8 of itself. `arithmetic` is what f32 may have added before, relative to the largest
// element: 16 units of its last place unless said otherwise.
inline double beyond_rounding(const Tensor& bf16, const Tensor& reference, double arithmetic = 0x1p-20) {
  REQUIRE(bf16.dtype() == DType::bf16);
  REQUIRE(bf16.shape() == reference.shape());
  const std::vector<float> value = to_f32(bf16).to_vector<float>(), exact = reference.to_vector<float>();
  double largest = 0, beyond = 0;
  for (const float x : exact) largest = std::max(largest, std::abs(static_cast<double>(x)));
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double x = exact[i], error = std::abs(static_cast<double>(value[i]) - x);
    if (std::isnan(error)) return std::numeric_limits<double>::infinity();
    if (error > 0x1p-8 * std::abs(x) + arithmetic * largest) beyond = std::max(beyond, error);
  }
  return beyond;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && bytes_of(a) == bytes_of(b);
}

inline std::vector<bool> nan_mask(const Tensor& tensor) {
  std::vector<bool> mask;
  for (const float value : to_f32(tensor).to_vector<float>()) mask.push_back(std::isnan(value));
  return mask;
}

}  // namespace lamina::tests
