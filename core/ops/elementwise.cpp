#include "core/ops/elementwise.h"

#include "core/autograd.h"
#include "core/backend.h"
#include "core/ops/check_ops.h"
#include "core/ops/reduce.h"

namespace lamina {
namespace {

Tensor binary_value(const math::Binary& function, const char* name, const Tensor& a, const Tensor& b) {
  check_alike(name, a, b);
  Tensor out = Tensor::empty(broadcast(a.shape(), b.shape(), name), a.options());
  backend_for(a.device()).binary(function, a, b, out);
  return out;
}

// grad * ddf(saved). Its own gradient would be a third derivative.
Tensor unary_grad_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad) {
  Tensor out = Tensor::empty_like(saved);
  backend_for(saved.device()).unary_grad_grad(function, saved, grad, out);
  return no_gradient("unary_grad_grad", out, {saved, grad});
}

// grad * df(saved), differentiable in both.
Tensor unary_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad) {
  Tensor out = Tensor::empty_like(saved);
  backend_for(saved.device()).unary_grad(function, saved, grad, out);
  return record("unary_grad", out, {saved, grad}, [=](const Tensor& grad_out, Grads& grads) {
    if (grads.wanted(0)) grads.set(0, unary_grad_grad(function, saved, mul(grad_out, grad)));
    if (grads.wanted(1)) grads.set(1, unary_grad(function, saved, grad_out));
  });
}

Tensor unary(const math::Unary& function, const Tensor& x) {
  const char* name = std::visit([](const auto& f) { return f.name; }, function);
  check_floating(name, "the operand", x);
  Tensor y = Tensor::empty_like(x);
  backend_for(x.device()).unary(function, x, y);
  const bool from_output = std::visit([](const auto& f) { return f.from_output; }, function);
  const Tensor saved = from_output ? y : x;
  return record(name, y, {x}, [=](const Tensor& grad, Grads& grads) {
    grads.set(0, unary_grad(function, from_output ? grads.attach_output(saved) : saved, grad));
  });
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  return record("add", binary_value(math::Add{}, "add", a, b), {a, b},
                [sa = a.shape(), sb = b.shape()](const Tensor& grad, Grads& grads) {
                  if (grads.wanted(0)) grads.set(0, sum_to(grad, sa));
                  if (grads.wanted(1)) grads.set(1, sum_to(grad, sb));
                });
}

Tensor sub(const Tensor& a, const Tensor& b) {
  return record("sub", binary_value(math::Sub{}, "sub", a, b), {a, b},
                [sa = a.shape(), sb = b.shape()](const Tensor& grad, Grads& grads) {
                  if (grads.wanted(0)) grads.set(0, sum_to(grad, sa));
                  if (grads.wanted(1)) grads.set(1, -sum_to(grad, sb));
                });
}

Tensor mul(const Tensor& a, const Tensor& b) {
  return record("mul", binary_value(math::Mul{}, "mul", a, b), {a, b}, [=](const Tensor& grad, Grads& grads) {
    if (grads.wanted(0)) grads.set(0, sum_to(grad * b, a.shape()));
    if (grads.wanted(1)) grads.set(1, sum_to(grad * a, b.shape()));
  });
}

Tensor div(const Tensor& a, const Tensor& b) {
  return record("div", binary_value(math::Div{}, "div", a, b), {a, b}, [=](const Tensor& grad, Grads& grads) {
    if (grads.wanted(0)) grads.set(0, sum_to(grad / b, a.shape()));
    if (grads.wanted(1)) grads.set(1, -sum_to(grad * a / square(b), b.shape()));
  });
}

Tensor affine(const Tensor& x, double scale, double shift) { return unary(math::Affine{scale, shift}, x); }
Tensor relu(const Tensor& x) { return unary(math::Relu{}, x); }
Tensor sigmoid(const Tensor& x) { return unary(math::Sigmoid{}, x); }
Tensor tanh(const Tensor& x) { return unary(math::Tanh{}, x); }
Tensor silu(const Tensor& x) { return unary(math::Silu{}, x); }
Tensor gelu(const Tensor& x) { return unary(math::Gelu{}, x); }
Tensor exp(const Tensor& x) { return unary(math::Exp{}, x); }
Tensor log(const Tensor& x) { return unary(math::Log{}, x); }
Tensor sqrt(const Tensor& x) { return unary(math::Sqrt{}, x); }
Tensor square(const Tensor& x) { return unary(math::Square{}, x); }
Tensor reciprocal(const Tensor& x) { return unary(math::Reciprocal{}, x); }

Tensor cast(const Tensor& x, DType dtype) {
  check_defined("cast", "the operand", x);
  if (dtype == x.dtype()) return x;
  Tensor out = Tensor::empty(x.shape(), {dtype, x.device()});
  backend_for(x.device()).cast(x, out);
  if (!is_floating(dtype) || !is_floating(x.dtype())) return no_gradient("cast", out, {x});
  return record("cast", out, {x}, [from = x.dtype()](const Tensor& grad, Grads& grads) {
    grads.set(0, grad.dtype() == DType::bf16 && grads.widens(0) ? grad : cast(grad, from));
  });
}

}  // namespace lamina
