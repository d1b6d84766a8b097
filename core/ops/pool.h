// Pooling over the pixels of NHWC images.
#pragma once

#include "core/backend.h"
#include "core/tensor.h"

namespace lamina {

Tensor max_pool2d(const Tensor& x,
                  const Pool2dOptions& options = {});  // [N, (H + 2p - size)/stride + 1, …, C]
// The mean over each window, to which padding adds zeros.
Tensor avg_pool2d(const Tensor& x,
                  const Pool2dOptions& options = {});  // [N, (H + 2p - size)/stride + 1, …, C]
Tensor global_avg_pool(const Tensor& x);               // [N, H, W, C] -> [N, C]

}  // namespace lamina
