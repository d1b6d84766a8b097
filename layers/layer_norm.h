// Layer normalisation (Ba, Kiros & Hinton 2016): each sample over its last axis.
#pragma once

#include "layers/module.h"

namespace lamina {

struct LayerNormLayerOptions {
  double eps = 1e-5;          // added to the variance
  bool affine = true;         // false: no weight and bias
  TensorOptions tensor = {};  // of the parameters
};

// y = (x - mean) / sqrt(var + eps) * weight + bias, x [..., features]; var is the mean of squares, not the
// unbiased estimate. weight = 1, bias = 0. bf16 is computed in f32.
class LayerNorm final : public Module {
 public:
  explicit LayerNorm(int features, const LayerNormLayerOptions& options = {});
  std::string kind() const override;

 private:
  Tensor forward(const Tensor& x) override;

  int features_;
  LayerNormLayerOptions options_;
  std::shared_ptr<Param> weight_, bias_;  // null without
};

}  // namespace lamina
