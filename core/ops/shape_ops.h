// Reshaping, rearranging, slicing, joining and looking up. Axes count from the back if negative.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "core/backend.h"
#include "core/tensor.h"

namespace lamina {

Tensor reshape(const Tensor& x, const Shape& shape);  // shares memory: x.view(shape)
Tensor flatten(const Tensor& x, int first = 0);       // the axes from `first` on become one; shares memory
Tensor slice(const Tensor& x, const Slice& slice);  // copies x[start : start + count*step : step] of an axis
Tensor embed(const Tensor& x, const Slice& slice,
             std::int64_t extent);  // zeros of `extent` along the axis, with x in the slice

// Axis a of the result is axis order[a] of x. A copy, but x itself where that changes nothing.
Tensor permute(const Tensor& x, const std::vector<int>& order);
Tensor transpose(const Tensor& x, int a = -2, int b = -1);  // the two axes change places

Tensor concat(std::span<const Tensor> parts, int axis);
Tensor concat(std::initializer_list<Tensor> parts, int axis);
Tensor stack(std::span<const Tensor> parts, int axis = 0);  // along a new axis
Tensor stack(std::initializer_list<Tensor> parts, int axis = 0);

// result[o, k, i] = x[o, index[o, k, i], i], as torch.gather: index is i32 and shaped like x but for the
// axis. On the CPU an index outside the axis is an Error; on a GPU its result is NaN, -1 or 255.
Tensor gather(const Tensor& x, int axis, const Tensor& index);
// result[o, k, i] = x[o, index[k], i], index i32 [K].
Tensor index_select(const Tensor& x, int axis, const Tensor& index);
// The gradient of both: zeros of `extent` along the axis, to which x[o, k, i] is added where the index says.
// On a GPU what lies outside is left out.
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, std::int64_t extent);

}  // namespace lamina
