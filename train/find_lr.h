// The learning-rate range test (Smith 2017, "Cyclical learning rates for training neural networks", sec.
// 3.3): a short training from the present weights in which the learning rate grows exponentially, to see
// where the loss falls and where it explodes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/loader.h"
#include "optim/optimizer.h"
#include "train/objective.h"
#include "train/sharpness_aware.h"

namespace lamina {

struct FindLrOptions {
  double from = 0;           // learning rate of the first step; 0: a thousandth of the optimizer's
  double to = 0;             // of the last one; 0: a thousand times the optimizer's
  std::int64_t steps = 100;  // as many; over several epochs where one has fewer
  double smoothing = 0.9;    // of the loss: share of the running mean that a step keeps
  bool capture = true;       // on a GPU: steps as a graph
  std::optional<SamOptions> sharpness_aware = {};  // as of the training to come; losses are those at w
};

struct LrTrial {
  double lr = 0, loss = 0;  // before the step
  double smoothed = 0;      // running mean of the losses up to this one, without the bias of its start
};

struct LrRange {
  std::vector<LrTrial> trials;  // of the steps taken
  // Where the smoothed loss exceeded four times its lowest, or something was not finite: the test ends there.
  std::optional<double> diverged_at;
  double lowest_at = 0;   // learning rate at the lowest smoothed loss
  double suggestion = 0;  // a tenth of that
};

// Weights, buffers, the optimizer's state, learning rate and schedule are put back, however it ends;
// gradients are zero and the module is in training mode then. Throws UsageError for options out of range;
// Error if not even the first loss is finite.
LrRange find_lr(Objective& objective, Optimizer& optimizer, const data::Loader& loader,
                const FindLrOptions& options = {});

}  // namespace lamina
