// Sums over whole tensors: in double, in the order of the elements. The engine has sums of its own, in an
// order that suits its chunks.
#pragma once

#include "core/param.h"
#include "core/tensor.h"

namespace lamina {

// ||x||^2. f32 or f64 (Error otherwise), on any device.
double squared_norm(const Tensor& x);

// ||x - y||^2. Throws Error for tensors of different shapes or dtypes.
double squared_distance(const Tensor& x, const Tensor& y);

// Scales all gradients by min(1, max_norm / (norm + 1e-6)), norm being that of all of them together, and
// returns it (torch.nn.utils.clip_grad_norm_). Parameters without a gradient are passed over. For loops of
// one's own between backward() and step(); an optimizer's max_grad_norm scales by min(1, max_norm / norm),
// and leaves the gradients as they are. Throws UsageError for a max_norm that is negative or NaN.
double clip_grad_norm(const ParamList& params, double max_norm);

}  // namespace lamina
