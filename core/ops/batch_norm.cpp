#include "core/ops/batch_norm.h"

#include "core/autograd.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace lamina {
namespace {

// Statistics and parameters of bf16 images are f32.
DType statistics_dtype(const Tensor& x) { return x.dtype() == DType::bf16 ? DType::f32 : x.dtype(); }

void check_batch_norm(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                      const Tensor& residual) {
  check_floating("batch_norm", "x", x);
  check(x.rank() >= 2, "batch_norm: x {} has no batch axis; expected [N, …, C]", x.str());
  const Shape channels{x.shape().back()};
  const DType dtype = statistics_dtype(x);
  for (const Tensor* t : {&params.weight, &params.bias, &params.running_mean, &params.running_var}) {
    check(t->defined() && t->shape() == channels && t->dtype() == dtype && t->device() == x.device(),
          "batch_norm: {} does not fit x {}; weight, bias and running statistics must be {}{} on its device",
          t->str(), x.str(), name_of(dtype), channels.str());
  }
  const Tensor& batches = params.batches_tracked;
  check(!batches.defined() ||
            (batches.elements() == 1 && batches.dtype() == DType::i32 && batches.device() == x.device()),
        "batch_norm: batches_tracked {} must be one i32 on the device of x {}", batches.str(), x.str());
  check(!residual.defined() || (residual.shape() == x.shape() && residual.dtype() == x.dtype() &&
                                residual.device() == x.device()),
        "batch_norm: residual {} must be shaped like x {}", residual.str(), x.str());
  check(options.eps > 0, "batch_norm: eps {} must be positive", options.eps);
  const std::int64_t rows = x.shape().elements(0, x.rank() - 1);
  check(!options.training || rows >= 2,
        "batch_norm: training needs at least 2 values per channel for a variance, x {} has {}; use a larger "
        "batch or eval()",
        x.str(), rows);
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                  const Tensor& residual) {
  check_batch_norm(x, params, options, residual);
  Tensor y = Tensor::empty_like(x), mean = Tensor::empty_like(params.weight),
         inv_std = Tensor::empty_like(params.weight);
  Backend& backend = backend_for(x.device());
  if (options.training) {
    backend.batch_norm(x, params, residual, options, y, mean, inv_std);
  } else {
    backend.batch_norm_inference(x, params, residual, options, y, mean, inv_std);
  }

  // With x̂ = (x - mean) inv_std, g the gradient masked by the ReLU and m rows (Ioffe & Szegedy 2015, §3):
  // d_bias = Σg, d_weight = Σ g x̂, d_residual = g, d_x = weight inv_std (g - Σg/m - x̂ Σ(g x̂)/m) in training.
  const bool has_residual = residual.defined();
  const Tensor masks = options.relu && has_residual ? y : Tensor();
  return record("batch_norm", y, {x, params.weight, params.bias, residual},
                [=](const Tensor& grad, Grads& grads) {
                  if (grad_enabled()) {
                    const std::vector<Tensor> inputs{x, params.weight, params.bias, residual};
                    differentiate_composition(inputs, grad, grads, [=](std::span<const Tensor> in) {
                      return batch_norm_composed(
                          in[0], {in[1], in[2], params.running_mean, params.running_var}, options, in[3]);
                    });
                    return;
                  }
                  Tensor grad_x = Tensor::empty_like(x), grad_weight = Tensor::empty_like(params.weight),
                         grad_bias = Tensor::empty_like(params.bias);
                  Tensor grad_residual = has_residual && grads.wanted(3) ? Tensor::empty_like(x) : Tensor();
                  backend_for(x.device())
                      .batch_norm_grad(grad, x, masks, params, mean, inv_std, options, grad_x, grad_weight,
                                       grad_bias, grad_residual);
                  grads.set(0, grad_x);
                  grads.set(1, grad_weight);
                  grads.set(2, grad_bias);
                  grads.set(3, grad_residual);
                });
}

Tensor batch_norm_composed(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                           const Tensor& residual) {
  check(x.dtype() == statistics_dtype(x), "batch_norm: second derivatives of {} are not there; use f32",
        x.str());
  const Shape channels = params.weight.shape();
  const auto rows = static_cast<double>(x.shape().elements(0, x.rank() - 1));
  const Tensor center = options.training ? sum_to(x, channels) / rows : params.running_mean;
  const Tensor centered = x - center;
  const Tensor variance = options.training ? sum_to(square(centered), channels) / rows : params.running_var;
  Tensor y = centered * reciprocal(sqrt(variance + options.eps)) * params.weight + params.bias;
  if (residual.defined()) y = y + residual;
  return options.relu ? relu(y) : y;
}

}  // namespace lamina
