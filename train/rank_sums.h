// Data parallel training: each rank (core/parallel/collective.h) computes its share of every batch
// (data::LoaderOptions::share), and after the last part all of them add up what they have, so that each takes
// the same step, that of the whole batch, on the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/parallel/collective.h"
#include "layers/batch_norm.h"
#include "optim/arena.h"
#include "train/gpu_statistics.h"
#include "train/gradient_buckets.h"
#include "train/two_pass.h"

namespace lamina::train {

class RankSums {
 public:
  // All must outlive it. As long as it lives a TwoPassObjective compares the samples of all ranks, and with
  // sync_batch_norm batch normalisations have the statistics of all ranks' parts: both on the CPU alone, else
  // UsageError. Throws what connect_gpus() does for parameters on a GPU.
  RankSums(Collective& ranks, Objective& objective, const Arena& arena, bool sync_batch_norm = false);
  ~RankSums();
  RankSums(const RankSums&) = delete;
  RankSums& operator=(const RankSums&) = delete;

  // Before a batch's first part.
  void begin();

  // For a LeafWatch during the backward pass of its last part: sums gradients while the pass goes on with
  // others. Without it add_up() sums them all.
  std::function<void(const Node&)> sum_when_complete() { return buckets_.sum_when_complete(); }

  // Between: gradients alone become those of all ranks' parts so far.
  void add_up_gradients();

  // After its last one: gradients and `sums` become those of the whole batch, and running statistics what the
  // parts of all ranks, one after another in their order, would have made of those at the beginning.
  void add_up(const Tensor& sums);

 private:
  // Of n passes with batch statistics s₁ … sₙ come running statistics r = (1 - m)ⁿ r₀ + Σᵢ m (1 - m)ⁿ⁻ⁱ sᵢ. A
  // rank has its own passes' part of the sum, r - (1 - m)ⁿ r₀, to which those of later ranks add as many
  // factors 1 - m as they have passes.
  struct Statistics {
    double momentum;                               // m
    Tensor passes;                                 // i32 []: how many there have been
    std::vector<Tensor> moving;                    // r, of means and of variances
    std::int32_t passes_before = 0;                // the batch
    std::vector<std::vector<double>> before = {};  // r₀ of each
  };
  void connect_gpu(Objective& objective);
  void share_statistics(const std::vector<BatchNormLayer*>& layers);
  void add_over_ranks(const Tensor& values);
  void combine_statistics();

  Collective& ranks_;
  const Arena& arena_;
  GradientBuckets buckets_;                        // on the CPU
  std::unique_ptr<GpuSums> gpu_;                   // null: on the CPU
  std::unique_ptr<GpuStatistics> gpu_statistics_;  // in place of statistics_
  std::vector<Statistics> statistics_;             // of every batch normalisation that has its own
  TwoPassObjective* two_pass_;                     // null: the loss is a sum over samples
  std::vector<BatchNormLayer*> synchronised_;      // the others, whose statistics are the same on all ranks
  bool sync_batch_norm_;
};

}  // namespace lamina::train
