#include "core/ops/loss.h"

#include "core/autograd.h"
#include "core/backend.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

namespace lamina {
namespace {

void check_logits(const char* name, const Tensor& logits) {
  check_floating(name, "logits", logits);
  check(logits.rank() == 2 && logits.size(1) >= 1, "{}: logits {} is not a matrix [N, C]", name, logits);
}

}  // namespace

Tensor softmax(const Tensor& logits) {
  check_floating("softmax", "logits", logits);
  check(logits.rank() >= 1 && logits.size(-1) >= 1, "softmax: logits {} have no last axis to go over",
        logits);
  if (logits.rank() != 2)
    return softmax(logits.view({logits.elements() / logits.size(-1), logits.size(-1)})).view(logits.shape());
  Tensor p = Tensor::empty_like(logits);
  backend_for(logits.device()).softmax(logits, p);
  // d_logits = p (g - Σ_c g p)
  return record("softmax", p, {logits}, [p = Saved(p)](const Tensor& grad, Grads& grads) {
    const Tensor y = grads.attach_output(p);
    grads.set(0, y * (grad - sum_to(grad * y, {y.size(0), 1})));
  });
}

// x - log Σ exp x, from which the largest x is taken first, so that exp cannot overflow.
Tensor log_softmax(const Tensor& logits) {
  check_floating("log_softmax", "logits", logits);
  check(logits.rank() >= 1 && logits.size(-1) >= 1, "log_softmax: logits {} have no last axis to go over",
        logits);
  const Tensor shifted = logits - max(logits.detach(), -1, {.keep = true});
  return shifted - log(sum(exp(shifted), -1, {.keep = true}));
}

Tensor mse_loss(const Tensor& x, const Tensor& target) {
  check_alike("mse_loss", x, target);
  check(x.shape() == target.shape(), "mse_loss: {} and the target {} differ in shape", x, target);
  return mean(square(x - target));
}

namespace {

// -Σ_c target log softmax, with smoothing as of labels.
Tensor soft_cross_entropy(const Tensor& logits, const Tensor& target, double smoothing) {
  check_alike("cross_entropy", logits, target);
  check(target.shape() == logits.shape(), "cross_entropy: targets {} are not shaped like the logits {}",
        target, logits);
  const Tensor smoothed =
      smoothing == 0 ? target
                     : affine(target, 1 - smoothing, smoothing / static_cast<double>(logits.size(1)));
  return -sum(smoothed * log_softmax(logits), 1);
}

}  // namespace

Tensor one_hot(const Tensor& labels, int classes) {
  check_defined("one_hot", "labels", labels);
  check(labels.dtype() == DType::i32 && labels.rank() == 1, "one_hot: labels {}; expected i32 [N]", labels);
  check(classes >= 1, "one_hot: {} classes; expected at least one", classes);
  Tensor rows = Tensor::empty({labels.size(0), classes}, {DType::f32, labels.device()});
  backend_for(labels.device()).one_hot(labels, 0, rows);
  return no_gradient("one_hot", rows, {labels});
}

Tensor cross_entropy_per_sample(const Tensor& logits, const Tensor& labels,
                                const CrossEntropyOptions& options) {
  check_logits("cross_entropy", logits);
  const double smoothing = options.label_smoothing;
  check(smoothing >= 0 && smoothing < 1, "cross_entropy: label_smoothing {} is out of range; expected [0, 1)",
        smoothing);
  if (labels.defined() && is_floating(labels.dtype()) && labels.rank() == 2)
    return soft_cross_entropy(logits, labels, smoothing);
  check(labels.defined() && labels.dtype() == DType::i32 && labels.shape() == Shape{logits.size(0)} &&
            labels.device() == logits.device(),
        "cross_entropy: labels {} do not fit logits {}; expected i32 [N], or a target [N, C], on the same "
        "device",
        labels, logits);
  Tensor losses = Tensor::empty(labels.shape(), logits.options()), probabilities = Tensor::empty_like(logits);
  backend_for(logits.device()).cross_entropy(logits, labels, smoothing, losses, probabilities);
  // d_logits = (softmax - target) g
  return record("cross_entropy", losses, {logits},
                [logits = Saved(logits), labels = Saved(labels), probabilities, smoothing](const Tensor& grad,
                                                                                           Grads& grads) {
                  Tensor grad_logits = Tensor::empty_like(probabilities);
                  Backend& backend = backend_for(grad.device());
                  if (grad_enabled()) {
                    backend.one_hot(grads.get(labels), smoothing, grad_logits);
                    grads.set(0, (softmax(grads.get(logits)) - grad_logits) * grad.view({grad.size(0), 1}));
                  } else {
                    backend.cross_entropy_grad(grad, probabilities, grads.get(labels), smoothing,
                                               grad_logits);
                    grads.set(0, grad_logits);
                  }
                });
}

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  return mean(cross_entropy_per_sample(logits, labels, options));
}

}  // namespace lamina
