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
  return record("unary_grad", out, {saved, grad},
                [function, saved = Saved(saved), grad = Saved(grad)](const Tensor& grad_out, Grads& grads) {
                  const Tensor& s = grads.get(saved);
                  if (grads.wanted(0))
                    grads.set(0, unary_grad_grad(function, s, mul(grad_out, grads.get(grad))));
                  if (grads.wanted(1)) grads.set(1, unary_grad(function, s, grad_out));
                });
}

Tensor unary_value(const math::Unary& function, const char* name, const Tensor& x) {
  check_floating(name, "the operand", x);
  Tensor y = Tensor::empty_like(x);
  backend_for(x.device()).unary(function, x, y);
  return y;
}

Tensor unary(const math::Unary& function, const Tensor& x) {
  const char* name = std::visit([](const auto& f) { return f.name; }, function);
  const Tensor y = unary_value(function, name, x);
  const bool from_output = std::visit([](const auto& f) { return f.from_output; }, function);
  return record(
      name, y, {x},
      [function, from_output, saved = Saved(from_output ? y : x)](const Tensor& grad, Grads& grads) {
        const Tensor s = from_output ? grads.attach_output(saved) : grads.get(saved);
        grads.set(0, unary_grad(function, s, grad));
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
  return record("mul", binary_value(math::Mul{}, "mul", a, b), {a, b},
                [a = saved_for(b, a), b = saved_for(a, b), sa = a.shape(), sb = b.shape()](const Tensor& grad,
                                                                                           Grads& grads) {
                  if (grads.wanted(0)) grads.set(0, sum_to(grad * grads.get(b), sa));
                  if (grads.wanted(1)) grads.set(1, sum_to(grad * grads.get(a), sb));
                });
}

Tensor div(const Tensor& a, const Tensor& b) {
  return record(
      "div", binary_value(math::Div{}, "div", a, b), {a, b},
      [a = saved_for(b, a), b = Saved(b), sa = a.shape(), sb = b.shape()](const Tensor& grad, Grads& grads) {
        const Tensor& divisor = grads.get(b);
        if (grads.wanted(0)) grads.set(0, sum_to(grad / divisor, sa));
        if (grads.wanted(1)) grads.set(1, -sum_to(grad * grads.get(a) / square(divisor), sb));
      });
}

// Of equals each one gets half of the gradient.
Tensor maximum(const Tensor& a, const Tensor& b) {
  return record(
      "maximum", binary_value(math::Maximum{}, "maximum", a, b), {a, b},
      [a = Saved(a), b = Saved(b), sa = a.shape(), sb = b.shape()](const Tensor& grad, Grads& grads) {
        const Tensor share =
            (greater(grads.get(a), grads.get(b)) + greater_equal(grads.get(a), grads.get(b))) / 2;
        if (grads.wanted(0)) grads.set(0, sum_to(grad * share, sa));
        if (grads.wanted(1)) grads.set(1, sum_to(grad * (1 - share), sb));
      });
}

Tensor minimum(const Tensor& a, const Tensor& b) {
  return record(
      "minimum", binary_value(math::Minimum{}, "minimum", a, b), {a, b},
      [a = Saved(a), b = Saved(b), sa = a.shape(), sb = b.shape()](const Tensor& grad, Grads& grads) {
        const Tensor share = (less(grads.get(a), grads.get(b)) + less_equal(grads.get(a), grads.get(b))) / 2;
        if (grads.wanted(0)) grads.set(0, sum_to(grad * share, sa));
        if (grads.wanted(1)) grads.set(1, sum_to(grad * (1 - share), sb));
      });
}

Tensor greater(const Tensor& a, const Tensor& b) { return binary_value(math::Greater{}, "greater", a, b); }
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return binary_value(math::GreaterEqual{}, "greater_equal", a, b);
}
Tensor less(const Tensor& a, const Tensor& b) { return binary_value(math::Less{}, "less", a, b); }
Tensor less_equal(const Tensor& a, const Tensor& b) {
  return binary_value(math::LessEqual{}, "less_equal", a, b);
}
Tensor equal(const Tensor& a, const Tensor& b) { return binary_value(math::Equal{}, "equal", a, b); }
Tensor not_equal(const Tensor& a, const Tensor& b) {
  return binary_value(math::NotEqual{}, "not_equal", a, b);
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check_alike("where", condition, a);
  check_alike("where", a, b);
  const Shape shape = broadcast(broadcast(a.shape(), b.shape(), "where"), condition.shape(), "where");
  Tensor out = Tensor::empty(shape, a.options());
  backend_for(a.device()).where(condition, a, b, out);
  return record(
      "where", out, {condition, a, b},
      [condition = Saved(condition), sa = a.shape(), sb = b.shape()](const Tensor& grad, Grads& grads) {
        const Tensor holds = grads.get(condition).detach();
        if (grads.wanted(1)) grads.set(1, sum_to(where(holds, grad, 0.0), sa));
        if (grads.wanted(2)) grads.set(2, sum_to(where(holds, 0.0, grad), sb));
      });
}

namespace {

// How a += b and the like end. In place, unless that is recorded.
Tensor& assign(const char* name, Tensor& a, const Tensor& result) {
  if (result.requires_grad()) {
    check(!a.requires_grad() || !a.node()->is_leaf(),
          "{}: {} is a leaf, which an op that is recorded cannot change; do it under NoGrad, or make a new "
          "tensor",
          name, a);
    return a = result;
  }
  check(result.shape() == a.shape(), "{}: {} cannot hold the result {}", name, a, result);
  a.copy_from(result);
  return a;
}

}  // namespace

Tensor& operator+=(Tensor& a, const Tensor& b) { return assign("+=", a, a + b); }
Tensor& operator-=(Tensor& a, const Tensor& b) { return assign("-=", a, a - b); }
Tensor& operator*=(Tensor& a, const Tensor& b) { return assign("*=", a, a * b); }
Tensor& operator/=(Tensor& a, const Tensor& b) { return assign("/=", a, a / b); }
Tensor& operator+=(Tensor& a, double b) { return assign("+=", a, a + b); }
Tensor& operator-=(Tensor& a, double b) { return assign("-=", a, a - b); }
Tensor& operator*=(Tensor& a, double b) { return assign("*=", a, a * b); }
Tensor& operator/=(Tensor& a, double b) { return assign("/=", a, a / b); }

Tensor affine(const Tensor& x, double scale, double shift) {
  return record("affine", unary_value(math::Affine{scale, shift}, "affine", x), {x},
                [scale](const Tensor& grad, Grads& grads) { grads.set(0, affine(grad, scale, 0)); });
}
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
Tensor abs(const Tensor& x) { return unary(math::Abs{}, x); }
Tensor sign(const Tensor& x) { return unary(math::Sign{}, x); }
Tensor sin(const Tensor& x) { return unary(math::Sin{}, x); }
Tensor cos(const Tensor& x) { return unary(math::Cos{}, x); }
Tensor pow(const Tensor& x, double exponent) { return unary(math::Pow{exponent}, x); }
Tensor clamp(const Tensor& x, double low, double high) {
  check(low <= high, "clamp: low {} is not below high {}", low, high);
  return unary(math::Clamp{low, high}, x);
}

namespace {

Tensor record_cast(const Tensor& x, const Tensor& out) {
  if (!is_floating(out.dtype()) || !is_floating(x.dtype())) return no_gradient("cast", out, {x});
  return record("cast", out, {x}, [from = x.dtype()](const Tensor& grad, Grads& grads) {
    grads.set(0, grad.dtype() == DType::bf16 && grads.widens(0) ? grad : cast(grad, from));
  });
}

}  // namespace

Tensor cast(const Tensor& x, DType dtype) {
  check_defined("cast", "the operand", x);
  if (dtype == x.dtype()) return x;
  Tensor out = Tensor::empty(x.shape(), {dtype, x.device()});
  backend_for(x.device()).cast(x, out);
  return record_cast(x, out);
}

std::vector<Tensor> cast_all(std::span<const Tensor> xs, DType dtype) {
  std::vector<Backend::Cast> casts;
  std::vector<Tensor> results;
  for (const Tensor& x : xs) {
    check_defined("cast_all", "an operand", x);
    check(x.device() == xs[0].device(), "cast_all: {} and {} are on two devices; move them to one", xs[0], x);
    results.push_back(dtype == x.dtype() ? x : Tensor::empty(x.shape(), {dtype, x.device()}));
    if (dtype != x.dtype()) casts.push_back({x, results.back()});
  }
  if (!casts.empty()) backend_for(xs[0].device()).cast_all(casts);
  for (std::size_t i = 0; i < xs.size(); ++i)
    if (dtype != xs[i].dtype()) results[i] = record_cast(xs[i], results[i]);
  return results;
}

}  // namespace lamina
