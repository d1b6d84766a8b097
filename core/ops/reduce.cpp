#include "core/ops/reduce.h"

#include "core/autograd.h"
#include "core/backend.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"

namespace lamina {

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check_floating("sum_to", "the operand", x);
  check(broadcast(x.shape(), shape, "sum_to") == x.shape(),
        "sum_to: {} cannot be summed to {}, which does not broadcast to it", x.str(), shape.str());
  if (shape == x.shape()) return x;
  Tensor out = Tensor::empty(shape, x.options());
  backend_for(x.device()).sum_to(x, out);
  return record("sum_to", out, {x}, [from = x.shape()](const Tensor& grad, Grads& grads) {
    grads.set(0, broadcast_to(grad, from));
  });
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  check_floating("broadcast_to", "the operand", x);
  check(broadcast(x.shape(), shape, "broadcast_to") == shape, "broadcast_to: {} does not broadcast to {}",
        x.str(), shape.str());
  if (shape == x.shape()) return x;
  Tensor out = Tensor::empty(shape, x.options());
  backend_for(x.device()).broadcast_to(x, out);
  return record("broadcast_to", out, {x},
                [from = x.shape()](const Tensor& grad, Grads& grads) { grads.set(0, sum_to(grad, from)); });
}

Tensor sum(const Tensor& x) { return sum_to(x, {}); }

Tensor mean(const Tensor& x) {
  check_floating("mean", "the operand", x);
  check(x.elements() > 0, "mean: {} has no elements", x.str());
  return sum(x) / static_cast<double>(x.elements());
}

Tensor argmax(const Tensor& x) {
  check_floating("argmax", "the operand", x);
  check(x.rank() == 2 && x.size(1) > 0, "argmax: {} is not a matrix [rows, C] with C > 0", x.str());
  Tensor index = Tensor::empty({x.size(0)}, {DType::i32, x.device()});
  backend_for(x.device()).argmax(x, index);
  return no_gradient("argmax", index, {x});
}

Tensor is_argmax(const Tensor& x, const Tensor& labels) {
  check_floating("is_argmax", "the operand", x);
  check(x.rank() == 2 && x.size(1) > 0, "is_argmax: {} is not a matrix [rows, C] with C > 0", x.str());
  check(labels.defined() && labels.dtype() == DType::i32 && labels.shape() == Shape{x.size(0)} &&
            labels.device() == x.device(),
        "is_argmax: labels {} do not fit {}; expected i32 [rows] on the same device", labels.str(), x.str());
  Tensor is = Tensor::empty(labels.shape(), x.options());
  backend_for(x.device()).is_argmax(x, labels, is);
  return no_gradient("is_argmax", is, {x});
}

}  // namespace lamina
