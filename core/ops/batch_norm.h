// Batch normalisation (Ioffe & Szegedy 2015) over all axes but the last, fused with residual and ReLU.
#pragma once

#include "core/backend.h"
#include "core/tensor.h"

namespace lamina {

struct BatchNormState {
  Tensor weight, bias;               // [C]
  Tensor running_mean, running_var;  // [C]; updated in place when training
  Tensor batches_tracked = {};       // i32 []; incremented when training, if defined
};

// y = relu?((x - mean) / sqrt(var + eps) * weight + bias + residual?). residual: undefined or shaped like x.
Tensor batch_norm(const Tensor& x, BatchNormState& state, const BatchNormOptions& options = {},
                  const Tensor& residual = {});

// The same value from elementary ops (does not move the running statistics): the oracle of the fused kernel
// and its gradient when a second derivative is wanted.
Tensor batch_norm_composed(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Tensor& running_mean, const Tensor& running_var,
                           const BatchNormOptions& options, const Tensor& residual = {});

}  // namespace lamina
