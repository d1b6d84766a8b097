// How good a model is on a split: accuracy and mean loss, in evaluation mode.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "core/autograd.h"
#include "core/ops/loss.h"
#include "core/ops/reduce.h"
#include "core/recorded.h"
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

// Measures batches of images; what it finds stays on the device until it is asked for.
class Evaluator {
 public:
  Evaluator(Module& net, Device device, std::int64_t samples)
      : losses_(Tensor::empty({samples}, {DType::f32, device})),
        hits_(Tensor::empty_like(losses_)),
        measure_(device, [this, &net](const Tensor& images, const Tensor& labels) {
          const Tensor logits = net(images);
          batch_losses_ = cross_entropy_per_sample(logits, labels);
          batch_hits_ = is_argmax(logits, labels);
        }) {}
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  void add(const Tensor& images, const Tensor& labels) {
    measure_.run(images, labels);
    const std::int64_t count = labels.size(0);
    losses_.rows(samples_, count).copy_from(batch_losses_);
    hits_.rows(samples_, count).copy_from(batch_hits_);
    samples_ += count;
  }
  std::int64_t samples() const { return samples_; }

  Evaluation result() const {  // waits for the device
    Evaluation result{.loss = 0, .accuracy = 0, .correct = 0, .samples = samples_};
    if (samples_ == 0) return result;
    for (const float loss : losses_.rows(0, samples_).to_vector<float>()) result.loss += loss;
    for (const float hit : hits_.rows(0, samples_).to_vector<float>()) result.correct += hit > 0 ? 1 : 0;
    result.loss /= static_cast<double>(samples_);
    result.accuracy = static_cast<double>(result.correct) / static_cast<double>(samples_);
    return result;
  }

 private:
  Tensor batch_losses_, batch_hits_;
  Tensor losses_, hits_;  // of all samples so far
  std::int64_t samples_ = 0;
  Recorded measure_;
};

inline Evaluation evaluate(Module& net, const data::Split& split, const EvaluateOptions& options = {}) {
  const NoGrad no_grad;
  const EvalMode eval_mode(net);
  Evaluator evaluator(net, options.device, split.size());
  const data::Loader loader = data::evaluation_loader(split, options.batch, options.workers);
  for (const auto& [images, labels] : loader.epoch(0, options.device)) {
    evaluator.add(images, labels);
    if (options.keep_going && !options.keep_going(evaluator.samples())) break;
  }
  return evaluator.result();
}

// The share of images whose most likely class is the right one, on the device the model is on.
inline double accuracy(Module& net, const data::Split& split) {
  return evaluate(net, split, {.device = net.parameters().front()->value.device()}).accuracy;
}

}  // namespace lamina
