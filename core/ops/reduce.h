// Sums and means, and their inverse, broadcasting.
#pragma once

#include "core/tensor.h"

namespace lamina {

Tensor sum(const Tensor& x);                               // to a scalar
Tensor mean(const Tensor& x);                              // to a scalar
Tensor sum_to(const Tensor& x, const Shape& shape);        // shape must broadcast to x's
Tensor broadcast_to(const Tensor& x, const Shape& shape);  // x's shape must broadcast to it
Tensor argmax(const Tensor& x);                            // [rows, C] -> i32 [rows]; no gradient

}  // namespace lamina
