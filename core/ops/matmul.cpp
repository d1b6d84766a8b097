#include "core/ops/matmul.h"

#include "core/autograd.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace lamina {
namespace {

// Of matrices, or of as many matrices each [count, ·, ·], which are multiplied pair by pair.
Tensor multiply(const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const bool single = a.rank() == 2;
  const std::int64_t m = a.size(o.transpose_a ? -1 : -2), n = b.size(o.transpose_b ? -2 : -1);
  Tensor out = Tensor::empty(single ? Shape{m, n} : Shape{a.size(0), m, n}, a.options());
  Backend& backend = backend_for(a.device());
  if (single) {
    backend.matmul(a, b, o, out);
  } else {
    const Tensor left = a.detach(), right = b.detach();
    for (std::int64_t i = 0; i < a.size(0); ++i) {
      Tensor product = out[i];
      backend.matmul(left[i], right[i], o, product);
    }
  }
  // With C = A B: dA = dC Bᵀ and dB = Aᵀ dC; a transposed operand takes the transpose of that.
  return record(
      "matmul", out, {a, b}, [a = saved_for(b, a), b = saved_for(a, b), o](const Tensor& grad, Grads& grads) {
        if (grads.wanted(0)) {
          const Tensor& right = grads.get(b);
          grads.set(0, o.transpose_a
                           ? multiply(right, grad, {.transpose_a = o.transpose_b, .transpose_b = true})
                           : multiply(grad, right, {.transpose_b = !o.transpose_b}));
        }
        if (grads.wanted(1)) {
          const Tensor& left = grads.get(a);
          grads.set(1, o.transpose_b
                           ? multiply(grad, left, {.transpose_a = true, .transpose_b = o.transpose_a})
                           : multiply(left, grad, {.transpose_a = !o.transpose_a}));
        }
      });
}

// The axes before the last two.
Shape batch_of(const Tensor& x) { return {x.shape().begin(), x.shape().end() - 2}; }

Shape with_matrix(Shape batch, std::int64_t rows, std::int64_t columns) {
  batch.append(rows);
  batch.append(columns);
  return batch;
}

// x, repeated along `batch`, as [count, rows, columns].
Tensor as_batch(const Tensor& x, const Shape& batch) {
  const std::int64_t rows = x.size(-2), columns = x.size(-1);
  return broadcast_to(x, with_matrix(batch, rows, columns)).view({batch.elements(), rows, columns});
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  check_alike("matmul", a, b);
  check(a.rank() >= 2 && b.rank() >= 2, "matmul: {} and {} are not both matrices, or batches of them", a, b);
  const std::int64_t inner_a = a.size(o.transpose_a ? -2 : -1), inner_b = b.size(o.transpose_b ? -1 : -2);
  check(inner_a == inner_b, "matmul: inner dimensions {} and {} differ: {}{} times {}{}", inner_a, inner_b, a,
        o.transpose_a ? " transposed" : "", b, o.transpose_b ? " transposed" : "");
  if (a.rank() == 2 && b.rank() == 2) return multiply(a, b, o);
  if (b.rank() == 2 && !o.transpose_a) {  // one product of all rows of a
    const Tensor rows = multiply(a.view({a.shape().elements(0, a.rank() - 1), inner_a}), b, o);
    return rows.view(with_matrix(batch_of(a), a.size(-2), rows.size(1)));
  }
  const Shape batch = broadcast(batch_of(a), batch_of(b), "matmul");
  const Tensor product = multiply(as_batch(a, batch), as_batch(b, batch), o);
  return product.view(with_matrix(batch, product.size(1), product.size(2)));
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_alike("linear", x, weight);
  check(x.rank() >= 2 && weight.rank() == 2 && x.size(-1) == weight.size(1),
        "linear: x {} does not fit weight {}; expected x [N, …, in], weight [out, in]", x, weight);
  check(!bias.defined() || bias.shape() == Shape{weight.size(0)},
        "linear: bias {} does not fit weight {}; expected [out]", bias, weight);
  if (x.rank() > 2) {
    Shape shape = x.shape();
    shape[x.rank() - 1] = weight.size(0);
    const std::int64_t rows = x.shape().elements(0, x.rank() - 1);
    return linear(x.view({rows, x.size(-1)}), weight, bias).view(shape);
  }
  const Tensor y = matmul(x, weight, {.transpose_b = true});
  return bias.defined() ? add(y, bias) : y;
}

}  // namespace lamina
