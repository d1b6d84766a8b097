// Reshaping, slicing and joining.
#pragma once

#include <span>

#include "core/backend.h"
#include "core/tensor.h"

namespace lamina {

Tensor reshape(const Tensor& x, const Shape& shape);  // shares memory
Tensor slice(const Tensor& x, const Slice& slice);  // copies x[start : start + count*step : step] of an axis
Tensor embed(const Tensor& x, const Slice& slice,
             std::int64_t extent);  // zeros of `extent` along the axis, with x in the slice
Tensor concat(std::span<const Tensor> parts, int axis);

}  // namespace lamina
