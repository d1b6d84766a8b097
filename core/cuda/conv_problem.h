// What a convolution on the GPU depends on, in cuDNN's terms: the key of its plan.
#pragma once

#include <fmt/core.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "core/backend.h"

namespace lamina::cuda {

// cuDNN counts axes as N, C, H, W whatever the layout in memory; weights are [out, in, kh, kw] to it.
using Extents = std::array<std::int64_t, 4>;

inline Extents nchw_extents(const Shape& nhwc) { return {nhwc[0], nhwc[3], nhwc[1], nhwc[2]}; }

// Where NHWC memory has the element (n, c, h, w): at the sum of index times stride.
inline Extents nhwc_strides(const Extents& e) { return {e[2] * e[3] * e[1], 1, e[3] * e[1], e[1]}; }

enum class ConvDirection : std::uint8_t { forward, grad_input, grad_weight };

struct ConvTensor {
  Extents extents;
  DType dtype;

  ConvTensor(const Tensor& tensor)  // NHWC, or weights [out, kh, kw, in]
      : extents(nchw_extents(tensor.shape())), dtype(tensor.dtype()) {}
  auto operator<=>(const ConvTensor&) const = default;  // NOLINT(modernize-use-nullptr): a false alarm

  std::size_t bytes() const {
    const std::int64_t elements = extents[0] * extents[1] * extents[2] * extents[3];
    return static_cast<std::size_t>(elements) * size_of(dtype);
  }

  std::string str() const {  // as Tensor::str, without the device
    return fmt::format("{} [{}, {}, {}, {}]", name_of(dtype), extents[0], extents[2], extents[3], extents[1]);
  }
};

struct ConvProblem {
  ConvDirection direction;
  ConvTensor x, weight, y;  // or their gradients; one of them is the output
  int stride, padding;
  std::int64_t alignment;  // of all three in memory, in bytes
  bool tf32, deterministic;
  bool adds = false;  // to what the output holds, in f32 before the sum is rounded; grad_input alone

  auto operator<=>(const ConvProblem&) const = default;  // NOLINT(modernize-use-nullptr)

  std::string str() const {
    static constexpr std::array<const char*, 3> names{"conv2d", "conv2d_grad_input", "conv2d_grad_weight"};
    return fmt::format("{} x {} weight {} y {} stride {} padding {}",
                       adds ? "conv2d_add_grad_input" : names[static_cast<std::size_t>(direction)], x.str(),
                       weight.str(), y.str(), stride, padding);
  }
};

}  // namespace lamina::cuda
