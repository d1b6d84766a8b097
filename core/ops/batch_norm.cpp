#include "core/ops/batch_norm.h"

#include <array>
#include <vector>

#include "core/autograd.h"
#include "core/joint_op.h"
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
  check(!options.sum_over_ranks || x.device().type == DeviceType::cpu,
        "batch_norm: x {}: statistics over several ranks are there on the CPU alone", x);
  check(!options.training || rows >= 2 || (rows == 1 && options.sum_over_ranks),
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

// What the backward passes read again.
struct BatchNormInputs {
  Saved x, weight, bias;
  Saved y;               // where the ReLU's mask cannot be had from x
  Saved residual;        // where y is not kept, but made again
  Tensor mean, inv_std;  // of the batch, or as the running ones were
  BatchNormOptions options;
};

// From what is kept anyway. On a GPU one more kernel costs more than the memory is worth.
bool can_be_made_again(const Tensor& x, const Tensor& residual, const BatchNormOptions& options) {
  if (x.device().type != DeviceType::cpu) return false;
  if (!residual.defined()) return true;
  const bool is_made_again = residual.node() != nullptr && residual.node()->again;
  return options.residual_is_kept && !is_made_again;
}

Tensor normalised_again(const BatchNormInputs& in, const Grads& grads) {
  const Tensor& x = grads.get(in.x);
  Tensor y = Tensor::empty_like(x);
  backend_for(x.device())
      .batch_norm_again(x, {grads.get(in.weight), grads.get(in.bias), {}, {}}, grads.get(in.residual),
                        in.options, in.mean, in.inv_std, y);
  return y;
}

struct Gradients {
  Tensor x, weight, bias, residual;
};

// With x̂ = (x - mean) inv_std, g the gradient masked by the ReLU and m rows (Ioffe & Szegedy 2015, §3):
// d_bias = Σg, d_weight = Σ g x̂, d_residual = g, d_x = weight inv_std (g - Σg/m - x̂ Σ(g x̂)/m) in training.
// One of them takes the memory of the gradient that came, if nobody else needs that.
Gradients gradients(const BatchNormInputs& in, const Tensor& grad, bool residual_wanted, const Grads& grads) {
  const Tensor &x = grads.get(in.x), &weight = grads.get(in.weight), &bias = grads.get(in.bias);
  const Tensor reused = Grads::owns(grad) ? grad.detach() : Tensor::empty_like(x);
  Gradients to{residual_wanted ? Tensor::empty_like(x) : reused, Tensor::empty_like(weight),
               Tensor::empty_like(bias), residual_wanted ? reused : Tensor()};
  backend_for(x.device())
      .batch_norm_grad(grad, x, grads.get(in.y), {weight, bias, {}, {}}, in.mean, in.inv_std, in.options,
                       to.x, to.weight, to.bias, to.residual);
  return to;
}

// x̂ = (x − mean) inv_std and inv_std, each a function of x that can be differentiated.
struct Standardised {
  Tensor x, inv_std;
};

// In training ∂inv_std/∂x = −inv_std² x̂/m.
Standardised standardise(const Tensor& x, const BatchNormInputs& in) {
  if (!in.options.training) return {(x - in.mean) * in.inv_std, in.inv_std};
  const Tensor one = Tensor::full(in.mean.shape(), 1, in.mean.options()), zero = Tensor::zeros_like(one);
  const Tensor x_hat = batch_norm(x, {one, zero, zero.clone(), zero.clone()}, {.eps = in.options.eps});
  const double rows = static_cast<double>(x.elements() / in.mean.elements());
  const Tensor recorded = record(
      "batch_norm", in.inv_std.clone(), {x},
      [saved = Saved(x_hat), inv_std = Saved(in.inv_std.clone()), rows](const Tensor& grad, Grads& grads) {
        const Tensor own = grads.attach_output(inv_std);
        grads.set(0, grads.get(saved) * (grad * own * own / -rows));
      });
  return {x_hat, recorded};
}

// 1 where the ReLU lets the gradient through, else 0.
Tensor relu_mask(const BatchNormInputs& in, const Grads& grads) {
  const NoGrad no_grad;
  const Tensor& y = grads.get(in.y);
  const Tensor output =
      y.defined() ? y
                  : (grads.get(in.x) - in.mean) * (in.inv_std * grads.get(in.weight)) + grads.get(in.bias);
  return greater(output, scalar_like(output, 0));
}

// gradients() from ops, which can be differentiated as often as one likes. g: masked.
Gradients gradients_composed(const BatchNormInputs& in, const Tensor& g, const Tensor& x,
                             const Tensor& weight) {
  const auto [x_hat, inv_std] = standardise(x, in);
  const Tensor grad_bias = sum_to(g, weight.shape()), grad_weight = sum_to(g * x_hat, weight.shape());
  const double rows = static_cast<double>(x.elements() / weight.elements());
  const Tensor centred = in.options.training ? g - grad_bias / rows - x_hat * (grad_weight / rows) : g;
  return {centred * (weight * inv_std), grad_weight, grad_bias, g};
}

// The gradient of the gradients' products with those of `to`, for further derivatives.
void differentiate_composed(const BatchNormInputs& in, const Tensor& grad, std::span<const Tensor> to,
                            Grads& grads) {
  check(!in.options.sum_over_ranks, "batch_norm: third derivatives over several ranks are not there");
  const Tensor passes = in.options.relu ? relu_mask(in, grads) : Tensor();
  const std::vector<Tensor> inputs{grad, grads.get(in.x), grads.get(in.weight)};
  differentiate_composition(inputs, {}, grads, [&](std::span<const Tensor> of) {
    const Gradients g = gradients_composed(in, in.options.relu ? of[0] * passes : of[0], of[1], of[2]);
    const std::array of_output{g.x, g.weight, g.bias, g.residual};
    Tensor total;
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (!to[i].defined()) continue;
      const Tensor product = sum(of_output[i] * to[i]);
      total = total.defined() ? total + product : product;
    }
    return total;
  });
}

