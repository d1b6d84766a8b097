// Losses that compare the samples of a whole batch with one another, of a batch that comes in parts: exactly,
// with the memory of one part. The parts come twice (data::LoaderOptions::passes). The first pass makes the
// embeddings z without a history; from all of them follow the loss L and ∂L/∂z. The second makes each part's
// z again, with a history, and goes back from ⟨z, ∂L/∂z⟩, whose gradient is the part's share of L's (Gao et
// al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", §3.2).
//
// Batch normalisation has statistics of its own in every part, so that L is the loss of a batch normalised by
// parts ("ghost batches", Hoffer et al. 2017). With statistics of the whole batch a part's z would depend on
// all samples in every normalised layer, and each such layer would take a pass of its own.
#pragma once

#include <optional>

#include "core/parallel/collective.h"
#include "train/objective.h"
#include "train/sharpness_aware.h"

namespace lamina {

class TwoPassObjective : public Objective {
 public:
  bool needs_whole_batch() const final { return true; }

  // From now on the parts are those of one's own share of every batch, and `ranks` have the others; null: the
  // parts are the batch. Batches then come in two passes in any case.
  void share_batches(Collective* ranks) { ranks_ = ranks; }

  // First pass: of each part in order. Leaves parameters, gradients and buffers as they are.
  virtual void collect(const data::Part& part) = 0;
  // After that: the whole batch's loss and metrics, without a history; of several ranks on the first alone,
  // and zeros on the others, so that they add up.
  virtual PartLoss collected_loss() = 0;
  // Second pass: of each part in order, ⟨z, ∂L/∂z⟩, a scalar with a history.
  virtual Tensor product_with_gradient(const data::Part& part) = 0;

 protected:
  Collective* ranks() const { return ranks_; }

 private:
  Collective* ranks_ = nullptr;
};

// The loader as a training needs it, which a Trainer makes itself. Batches in parts, and shares of them, are
// handed out twice where a TwoPassObjective compares them, or where they are to have one perturbation; parts
// are of SamOptions::m samples, if those are given. Throws what the objective's check_loader() and
// check_sharpness_aware() do.
data::Loader loader_for(const Objective& objective, data::Loader loader,
                        const std::optional<SamOptions>& sharpness_aware = {});

}  // namespace lamina
