// How good a model is on a split, in evaluation mode.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "data/loader.h"
#include "layers/module.h"
#include "train/confusion.h"
#include "train/objective.h"

namespace lamina {

struct EvaluateOptions {
  std::int64_t batch = 500;  // changes the result by rounding at most
  int workers = 2;
  Device device = {};
  std::function<bool(std::int64_t samples)> keep_going = {};  // called after every batch; false ends it there
  bool capture = true;  // on a GPU: batches as a graph (core/captured.h)
};

// Evaluations of one objective, one after another, as between epochs. On a GPU the work on a batch is
// captured once for each size of batch, and replayed in later evaluations too, so the module's tensors must
// stay where they are. Until it is destroyed it keeps the images of a batch of each size.
class Evaluator {
 public:
  // The objective must outlive it. Of the options `keep_going` is each evaluation's own.
  Evaluator(Objective& objective, EvaluateOptions options);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // As evaluate() below.
  Metrics evaluate(const data::Split& split, const std::function<bool(std::int64_t)>& keep_going = {});

 private:
  class Batches;  // of one size

  Objective& objective_;
  EvaluateOptions options_;
  std::map<std::int64_t, std::unique_ptr<Batches>> by_size_;
};

// What the objective's evaluate() gives, over all samples of the split, or as many as keep_going let pass.
// What it finds stays on the device until the end.
Metrics evaluate(Objective& objective, const data::Split& split, const EvaluateOptions& options = {});

// Of a classifier. Classes are ordered as argmax() does it: by their logits, of equal ones the earlier class
// first, and a NaN before all. So a model that tells no classes apart is not right for all of them, and
// `correct` are those whose own class is the first.
struct Evaluation {
  double loss = 0;      // mean cross-entropy, without label smoothing
  double accuracy = 0;  // 0 … 1
  std::int64_t correct = 0, samples = 0;
  double top5 = 0;                 // the share whose own class is among the first 5; with fewer classes 1
  ConfusionMatrix confusion = {};  // its diagonal adds up to `correct`
  std::vector<std::int64_t> ranks = {};  // [classes]: how many samples' own class came first, second, …

  // The share whose own class is among the first k. Throws UsageError unless there are so many classes.
  double top(std::int64_t k) const;
};
Evaluation evaluate(Module& net, const data::Split& split, const EvaluateOptions& options = {});

struct AccuracyOptions {
  std::int64_t top = 1;  // an image counts if the right class is among so many of the likeliest (Evaluation)
};

// The share of images whose most likely class is the right one, on the device the model is on. Throws
// UsageError for a `top` below 1 or beyond the number of classes.
double accuracy(Module& net, const data::Split& split, const AccuracyOptions& options = {});

}  // namespace lamina
