#include "layers/layer_norm.h"

#include "core/base/error.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace lamina {

LayerNorm::LayerNorm(int features, const LayerNormLayerOptions& options)
    : features_(features), options_(options) {
  check(features > 0, "LayerNorm: {} features: must be positive", features);
  check(options.eps > 0, "LayerNorm: eps {} must be positive", options.eps);
  if (!options.affine) return;
  weight_ = add_param("weight", ParamKind::norm, Tensor::full({features}, 1, options.tensor));
  bias_ = add_param("bias", ParamKind::norm, Tensor::zeros({features}, options.tensor));
}

std::string LayerNorm::kind() const { return fmt::format("LayerNorm {}", features_); }

Tensor LayerNorm::forward(const Tensor& x) {
  check(x.rank() >= 1 && x.size(-1) == features_, "LayerNorm: x {}: expected [..., {}]", x.str(), features_);
  const Tensor h = x.dtype() == DType::bf16 ? cast(x, DType::f32) : x;
  const Tensor centered = h - mean(h, -1, {.keep = true});
  const Tensor variance = mean(square(centered), -1, {.keep = true});
  const Tensor y = centered * reciprocal(sqrt(variance + options_.eps));
  return cast(weight_ ? y * weight_->value + bias_->value : y, x.dtype());
}

}  // namespace lamina
