// Batch normalisation layer (Ioffe & Szegedy 2015), per channel over [N, H, W, C].
#pragma once

#include "core/backend.h"
#include "layers/module.h"

namespace lamina {

struct BatchNorm2dLayerOptions {
  double momentum = 0.1;      // weight of the new batch in the running statistics
  double eps = 1e-5;          // added to the variance
  TensorOptions tensor = {};  // of the parameters and statistics
};

// weight = 1, bias = 0; buffers running_mean = 0, running_var = 1 and num_batches_tracked = 0, which counts
// the training passes (i32 on the layer's device; PyTorch's files have it).
class BatchNorm2d final : public Module {
 public:
  explicit BatchNorm2d(int channels, const BatchNorm2dLayerOptions& options = {});
  std::string kind() const override;

  // relu?(batch_norm(x) + residual?) in one kernel; `residual` undefined or shaped like x.
  Tensor normalise(const Tensor& x, const Tensor& residual, bool relu);

  void zero_weight();  // the layer then outputs its bias: a residual block starts as the identity

 private:
  Tensor forward(const Tensor& x) override;
  BatchNormParams params() const;
  Tensor compute(const Tensor& x, const Tensor& residual, bool relu);

  BatchNorm2dLayerOptions options_;
  std::shared_ptr<Param> weight_, bias_, running_mean_, running_var_, num_batches_tracked_;
};

}  // namespace lamina
