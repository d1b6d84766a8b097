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
  check(x.rank() >= 2, "batch_norm: x {} has no batch axis; expected [N, …, C]", x);
  const Shape channels{x.shape().back()};
  const DType dtype = statistics_dtype(x);
  for (const Tensor* t : {&params.weight, &params.bias, &params.running_mean, &params.running_var}) {
    check(t->defined() && t->shape() == channels && t->dtype() == dtype && t->device() == x.device(),
          "batch_norm: {} does not fit x {}; weight, bias and running statistics must be {}{} on its device",
          *t, x, name_of(dtype), channels);
  }
  const Tensor& batches = params.batches_tracked;
  check(!batches.defined() ||
            (batches.elements() == 1 && batches.dtype() == DType::i32 && batches.device() == x.device()),
        "batch_norm: batches_tracked {} must be one i32 on the device of x {}", batches, x);
  check(!residual.defined() || (residual.shape() == x.shape() && residual.dtype() == x.dtype() &&
                                residual.device() == x.device()),
        "batch_norm: residual {} must be shaped like x {}", residual, x);
  check(options.eps > 0, "batch_norm: eps {} must be positive", options.eps);
  const std::int64_t rows = x.shape().elements(0, x.rank() - 1);
  check(!options.training || rows >= 2,
        "batch_norm: training needs at least 2 values per channel for a variance, x {} has {}; use a larger "
        "batch or eval()",
        x, rows);
}

struct Normalised {
  Tensor y, mean, inv_std;
};

Normalised normalise(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                     const Tensor& residual) {
  Normalised out{Tensor::empty_like(x), Tensor::empty_like(params.weight), Tensor::empty_like(params.weight)};
  Backend& backend = backend_for(x.device());
  if (options.training)
    backend.batch_norm(x, params, residual, options, out.y, out.mean, out.inv_std);
  else
    backend.batch_norm_inference(x, params, residual, options, out.y, out.mean, out.inv_std);
  return out;
}

// What the backward pass reads again.
struct BatchNormInputs {
  Saved x, weight, bias, residual;
  Saved running_mean, running_var;  // where they are what it was normalised with
  bool has_residual;

  BatchNormInputs(const Tensor& images, const BatchNormParams& params, const Tensor& added,
                  const BatchNormOptions& options)
      : x(images), weight(params.weight), bias(params.bias), residual(added), has_residual(added.defined()) {
    if (!options.training) running_mean = params.running_mean, running_var = params.running_var;
  }

  // Running statistics are those of evaluation, or may be moved.
  BatchNormParams params(const Grads& grads, const BatchNormOptions& options) const {
    const Tensor& w = grads.get(weight);
    if (options.training) return {w, grads.get(bias), Tensor::zeros_like(w), Tensor::zeros_like(w)};
    return {w, grads.get(bias), grads.get(running_mean), grads.get(running_var)};
  }
};

// x̂ = (x − mean) inv_std and inv_std, each a function of x that can be differentiated.
struct Standardised {
  Tensor x, inv_std;
};

// In training ∂inv_std/∂x = −inv_std² x̂/m.
Standardised standardise(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                         const Tensor& mean, const Tensor& inv_std) {
  if (!options.training) return {(x - mean) * inv_std, inv_std};
  const Tensor one = Tensor::full(mean.shape(), 1, mean.options()), zero = Tensor::zeros_like(one);
  const Tensor x_hat =
      batch_norm(x, {one, zero, params.running_mean, params.running_var}, {.eps = options.eps});
  const double rows = static_cast<double>(x.elements() / mean.elements());
  const Tensor recorded = record(
      "batch_norm", inv_std.clone(), {x},
      [saved = Saved(x_hat), inv_std = Saved(inv_std.clone()), rows](const Tensor& grad, Grads& grads) {
        grads.set(0, grads.get(saved) * (grad * square(grads.attach_output(inv_std)) / -rows));
      });
  return {x_hat, recorded};
}

// 1 where y is above 0, else 0.
Tensor positive(const Tensor& y) { return greater(y, scalar_like(y, 0)); }

// The gradient from ops, which can be differentiated again.
void differentiate_recorded(const BatchNormInputs& inputs, const Tensor& grad, const Tensor& mean,
                            const Tensor& inv_std, const BatchNormOptions& options, Grads& grads) {
  const Tensor &x = grads.get(inputs.x), &weight = grads.get(inputs.weight);
  check(x.dtype() == statistics_dtype(x), "batch_norm: second derivatives of {} are not there; use f32", x);
  const BatchNormParams params = inputs.params(grads, options);
  const Tensor g =
      options.relu ? grad * positive(normalise(x, params, options, grads.get(inputs.residual)).y) : grad;
  const auto [x_hat, deviation] = standardise(x, params, options, mean, inv_std);
  const Tensor grad_bias = sum_to(g, mean.shape()), grad_weight = sum_to(g * x_hat, mean.shape());
  if (grads.wanted(0)) {
    const double rows = static_cast<double>(x.elements() / mean.elements());
    const Tensor centred = options.training ? g - grad_bias / rows - x_hat * (grad_weight / rows) : g;
    grads.set(0, centred * (weight * deviation));
  }
  grads.set(1, grad_weight);
  grads.set(2, grad_bias);
  if (inputs.has_residual && grads.wanted(3)) grads.set(3, g);
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                  const Tensor& residual) {
  check_batch_norm(x, params, options, residual);
  const auto [y, mean, inv_std] = normalise(x, params, options, residual);
  if (options.training) {
    params.running_mean.bump_version();
    params.running_var.bump_version();
  }

  // With x̂ = (x - mean) inv_std, g the gradient masked by the ReLU and m rows (Ioffe & Szegedy 2015, §3):
  // d_bias = Σg, d_weight = Σ g x̂, d_residual = g, d_x = weight inv_std (g - Σg/m - x̂ Σ(g x̂)/m) in training.
  const BatchNormInputs inputs(x, params, residual, options);
  const Tensor masks = options.relu && residual.defined() ? y : Tensor();
  return record("batch_norm", y, {x, params.weight, params.bias, residual},
                [inputs, masks = Saved(masks), mean = mean, inv_std = inv_std, options](const Tensor& grad,
                                                                                        Grads& grads) {
                  if (grad_enabled())
                    return differentiate_recorded(inputs, grad, mean, inv_std, options, grads);
                  const Tensor& in = grads.get(inputs.x);
                  const BatchNormParams parameters{grads.get(inputs.weight), grads.get(inputs.bias), {}, {}};
                  Tensor grad_x = Tensor::empty_like(in), grad_weight = Tensor::empty_like(parameters.weight),
                         grad_bias = Tensor::empty_like(parameters.bias);
                  Tensor grad_residual =
                      inputs.has_residual && grads.wanted(3) ? Tensor::empty_like(in) : Tensor();
                  backend_for(in.device())
                      .batch_norm_grad(grad, in, grads.get(masks), parameters, mean, inv_std, options, grad_x,
                                       grad_weight, grad_bias, grad_residual);
                  grads.set(0, grad_x);
                  grads.set(1, grad_weight);
                  grads.set(2, grad_bias);
                  grads.set(3, grad_residual);
                });
}

Tensor batch_norm_composed(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                           const Tensor& residual) {
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
