// Sums over a whole tensor for reports and tests: in double, in the order of the elements. The engine has
// sums of its own, in an order that suits its chunks.
#pragma once

#include "core/tensor.h"

namespace lamina {

// ||x||^2. f32 or f64 (Error otherwise), on any device.
double squared_norm(const Tensor& x);

// ||x - y||^2. Throws Error for tensors of different shapes or dtypes.
double squared_distance(const Tensor& x, const Tensor& y);

}  // namespace lamina
