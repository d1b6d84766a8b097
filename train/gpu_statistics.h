// Running statistics of batch normalisation on GPUs, of ranks that have each a share of every batch: what
// train/rank_sums.h says, in f32 and by kernels alone, so that it can be captured.
#pragma once

#include <vector>

#include "core/gpu_sums.h"
#include "layers/batch_norm.h"

namespace lamina::train {

class GpuStatistics {
 public:
  // Both must outlive it.
  GpuStatistics(const std::vector<BatchNormLayer*>& layers, Collective& ranks, GpuSums& sums, Device device);

  void begin();    // before a batch's first part
  void combine();  // after its last one. A layer's count of passes stays that of its own rank.

 private:
  struct Moving {
    Tensor values;       // a layer's means, or variances
    std::int64_t first;  // place of them among all
  };
  Tensor passes() const;                              // f32 [layers], how many there have been
  Tensor kept(const Tensor& passes_of_layers) const;  // (1 - m)ⁿ, for each of all statistics

  Collective& ranks_;
  GpuSums& sums_;
  std::vector<Tensor> counts_;  // i32 [] of each layer
  std::vector<Moving> moving_;
  Tensor layers_;    // i32 [all statistics]: whose they are
  Tensor log_kept_;  // f32 [layers]: log(1 - m)
  Tensor before_;    // f32 [all statistics]
  Tensor passes_before_;
};

}  // namespace lamina::train