// The gradients as one op, whose own gradient is math::BatchNormSecondGradient.
std::vector<Tensor> record_gradients(const BatchNormInputs& in, const Tensor& grad, const Gradients& outputs,
                                     const Grads& wanted) {
  const Tensor& images = wanted.get(in.x);
  check(images.dtype() == statistics_dtype(images),
        "batch_norm: second derivatives of {} are not there; use f32", images);
  return record_joint(
      "batch_norm_grad", {outputs.x, outputs.weight, outputs.bias, outputs.residual},
      {grad, images, wanted.get(in.weight)},
      [in, grad = Saved(grad), grad_weight = outputs.weight.clone(), grad_bias = outputs.bias.clone()](
          std::span<const Tensor> to, Grads& grads) {
        const Tensor& above = grads.get(grad);
        if (grad_enabled()) return differentiate_composed(in, above, to, grads);
        const Tensor &x = grads.get(in.x), &weight = grads.get(in.weight);
        const auto or_zeros = [](const Tensor& given, const Tensor& like) {
          return given.defined() ? given : Tensor::zeros_like(like);
        };
        const BatchNormSecond second{
            .grad = above,
            .x = x,
            .y = grads.get(in.y),
            .params = {weight, grads.get(in.bias), {}, {}},
            .mean = in.mean,
            .inv_std = in.inv_std,
            .grad_weight = grad_weight,
            .grad_bias = grad_bias,
            .to = {or_zeros(to[0], x), or_zeros(to[1], weight), or_zeros(to[2], weight), to[3]}};
        Tensor grad_grad = Tensor::empty_like(x), grad_x = Tensor::empty_like(x),
               grad_of_weight = Tensor::empty_like(weight);
        backend_for(x.device()).batch_norm_second_grad(second, in.options, grad_grad, grad_x, grad_of_weight);
        grads.set(0, grad_grad);
        grads.set(1, grad_x);
        grads.set(2, grad_of_weight);
      });
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
  const bool mask_needs_y = options.relu && residual.defined(),
             again = can_be_made_again(x, residual, options);
  const BatchNormInputs inputs{.x = x,
                               .weight = params.weight,
                               .bias = params.bias,
                               .y = mask_needs_y && !again ? y : Tensor(),
                               .residual = again ? residual : Tensor(),
                               .mean = mean,
                               .inv_std = inv_std,
                               .options = options};
  const Tensor recorded = record(
      "batch_norm", y, {x, params.weight, params.bias, residual},
      [inputs, mask_needs_y, again, has_residual = residual.defined()](const Tensor& grad, Grads& grads) {
        BatchNormInputs in = inputs;
        if (mask_needs_y && again) in.y = grads.output();
        const Gradients g = gradients(in, grad, has_residual && grads.wanted(3), grads);
        const std::vector<Tensor> outputs = grad_enabled()
                                                ? record_gradients(in, grad, g, grads)
                                                : std::vector<Tensor>{g.x, g.weight, g.bias, g.residual};
        for (int i = 0; i < 4; ++i) grads.set(i, outputs[static_cast<std::size_t>(i)]);
      });
  if (again && recorded.requires_grad()) {
    recorded.node()->again = [inputs](const Grads& grads) { return normalised_again(inputs, grads); };
    recorded.node()->reads_output = mask_needs_y;
  }
  return recorded;
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
