// Recorded gradients fed to an optimizer, without a model: for comparing implementations step by step.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "optim/optimizer.h"
#include "optim/presets.h"

namespace lamina::train {

struct ReplayOptions {
  std::string optimizer;  // O[:PRESET]
  KnobOverrides overrides = {};
  RunFacts facts = {};
  std::vector<double> lrs = {};     // one per step, the largest counting as the peak; empty: the knob `lr`
  std::optional<DType> dtype = {};  // f32 or f64, of all arithmetic; default: the parameters'
};

struct Trajectory {
  std::unique_ptr<Optimizer> optimizer;  // as the last step left it, with the parameters in its arena
  std::vector<StepReport> steps;         // every norm measured
};

// params: name -> tensor. grads: the same names -> [steps, *shape]; they need not have the parameters' dtype.
// Tensors with fewer than 2 dimensions count as biases or normalisation parameters. Throws UsageError for an
// optimizer, preset or knob that does not exist and for another number of learning rates than steps; Error
// for files that do not fit each other, and for values that are not finite, naming the tensor and the step.
Trajectory replay(const TensorFile& params, const TensorFile& grads, const ReplayOptions& options);

// The final parameters under their names; state.step and state.<slot>.<name>; f64 [steps] tensors
// trust.<name>, weight_norm.<name>, grad_norm.<name>, update_norm.<name> (as in traces, docs/files.md), lr
// and phi.
TensorFile to_file(const Trajectory& trajectory);

}  // namespace lamina::train
