#include "layers/conv2d.h"

#include <limits>

#include "core/ops/conv.h"
#include "layers/master_weights.h"

namespace lamina {

Conv2d::Conv2d(int in, int out, int kernel, const Conv2dLayerOptions& options)
    : kernel_(kernel), options_(options) {
  check(in > 0 && out > 0 && kernel > 0,
        "Conv2d: {} -> {} channels with a kernel of {}: all must be positive", in, out, kernel);
  check(options.groups > 0 && in % options.groups == 0 && out % options.groups == 0,
        "Conv2d: {} -> {} channels in {} groups: both must be multiples of it", in, out, options.groups);
  constexpr double unset = std::numeric_limits<double>::quiet_NaN();
  weight_ = add_param("weight", ParamKind::weight,
                      Tensor::full({out, kernel, kernel, in / options.groups}, unset, options.tensor));
  if (options.bias) bias_ = add_param("bias", ParamKind::bias, Tensor::full({out}, unset, options.tensor));
}

std::string Conv2d::kind() const {
  const Shape& weight = weight_->value.shape();
  std::string text =
      fmt::format("Conv2d {} -> {}, {}x{}", weight.back() * options_.groups, weight[0], kernel_, kernel_);
  if (options_.stride != 1) text += fmt::format(" / {}", options_.stride);
  if (options_.groups != 1) text += fmt::format(", {} groups", options_.groups);
  if (options_.dilation != 1) text += fmt::format(", dilation {}", options_.dilation);
  return text;
}

// One multiply-add per output element and weight of its filter.
std::int64_t Conv2d::multiply_adds(const Shape&, const Shape& y) const {
  return y.elements() * weight_->value.shape().elements(1, 4);
}

Tensor Conv2d::forward(const Tensor& x) {
  const Tensor y = conv2d(x, as_used_with(x, weight_->value),
                          {.stride = options_.stride,
                           .padding = options_.padding,
                           .groups = options_.groups,
                           .dilation = options_.dilation});
  return bias_ ? y + as_used_with(x, bias_->value) : y;
}

}  // namespace lamina
