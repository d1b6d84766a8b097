// The running statistics of a module's batch normalisations as one vector: what evaluation mode normalises
// with. They fit the weights that they were measured with, and others the less the farther these are.
// num_batches_tracked is no statistic, and never moves.
#pragma once

#include "analysis/loss_surface.h"
#include "core/tensor.h"
#include "layers/module.h"

namespace lamina::analysis {

// Means and variances, layer after layer, [m] on the CPU; undefined of a module without any.
Tensor running_statistics(const Module& module);

// The way back. Variances below 0, as extrapolated ones may be, become 0. Throws Error for another size.
void set_running_statistics(const Module& module, const Tensor& statistics);

// Sets them to those of the surface's samples where it stands: each part's loss is computed once in training
// mode, and its mean and (unbiased) variance count by its samples (PyTorch's update_bn() weighs all parts
// alike). So they depend on the size of the parts. Where a loss calls the module several times, for two views
// say, later calls weigh more, by the momentum; a layer that is not called keeps what it has. Throws Error
// for a momentum of 0, which measures nothing.
void estimate_running_statistics(const LossSurface& surface);

}  // namespace lamina::analysis
