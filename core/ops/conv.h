// 2-D convolution (cross-correlation, as everywhere in deep learning). x [N, H, W, in], weight [out, kh, kw,
// in], y [N, (H + 2p - kh)/s + 1, (W + 2p - kw)/s + 1, out]. The three directions are differentiable in each
// other. Groups and dilation are composed of plain convolutions: exact, but no faster than the groups one
// after another, and than a kernel of the dilated size.
#pragma once

#include "core/backend.h"
#include "core/tensor.h"

namespace lamina {

// With groups: x [N, H, W, groups * in], weight [groups * out, kh, kw, in].
Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options = {});
// The other two directions, of one group and without dilation.
Tensor conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Shape& x_shape,
                         const Conv2dOptions& options = {});
Tensor conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Shape& weight_shape,
                          const Conv2dOptions& options = {});

}  // namespace lamina
