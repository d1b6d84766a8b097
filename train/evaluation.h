// How good a model is on a split, in evaluation mode.
#pragma once

#include <cstdint>
#include <functional>

#include "data/loader.h"
#include "layers/module.h"
#include "train/objective.h"

namespace lamina {

struct EvaluateOptions {
  std::int64_t batch = 500;  // changes the result by rounding at most
  int workers = 2;
  Device device = {};
  std::function<bool(std::int64_t samples)> keep_going = {};  // called after every batch; false ends it there
};

// What the objective's evaluate() gives, over all samples of the split, or as many as keep_going let pass.
// What it finds stays on the device until the end.
Metrics evaluate(Objective& objective, const data::Split& split, const EvaluateOptions& options = {});

// Of a classifier.
struct Evaluation {
  double loss = 0;      // mean cross-entropy, without label smoothing
  double accuracy = 0;  // 0 … 1
  std::int64_t correct = 0, samples = 0;
};
Evaluation evaluate(Module& net, const data::Split& split, const EvaluateOptions& options = {});

// The share of images whose most likely class is the right one, on the device the model is on.
double accuracy(Module& net, const data::Split& split);

}  // namespace lamina
