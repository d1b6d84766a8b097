#include "layers/conv2d.h"

#include <limits>

#include "core/ops/conv.h"
#include "layers/master_weights.h"

namespace lamina {

Conv2d::Conv2d(int in, int out, int kernel, const Conv2dLayerOptions& options)
    : kernel_(kernel), options_(options) {
  check(in > 0 && out > 0 && kernel > 0,
        "Conv2d: {} -> {} channels with a kernel of {}: all must be positive", in, out, kernel);
  constexpr double unset = std::numeric_limits<double>::quiet_NaN();
  weight_ =
      add_param("weight", ParamKind::weight, Tensor::full({out, kernel, kernel, in}, unset, options.tensor));
  if (options.bias) bias_ = add_param("bias", ParamKind::bias, Tensor::full({out}, unset, options.tensor));
}

std::string Conv2d::kind() const {
  const Shape& weight = weight_->value.shape();
  return fmt::format("Conv2d {} -> {}, {}x{}{}", weight.back(), weight[0], kernel_, kernel_,
                     options_.stride == 1 ? "" : fmt::format(" / {}", options_.stride));
}

// One multiply-add per output element and weight of its filter.
std::int64_t Conv2d::multiply_adds(const Shape&, const Shape& y) const {
  return y.elements() * weight_->value.shape().elements(1, 4);
}

Tensor Conv2d::forward(const Tensor& x) {
  const Tensor y =
      conv2d(x, as_used_with(x, weight_->value), {.stride = options_.stride, .padding = options_.padding});
  return bias_ ? y + as_used_with(x, bias_->value) : y;
}

}  // namespace lamina
