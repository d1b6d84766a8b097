// Matrix products.
#pragma once

#include "core/backend.h"
#include "core/tensor.h"

namespace lamina {

// Of the last two axes, [m, k] and [k, n] -> [m, n]; those before them broadcast, as in NumPy.
Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options = {});
// y = x Wᵀ + b: x [N, …, in], weight [out, in], bias [out] or undefined.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace lamina
