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
  check(logits.rank() == 2 && logits.size(1) >= 1, "{}: logits {} is not a matrix [N, C]", name,
        logits.str());
}

}  // namespace

Tensor softmax(const Tensor& logits) {
  check_logits("softmax", logits);
  Tensor p = Tensor::empty_like(logits);
  backend_for(logits.device()).softmax(logits, p);
  // d_logits = p (g - Σ_c g p)
  return record("softmax", p, {logits}, [p](const Tensor& grad, Grads& grads) {
    const Tensor y = grads.attach_output(p);
    grads.set(0, y * (grad - sum_to(grad * y, {y.size(0), 1})));
  });
}

Tensor one_hot(const Tensor& labels, int classes) {
  check_defined("one_hot", "labels", labels);
  check(labels.dtype() == DType::i32 && labels.rank() == 1, "one_hot: labels {}; expected i32 [N]",
        labels.str());
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
  check(labels.defined() && labels.dtype() == DType::i32 && labels.shape() == Shape{logits.size(0)} &&
            labels.device() == logits.device(),
        "cross_entropy: labels {} do not fit logits {}; expected i32 [N] on the same device", labels.str(),
        logits.str());
  Tensor losses = Tensor::empty(labels.shape(), logits.options()), probabilities = Tensor::empty_like(logits);
  backend_for(logits.device()).cross_entropy(logits, labels, smoothing, losses, probabilities);
  // d_logits = (softmax - target) g
  return record("cross_entropy", losses, {logits}, [=](const Tensor& grad, Grads& grads) {
    Tensor grad_logits = Tensor::empty_like(probabilities);
    Backend& backend = backend_for(grad.device());
    if (grad_enabled()) {
      backend.one_hot(labels, smoothing, grad_logits);
      grads.set(0, (softmax(logits) - grad_logits) * reshape(grad, {grad.size(0), 1}));
    } else {
      backend.cross_entropy_grad(grad, probabilities, labels, smoothing, grad_logits);
      grads.set(0, grad_logits);
    }
  });
}

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  return mean(cross_entropy_per_sample(logits, labels, options));
}

}  // namespace lamina
