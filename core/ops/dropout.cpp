#include "core/ops/dropout.h"

#include <vector>

#include "core/backend.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"
#include "core/random.h"

namespace lamina {

Tensor dropout(const Tensor& x, double p, const Tensor& draw, std::uint64_t seed) {
  check_floating("dropout", "x", x);
  check(p >= 0 && p <= 1, "dropout: p {} is not a probability; expected 0 to 1", p);
  check(draw.defined() && draw.dtype() == DType::i32 && draw.elements() == 1 && draw.device() == x.device(),
        "dropout: draw {} must be one i32 on the device of x {}", draw, x);
  Tensor mask = Tensor::empty_like(x);
  backend_for(x.device()).dropout_mask(draw, seed, 1 - p, mask);
  draw.bump_version();
  return mul(x, mask);
}

Tensor dropout(const Tensor& x, double p) {
  check_floating("dropout", "x", x);
  const std::vector<std::int32_t> draw{static_cast<std::int32_t>(next_draw())};
  return dropout(x, p, Tensor::from(draw, {}, x.device()), lamina::seed());
}

}  // namespace lamina
