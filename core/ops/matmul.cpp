#include "core/ops/matmul.h"

#include "core/autograd.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"

namespace lamina {

Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  check_alike("matmul", a, b);
  check(a.rank() == 2 && b.rank() == 2, "matmul: {} and {} are not both matrices", a.str(), b.str());
  const std::int64_t m = a.size(o.transpose_a ? 1 : 0), inner_a = a.size(o.transpose_a ? 0 : 1);
  const std::int64_t n = b.size(o.transpose_b ? 0 : 1), inner_b = b.size(o.transpose_b ? 1 : 0);
  check(inner_a == inner_b, "matmul: inner dimensions {} and {} differ: {}{} times {}{}", inner_a, inner_b,
        a.str(), o.transpose_a ? " transposed" : "", b.str(), o.transpose_b ? " transposed" : "");
  Tensor out = Tensor::empty({m, n}, a.options());
  backend_for(a.device()).matmul(a, b, o, out);
  // With C = A B: dA = dC Bᵀ and dB = Aᵀ dC; a transposed operand takes the transpose of that.
  return record("matmul", out, {a, b}, [=](const Tensor& grad, Grads& grads) {
    if (grads.wanted(0)) {
      grads.set(0, o.transpose_a ? matmul(b, grad, {.transpose_a = o.transpose_b, .transpose_b = true})
                                 : matmul(grad, b, {.transpose_b = !o.transpose_b}));
    }
    if (grads.wanted(1)) {
      grads.set(1, o.transpose_b ? matmul(grad, a, {.transpose_a = true, .transpose_b = o.transpose_a})
                                 : matmul(a, grad, {.transpose_a = !o.transpose_a}));
    }
  });
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_alike("linear", x, weight);
  check(x.rank() == 2 && weight.rank() == 2 && x.size(1) == weight.size(1),
        "linear: x {} does not fit weight {}; expected x [N, in], weight [out, in]", x.str(), weight.str());
  Tensor y = matmul(x, weight, {.transpose_b = true});
  if (!bias.defined()) return y;
  check(bias.shape() == Shape{weight.size(0)}, "linear: bias {} does not fit weight {}; expected [out]",
        bias.str(), weight.str());
  return add(y, bias);
}

}  // namespace lamina
