#include "layers/batch_norm2d.h"

#include "core/ops/batch_norm.h"

namespace lamina {

BatchNorm2d::BatchNorm2d(int channels, const BatchNorm2dLayerOptions& options) : options_(options) {
  check(channels > 0, "BatchNorm2d: {} channels: must be positive", channels);
  const Shape shape{channels};
  weight_ = add_param("weight", ParamKind::norm, Tensor::full(shape, 1, options.tensor));
  bias_ = add_param("bias", ParamKind::norm, Tensor::zeros(shape, options.tensor));
  running_mean_ = add_param("running_mean", ParamKind::buffer, Tensor::zeros(shape, options.tensor));
  running_var_ = add_param("running_var", ParamKind::buffer, Tensor::full(shape, 1, options.tensor));
  num_batches_tracked_ = add_param("num_batches_tracked", ParamKind::buffer,
                                   Tensor::zeros({}, {DType::i32, options.tensor.device}));
}

std::string BatchNorm2d::kind() const { return fmt::format("BatchNorm2d {}", weight_->value.elements()); }

Tensor BatchNorm2d::normalise(const Tensor& x, const Tensor& residual, bool relu) {
  return run(x, [&] { return compute(x, residual, relu); });
}

Tensor BatchNorm2d::forward(const Tensor& x) { return compute(x, {}, false); }

BatchNormParams BatchNorm2d::params() const {
  return {weight_->value, bias_->value, running_mean_->value, running_var_->value,
          num_batches_tracked_->value};
}

Tensor BatchNorm2d::compute(const Tensor& x, const Tensor& residual, bool relu) {
  return batch_norm(
      x, params(), {.training = training(), .relu = relu, .momentum = options_.momentum, .eps = options_.eps},
      residual);
}

void BatchNorm2d::zero_weight() { weight_->value.fill(0); }

}  // namespace lamina
