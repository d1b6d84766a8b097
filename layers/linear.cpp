#include "layers/linear.h"

#include <limits>

#include "core/ops/matmul.h"
#include "layers/master_weights.h"

namespace lamina {

Linear::Linear(int in, int out, const LinearLayerOptions& options) {
  check(in > 0 && out > 0, "Linear: {} -> {} features: both must be positive", in, out);
  constexpr double unset = std::numeric_limits<double>::quiet_NaN();
  weight_ = add_param("weight", ParamKind::weight, Tensor::full({out, in}, unset, options.tensor));
  if (options.bias) bias_ = add_param("bias", ParamKind::bias, Tensor::full({out}, unset, options.tensor));
}

std::string Linear::kind() const {
  const Shape& weight = weight_->value.shape();
  return fmt::format("Linear {} -> {}", weight[1], weight[0]);
}

std::int64_t Linear::multiply_adds(const Shape&, const Shape& y) const {
  return y.elements() * weight_->value.size(1);
}

Tensor Linear::forward(const Tensor& x) {
  return linear(x, as_used_with(x, weight_->value), bias_ ? as_used_with(x, bias_->value) : Tensor{});
}

}  // namespace lamina
