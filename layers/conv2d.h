// 2-D convolution layer: x [N, H, W, in] -> [N, H', W', out] (core/ops/conv.h).
#pragma once

#include "layers/module.h"

namespace lamina {

struct Conv2dLayerOptions {
  int stride = 1;
  int padding = 0;
  int groups = 1;    // each sees its share of the input channels and makes its share of the output's
  int dilation = 1;  // between the kernel's taps
  bool bias = false;
  TensorOptions tensor = {};  // of the parameters
};

// weight [out, kernel, kernel, in / groups], bias [out]. Their values are NaN until initialise() or
// load_weights() sets them, so that a forgotten call cannot pass for training.
class Conv2d final : public Module {
 public:
  Conv2d(int in, int out, int kernel, const Conv2dLayerOptions& options = {});
  std::string kind() const override;
  std::int64_t multiply_adds(const Shape& x, const Shape& y) const override;

 private:
  Tensor forward(const Tensor& x) override;

  int kernel_;
  Conv2dLayerOptions options_;
  std::shared_ptr<Param> weight_, bias_;
};

}  // namespace lamina
