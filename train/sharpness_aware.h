// Sharpness-aware minimisation around any optimizer: SAM (Foret et al. 2021, arXiv 2010.01412) and its
// scale-invariant form ASAM (Kwon et al. 2021, arXiv 2102.11600). The gradient is not that of the weights w
// but of the place where a step of length ρ uphill leads; from w the optimizer steps with that:
//
//   ε = ρ T² g / ‖T g‖      g = ∇L(w), the norm over all tensors together      (SAM eq. 2, ASAM eq. 7)
//   ∇L(w + ε)               is what the optimizer gets, at w
//
//   SharpnessAware sam(net, optimizer, {.rho = 0.05});
//   for (const data::Part& part : train.epoch(epoch, device)) {
//     sam.gradients([&] { cross_entropy(net(part.images()), part.labels).backward(); });  // calls it twice
//     optimizer.step();
//     optimizer.zero_grad();
//   }
//
// Weight decay, clipping and trust ratios are the optimizer's: they see ∇L(w + ε), and g is without them.
// Trainers do all this themselves: TrainerOptions::sharpness_aware.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "optim/optimizer.h"
#include "train/keep_buffers.h"
#include "train/objective.h"

namespace lamina {

struct SamOptions {
  double rho = 0.05;  // ρ; 0: no second gradient, and the bits of a training without
  // T: 1, or if adaptive |w| + η for weights and for the scales of normalisations, 1 for biases and shifts.
  bool adaptive = false;
  double eta = 0.01;  // η
  // m-sharpness (SAM §4.1), of trainers: a batch is computed in parts of m samples, each with an ε of its own
  // gradient. 0: one ε, of the whole batch's gradient, whether it comes in parts, or is shared by ranks, or
  // not.
  std::int64_t m = 0;
};

// Where a loader's batches and a loss meet them: throws UsageError for a ρ or η that is negative or not
// finite; unless ρ is 0, for an m that is negative, larger than the batch, beside parts of another size, or
// that does not divide the ranks' shares, and for a loss of whole batches (Objective::needs_whole_batch()) of
// which there are parts or shares.
void check_sharpness_aware(const SamOptions& options, const data::LoaderOptions& loader,
                           bool needs_whole_batch);

class SharpnessAware {
 public:
  // Both must outlive it. Takes memory for two copies of the parameters, three if adaptive. Throws UsageError
  // for a ρ or η that is negative or not finite.
  SharpnessAware(Module& module, Optimizer& optimizer, const SamOptions& options = {});
  ~SharpnessAware();
  SharpnessAware(const SharpnessAware&) = delete;
  SharpnessAware& operator=(const SharpnessAware&) = delete;

  // `backward` adds a loss's gradients to those of the parameters; it is called at w and at w + ε, and those
  // of w + ε are added. It finds the same buffers both times, so that dropout draws the same masks; running
  // statistics are then those after its first call. Weights are what they were, to the bit, even if it
  // throws. With a zero gradient ε is zero.
  void gradients(const std::function<void()>& backward);

  // From now on `add_up` makes of one's own gradient that of all ranks that share the batch, before ε is made
  // of it; {}: it is the batch's.
  void add_up_with(std::function<void()> add_up) { add_up_ = std::move(add_up); }

  // The same in steps, for a batch whose parts come in two passes: begin(), the first pass, perturb(), the
  // second pass, restore(). Error if they are called in another order.
  void begin();
  void perturb();
  void restore();
  bool is_perturbed() const { return in_second_pass_.has_value(); }  // the weights are w + ε

 private:
  Tensor perturbation() const;

  Module& module_;
  Optimizer& optimizer_;
  SamOptions options_;
  std::function<void()> add_up_;
  Tensor scaled_;                               // [arena]: 1 where T is |w| + η, else 0; undefined: T is 1
  Tensor weights_;                              // w, while they are perturbed
  Tensor gathered_;                             // gradients as begin() found them
  std::optional<train::SpareBuffers> buffers_;  // that both passes start from
  std::optional<train::SpareBuffers::InUse> in_second_pass_;
};

// Null where there is nothing to perturb: no options, or a ρ of 0.
std::unique_ptr<SharpnessAware> make_sharpness_aware(Module& module, Optimizer& optimizer,
                                                     const std::optional<SamOptions>& options);
inline bool perturbs(const std::optional<SamOptions>& options) { return options && options->rho != 0; }

// accumulate_gradients() of train/objective.h, at w + ε. `sums` get loss and metrics at w; the loss becomes
// NaN if that at w + ε is not finite. Of a loader of two passes ε is the whole batch's, and the weights stay
// perturbed from the second pass's first part to its last one; else each part has its own. Null: no
// perturbation.
void accumulate_gradients(Objective& objective, const data::Part& part, const Tensor& sums,
                          SharpnessAware* sharpness_aware);

std::string describe(const SamOptions& options);  // "SAM, rho 0.05"; "ASAM, rho 0.5, eta 0.01, m 128"

}  // namespace lamina
