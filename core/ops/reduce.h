// Sums and means, and their inverse, broadcasting.
#pragma once

#include "core/tensor.h"

namespace lamina {

Tensor sum(const Tensor& x);                               // to a scalar
Tensor mean(const Tensor& x);                              // to a scalar
Tensor sum_to(const Tensor& x, const Shape& shape);        // shape must broadcast to x's
Tensor broadcast_to(const Tensor& x, const Shape& shape);  // x's shape must broadcast to it
Tensor argmax(const Tensor& x);                            // [rows, C] -> i32 [rows]; no gradient
// [rows, C], labels i32 [rows] -> [rows]: 1 where the argmax is the label, else 0; no gradient. Its sum
// counts right predictions without waiting for the device.
Tensor is_argmax(const Tensor& x, const Tensor& labels);

}  // namespace lamina
