// A vector that gradients are asked of, and the values of one.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace lamina::tests {

using Values = std::vector<double>;

inline Tensor leaf(const Values& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())}).requires_grad_();
}

inline Values values_of(const Tensor& tensor) { return tensor.to_vector<double>(); }

}  // namespace lamina::tests
