#include "layers/batch_norm.h"

#include "core/ops/batch_norm.h"

namespace lamina {

BatchNormLayer::BatchNormLayer(const char* name, int channels, const BatchNormLayerOptions& options)
    : name_(name), options_(options) {
  check(channels > 0, "{}: {} channels: must be positive", name, channels);
  const Shape shape{channels};
  if (options.affine) {
    weight_ = add_param("weight", ParamKind::norm, Tensor::full(shape, 1, options.tensor));
    bias_ = add_param("bias", ParamKind::norm, Tensor::zeros(shape, options.tensor));
  } else {
    one_ = Tensor::full(shape, 1, options.tensor);
    zero_ = Tensor::zeros(shape, options.tensor);
  }
  running_mean_ = add_param("running_mean", ParamKind::buffer, Tensor::zeros(shape, options.tensor));
  running_var_ = add_param("running_var", ParamKind::buffer, Tensor::full(shape, 1, options.tensor));
  num_batches_tracked_ = add_param("num_batches_tracked", ParamKind::buffer,
                                   Tensor::zeros({}, {DType::i32, options.tensor.device}));
}

std::string BatchNormLayer::kind() const {
  return fmt::format("{} {}", name_, running_mean_->value.elements());
}

Tensor BatchNormLayer::normalise(const Tensor& x, const AfterBatchNorm& then) {
  return run(x, [&] { return compute(x, then); });
}

Tensor BatchNormLayer::forward(const Tensor& x) { return compute(x, {}); }

BatchNormParams BatchNormLayer::params() const {
  return {weight_ ? weight_->value : one_, bias_ ? bias_->value : zero_, running_mean_->value,
          running_var_->value, num_batches_tracked_->value};
}

Tensor BatchNormLayer::compute(const Tensor& x, const AfterBatchNorm& then) {
  return batch_norm(x, params(),
                    {.training = training(),
                     .relu = then.relu,
                     .momentum = options_.momentum,
                     .eps = options_.eps,
                     .residual_is_kept = then.residual_is_kept,
                     .sum_over_ranks = sum_over_ranks_},
                    then.residual);
}

void BatchNormLayer::zero_weight() {
  check(weight_ != nullptr, "{} \"{}\": has no weight to be zeroed, as affine is false", name_, path());
  weight_->value.fill(0);
}

BatchNorm2d::BatchNorm2d(int channels, const BatchNormLayerOptions& options)
    : BatchNormLayer("BatchNorm2d", channels, options) {}

BatchNorm1d::BatchNorm1d(int channels, const BatchNormLayerOptions& options)
    : BatchNormLayer("BatchNorm1d", channels, options) {}

Tensor BatchNorm1d::forward(const Tensor& x) {
  check(x.rank() == 2 || x.rank() == 3, "BatchNorm1d: x {}: expected [N, C] or [N, L, C]", x.str());
  return BatchNormLayer::forward(x);
}

}  // namespace lamina
