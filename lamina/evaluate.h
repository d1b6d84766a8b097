// How good a model is on a split: accuracy and mean loss, in evaluation mode.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/autograd.h"
#include "core/ops/loss.h"
#include "core/ops/reduce.h"
#include "data/loader.h"
#include "layers/module.h"

namespace lamina {

struct Evaluation {
  double loss = 0;      // mean cross-entropy, without label smoothing
  double accuracy = 0;  // 0 … 1
  std::int64_t correct = 0, samples = 0;
};

struct EvaluateOptions {
  std::int64_t batch = 500;  // changes the result by rounding at most
  int workers = 2;
  Device device = {};
  std::function<bool(std::int64_t samples)> keep_going = {};  // called after every batch; false ends it there
};

// How many rows of logits have their maximum at the label.
inline std::int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  const std::vector<std::int32_t> guesses = argmax(logits.detach()).to_vector<std::int32_t>();
  const std::vector<std::int32_t> truth = labels.to_vector<std::int32_t>();
  std::int64_t correct = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) correct += guesses[i] == truth[i] ? 1 : 0;
  return correct;
}

inline Evaluation evaluate(Module& net, const data::Split& split, const EvaluateOptions& options = {}) {
  const NoGrad no_grad;
  const EvalMode eval_mode(net);
  Evaluation result;
  double loss_sum = 0;
  const data::Loader loader = data::evaluation_loader(split, options.batch, options.workers);
  for (const auto& [images, labels] : loader.epoch(0, options.device)) {
    const Tensor logits = net(images);
    for (const float loss : cross_entropy_per_sample(logits, labels).to_vector<float>()) loss_sum += loss;
    result.correct += count_correct(logits, labels);
    result.samples += labels.size(0);
    if (options.keep_going && !options.keep_going(result.samples)) break;
  }
  const auto samples = static_cast<double>(std::max<std::int64_t>(result.samples, 1));
  result.loss = loss_sum / samples;
  result.accuracy = static_cast<double>(result.correct) / samples;
  return result;
}

// The share of images whose most likely class is the right one, on the device the model is on.
inline double accuracy(Module& net, const data::Split& split) {
  return evaluate(net, split, {.device = net.parameters().front()->value.device()}).accuracy;
}

}  // namespace lamina
