// What a training step computes. On a GPU it is recorded and replayed (core/recorded.h), and runs ahead of
// the host, which learns of its results when it asks for them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/checkpoint.h"
#include "core/recorded.h"
#include "data/loader.h"
#include "layers/module.h"
#include "optim/optimizer.h"

namespace lamina {

// Forward and backward of one part of a batch. The loss is the sum over the part's samples divided by the
// size of the whole batch, so that the gradients of all parts add up to that of the mean loss of the unsplit
// batch (up to batch normalisation, which sees each part for itself). Adds to `sums` [2]: the losses of the
// samples, and how many were classified rightly.
void accumulate_gradients(Module& net, const data::Batch& part, double label_smoothing, Tensor& sums);

struct StepResult {
  Metrics metrics;
  StepReport report;
};

struct StepResults {
  std::vector<StepResult> steps;  // that were taken, the oldest first
  std::string failure;            // why the one after them was not, nor any later; empty: all were
};

struct TrainingStepOptions {
  double label_smoothing = 0;
  bool record = true;
  // Called when the gradients of a part have been handed to the device; steps are then not recorded.
  std::function<void(const data::Batch&)> after_part = {};
};

class TrainingStep {
 public:
  // Both must outlive it. The optimizer's gradients are zero.
  TrainingStep(Module& net, Optimizer& optimizer, TrainingStepOptions options = {});

  // The part's gradients; after the last part of a batch the optimizer's step, and gradients of zero. If the
  // loss, a gradient or a trust ratio is not finite the step is not taken, nor any after it; results() tells.
  void run(const data::Batch& part);

  std::int64_t unread() const { return std::ssize(samples_); }  // steps since the last results()
  static constexpr std::int64_t most_unread = Optimizer::reports_kept;
  StepResults results();  // waits for the device

 private:
  struct PartWork {
    std::int64_t batch_size = 0;  // a number that is recorded with the rest
    std::optional<Recorded> work;
  };
  Recorded& work_for(const data::Batch& part);
  void compute(const data::Batch& part);
  void apply_checked();
  void finish_step(const data::Batch& part);

  Module& net_;
  Optimizer& optimizer_;
  TrainingStepOptions options_;
  PartWork last_, other_;  // for parts that complete a batch, and those before them
  Tensor sums_;            // f32 [2], of the batch so far
  Tensor unread_sums_;     // f32 [most_unread, 2], of the steps since the last results()
  std::vector<std::int64_t> samples_;
  std::string failure_;
};

}  // namespace lamina
