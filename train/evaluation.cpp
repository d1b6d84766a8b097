#include "train/evaluation.h"

#include <span>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/captured.h"
#include "train/objectives/classification.h"

namespace lamina {
namespace {

// Measures batches; each has a row of sums on the device.
class Evaluator {
 public:
  Evaluator(Objective& objective, Device device, std::int64_t batches)
      : objective_(objective),
        columns_(static_cast<std::int64_t>(objective.metrics().size()) + 1),
        batch_sums_(Tensor::empty({columns_}, {DType::f32, device})),
        sums_(Tensor::empty({batches, columns_}, {DType::f32, device})),
        measure_(device, [this](std::span<const Tensor> inputs) { measure(inputs); }) {}
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  void add(const data::Part& part) {
    std::vector<Tensor> inputs = part.views;
    inputs.push_back(part.labels);
    measure_.run(inputs);
    sums_.rows(std::ssize(sizes_), 1).view({columns_}).copy_from(batch_sums_);
    sizes_.push_back(part.size());
    samples_ += part.size();
  }
  std::int64_t samples() const { return samples_; }

  Metrics result() const {  // waits for the device
    const std::vector<float> rows = sums_.rows(0, std::ssize(sizes_)).to_vector<float>();
    const std::vector<double> sums(rows.begin(), rows.end());
    const auto columns = static_cast<std::size_t>(columns_);
    Metrics total;
    total.sums.resize(columns - 1);
    for (std::size_t i = 0; i < sizes_.size(); ++i)
      total.add(metrics_from_sums(sums.data() + i * columns, columns, sizes_[i]));
    return total;
  }

 private:
  void measure(std::span<const Tensor> inputs) {
    data::Part part;
    part.views.assign(inputs.begin(), inputs.end() - 1);
    part.labels = inputs.back();
    part.batch_samples = part.size();
    batch_sums_.fill(0);
    accumulate_evaluation(objective_, part, batch_sums_);
  }

  Objective& objective_;
  std::int64_t columns_;
  Tensor batch_sums_, sums_;         // [columns], [batches, columns]
  std::vector<std::int64_t> sizes_;  // samples of each batch so far
  std::int64_t samples_ = 0;
  Captured measure_;
};

}  // namespace

Metrics evaluate(Objective& objective, const data::Split& split, const EvaluateOptions& options) {
  const NoGrad no_grad;
  const EvalMode eval_mode(objective.module());
  const data::Loader loader = data::evaluation_loader(split, options.batch, options.workers);
  Evaluator evaluator(objective, options.device, loader.batches());
  for (const data::Part& part : loader.epoch(0, options.device)) {
    evaluator.add(part);
    if (options.keep_going && !options.keep_going(evaluator.samples())) break;
  }
  return evaluator.result();
}

Evaluation evaluate(Module& net, const data::Split& split, const EvaluateOptions& options) {
  Classification objective(net);
  const Metrics metrics = evaluate(objective, split, options);
  return {.loss = metrics.loss(),
          .accuracy = metrics.mean(0),
          .correct = static_cast<std::int64_t>(metrics.sums.front()),
          .samples = metrics.samples};
}

double accuracy(Module& net, const data::Split& split) {
  const ParamList parameters = net.parameters();
  check(!parameters.empty(), "accuracy: {} has no parameters to tell which device it is on; use evaluate()",
        net.kind());
  return evaluate(net, split, {.device = parameters.front()->value.device()}).accuracy;
}

}  // namespace lamina
