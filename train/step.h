// What a training step computes. On a GPU it is captured and replayed (core/captured.h), and runs ahead of
// the host, which learns of its results when it asks for them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/captured.h"
#include "data/loader.h"
#include "optim/optimizer.h"
#include "train/objective.h"
#include "train/rank_sums.h"
#include "train/sharpness_aware.h"

namespace lamina::train {

struct StepResult {
  Metrics metrics;
  StepReport report;
};

struct StepResults {
  std::vector<StepResult> steps;  // that were taken, the oldest first
  std::string failure;            // why the one after them was not, nor any later; empty: all were
};

struct TrainingStepOptions {
  bool capture = true;
  // Its m is the loader's (loader_for()): here each part has an ε of its own, unless the loader has two
  // passes.
  std::optional<SamOptions> sharpness_aware = {};
  // Those that have the other shares of the loader's batches; null: the batches are whole. A perturbation is
  // that of the batch, unless parts of m samples have their own.
  Collective* ranks = nullptr;
  // With ranks, on the CPU: whether they sum gradients while the backward pass goes on with others. Unset:
  // where that waits for a network (Collective::sums_wait_for_network()). The same on all of them.
  std::optional<bool> sums_beside_backward = {};
  bool sync_batch_norm = false;  // with ranks: statistics of all their shares, each of which is one part
  // Called when the gradients of a part have been handed to the device; steps are then not captured.
  std::function<void(const data::Part&)> after_part = {};
  // Called when the gradients have become those of a whole batch, of all ranks; steps are then not captured.
  std::function<void()> after_batch = {};
  // Called when a step has been handed to the device, unless it failed at once; not captured.
  std::function<void()> after_step = {};
};

class TrainingStep {
 public:
  // Both must outlive it. The optimizer's gradients are zero.
  TrainingStep(Objective& objective, Optimizer& optimizer, TrainingStepOptions options = {});

  // The part's gradients; after the last part of a batch the optimizer's step, and gradients of zero. If the
  // loss, a gradient or a trust ratio is not finite the step is not taken, nor any after it; results() tells.
  void run(const data::Part& part);

  std::int64_t unread() const { return std::ssize(samples_); }  // steps since the last results()
  static constexpr std::int64_t most_unread = Optimizer::reports_kept;
  StepResults results();  // waits for the device

 private:
  // The work of parts that complete a batch, or of those before them.
  struct PartWork {
    std::int64_t batch_samples = 0;  // a number that is captured with the rest
    std::optional<Captured> work;
  };
  Captured& work_for(const data::Part& part);
  void compute(const data::Part& part);
  bool can_sum_beside_backward() const;
  void apply_checked();
  void finish_step(const data::Part& part);

  Objective& objective_;
  Optimizer& optimizer_;
  TrainingStepOptions options_;
  std::unique_ptr<SharpnessAware> sharpness_aware_;  // null: gradients are those of the weights
  std::unique_ptr<RankSums> ranks_;                  // null: there are no others
  bool sums_beside_backward_ = false;                // the same on all ranks
  bool within_batch_ = false;
  PartWork completing_, earlier_;
  Tensor sums_;         // [1 + metrics], of the batch so far
  Tensor unread_sums_;  // [most_unread, 1 + metrics], of the steps since the last results()
  std::vector<std::int64_t> samples_;
  std::string failure_;
};

}  // namespace lamina::train
