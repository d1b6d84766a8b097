// Batch normalisation (Ioffe & Szegedy 2015) over all axes but the last, fused with residual and ReLU.
#pragma once

#include "core/backend.h"
#include "core/tensor.h"

namespace lamina {

// y = relu?((x - mean) / sqrt(var + eps) * weight + bias + residual?). residual: undefined or shaped like x.
// In training the running statistics of `params` move.
Tensor batch_norm(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options = {},
                  const Tensor& residual = {});

// The same value from elementary ops (does not move the running statistics): the oracle of the fused kernel,
// of its gradient and of that one's.
Tensor batch_norm_composed(const Tensor& x, const BatchNormParams& params,
                           const BatchNormOptions& options = {}, const Tensor& residual = {});

}  // namespace lamina
