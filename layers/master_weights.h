// Parameters under bf16 activations.
#pragma once

#include "core/ops/elementwise.h"

namespace lamina {

// A parameter as a product with x wants it: rounded to bf16 where x is. The master copy stays f32, for what
// an optimizer adds is often below bf16's last digit.
inline Tensor as_used_with(const Tensor& x, const Tensor& parameter) {
  return x.dtype() == DType::bf16 ? cast(parameter, DType::bf16) : parameter;
}

}  // namespace lamina
