// Batch normalisation layers (Ioffe & Szegedy 2015), per channel: the last axis.
#pragma once

#include <functional>
#include <span>
#include <utility>

#include "core/backend.h"
#include "layers/module.h"

namespace lamina {

struct BatchNormLayerOptions {
  double momentum = 0.1;      // weight of the new batch in the running statistics
  double eps = 1e-5;          // added to the variance
  bool affine = true;         // false: no weight and bias, as if they were 1 and 0
  TensorOptions tensor = {};  // of the parameters and statistics
};
using BatchNorm1dLayerOptions = BatchNormLayerOptions;
using BatchNorm2dLayerOptions = BatchNormLayerOptions;

struct AfterBatchNorm {
  Tensor residual = {};           // shaped like x
  bool residual_is_kept = false;  // by others, for their gradients: BatchNormOptions::residual_is_kept
  bool relu = false;
};

// weight = 1, bias = 0; buffers running_mean = 0, running_var = 1 and num_batches_tracked = 0, which counts
// the training passes (i32 on the layer's device; PyTorch's files have it). A training pass needs at least 2
// values a channel.
class BatchNormLayer : public Module {
 public:
  std::string kind() const override;

  // relu?(batch_norm(x) + residual?) in one kernel.
  Tensor normalise(const Tensor& x, const AfterBatchNorm& then);

  double momentum() const { return options_.momentum; }
  // The layer's own tensors; ones and zeros in place of a weight and bias that it does not have.
  BatchNormParams params() const;

  // From now on statistics in training are those of what all ranks have of a batch: `sum` adds numbers up
  // over them (BatchNormOptions::sum_over_ranks). Empty: of one's own again.
  void synchronise(std::function<void(std::span<double>)> sum) { sum_over_ranks_ = std::move(sum); }

  // The layer then outputs its bias: a residual block starts as the identity. Throws Error without a weight.
  void zero_weight();

 protected:
  BatchNormLayer(const char* name, int channels, const BatchNormLayerOptions& options);
  Tensor forward(const Tensor& x) override;

 private:
  Tensor compute(const Tensor& x, const AfterBatchNorm& then);

  const char* name_;
  BatchNormLayerOptions options_;
  Tensor one_, zero_;                     // in place of weight and bias where there are none
  std::shared_ptr<Param> weight_, bias_;  // null without
  std::shared_ptr<Param> running_mean_, running_var_, num_batches_tracked_;
  std::function<void(std::span<double>)> sum_over_ranks_;
};

class BatchNorm2d final : public BatchNormLayer {  // of images [N, H, W, C]
 public:
  explicit BatchNorm2d(int channels, const BatchNormLayerOptions& options = {});
};

class BatchNorm1d final : public BatchNormLayer {  // of vectors [N, C] or sequences [N, L, C]
 public:
  explicit BatchNorm1d(int channels, const BatchNormLayerOptions& options = {});

 private:
  Tensor forward(const Tensor& x) override;  // throws Error for other ranks
};

}  // namespace lamina
