#include "train/evaluation.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/captured.h"
#include "core/math/argmax.h"
#include "core/ops/elementwise.h"
#include "train/objectives/classification.h"
#include "train/top_count.h"

namespace lamina {

// Measures batches of one size.
class Evaluator::Batches {
 public:
  Batches(Objective& objective, const EvaluateOptions& options)
      : objective_(objective),
        sums_(Tensor::empty({std::ssize(objective.metrics()) + 1}, {DType::f32, options.device})),
        measure_(options.device, [this](std::span<const Tensor> inputs) { measure(inputs); },
                 {.capture = options.capture}) {}

  const Tensor& measure(const data::Part& part) {  // [columns], until the next batch
    std::vector<Tensor> inputs = part.views;
    inputs.push_back(part.labels);
    measure_.run(inputs);
    return sums_;
  }

 private:
  void measure(std::span<const Tensor> inputs) {
    data::Part part;
    part.views.assign(inputs.begin(), inputs.end() - 1);
    part.labels = inputs.back();
    part.batch_samples = part.size();
    sums_.fill(0);
    accumulate_evaluation(objective_, part, sums_);
  }

  Objective& objective_;
  Tensor sums_;
  Captured measure_;
};

namespace {

// The sums of every batch, which stay on the device until the end.
class BatchSums {
 public:
  BatchSums(std::int64_t batches, std::int64_t columns, Device device)
      : rows_(Tensor::empty({batches, columns}, {DType::f32, device})) {}

  void add(const Tensor& sums, std::int64_t samples) {
    rows_.rows(std::ssize(sizes_), 1).view(sums.shape()).copy_from(sums);
    sizes_.push_back(samples);
    samples_ += samples;
  }
  std::int64_t samples() const { return samples_; }

  Metrics total() const {  // waits for the device
    const std::vector<float> rows = rows_.rows(0, std::ssize(sizes_)).to_vector<float>();
    const std::vector<double> sums(rows.begin(), rows.end());
    const auto columns = static_cast<std::size_t>(rows_.size(1));
    Metrics total;
    total.sums.resize(columns - 1);
    for (std::size_t i = 0; i < sizes_.size(); ++i)
      total.add(metrics_from_sums(sums.data() + i * columns, columns, sizes_[i]));
    return total;
  }

 private:
  Tensor rows_;                      // [batches, columns]
  std::vector<std::int64_t> sizes_;  // samples of each batch so far
  std::int64_t samples_ = 0;
};

// A classification that lets its logits be looked at.
class OpenClassification final : public Objective {
 public:
  explicit OpenClassification(Module& net) : net_(net) {}
  std::string name() const override { return "classification"; }
  Module& module() override { return net_; }
  PartLoss loss(const data::Part& part) override {
    logits_ = net_(part.images()).detach();
    return Classification::of_logits(logits_, part);
  }
  std::vector<MetricInfo> metrics() const override { return {{.name = "accuracy"}}; }

  const Tensor& logits() const { return logits_; }  // of the last batch, until the next

 private:
  Module& net_;
  Tensor logits_;
};

// What the logits of a split's samples, in their order, come to class by class. They are read from the device
// when there are some of them, so that it seldom waits and little of its memory is taken.
class ClassCounts {
 public:
  explicit ClassCounts(const data::Split& split) : labels_(split.labels.to_vector<std::int32_t>()) {}

  void add(const Tensor& logits) {
    kept_.push_back(logits.clone());
    kept_bytes_ += logits.bytes();
    if (kept_bytes_ >= most_kept_bytes) count_kept();
  }
  void move_to(Evaluation& evaluation) {
    count_kept();
    evaluation.confusion = std::move(confusion_);
    evaluation.ranks = std::move(ranks_);
  }

 private:
  static constexpr std::size_t most_kept_bytes = std::size_t{1} << 20;

  void count_kept() {
    for (const Tensor& logits : kept_) count(logits);
    kept_.clear();
    kept_bytes_ = 0;
  }
  void count(const Tensor& logits) {
    const std::int64_t classes = logits.size(1);
    if (ranks_.empty())
      confusion_ = ConfusionMatrix(classes), ranks_.resize(static_cast<std::size_t>(classes));
    const std::vector<double> rows = cast(logits.to(Device::cpu()), DType::f64).to_vector<double>();
    for (std::int64_t row = 0; row < logits.size(0); ++row) {
      const double* of_sample = rows.data() + row * classes;
      const std::int64_t label = labels_[counted_++];
      confusion_.add(label, math::argmax(of_sample, classes));
      ++ranks_[static_cast<std::size_t>(train::rank_of(of_sample, classes, label))];
    }
  }

  std::vector<std::int32_t> labels_;
  std::size_t counted_ = 0;   // samples
  std::vector<Tensor> kept_;  // logits on the device, not counted yet
  std::size_t kept_bytes_ = 0;
  ConfusionMatrix confusion_;
  std::vector<std::int64_t> ranks_;
};

}  // namespace

Evaluator::Evaluator(Objective& objective, EvaluateOptions options)
    : objective_(objective), options_(std::move(options)) {}
Evaluator::~Evaluator() = default;

Metrics Evaluator::evaluate(const data::Split& split, const std::function<bool(std::int64_t)>& keep_going) {
  const NoGrad no_grad;
  const EvalMode eval_mode(objective_.module());
  const data::Loader loader = data::evaluation_loader(split, options_.batch, options_.workers);
  BatchSums sums(loader.batches(), std::ssize(objective_.metrics()) + 1, options_.device);
  for (const data::Part& part : loader.epoch(0, options_.device)) {
    std::unique_ptr<Batches>& batches = by_size_[part.size()];
    if (batches == nullptr) batches = std::make_unique<Batches>(objective_, options_);
    sums.add(batches->measure(part), part.size());
    if (keep_going && !keep_going(sums.samples())) break;
  }
  return sums.total();
}

Metrics evaluate(Objective& objective, const data::Split& split, const EvaluateOptions& options) {
  return Evaluator(objective, options).evaluate(split, options.keep_going);
}

Evaluation evaluate(Module& net, const data::Split& split, const EvaluateOptions& options) {
  OpenClassification objective(net);
  ClassCounts counts(split);
  const Metrics metrics = Evaluator(objective, options).evaluate(split, [&](std::int64_t samples) {
    counts.add(objective.logits());
    return !options.keep_going || options.keep_going(samples);
  });
  Evaluation result{.loss = metrics.loss(),
                    .accuracy = metrics.mean(0),
                    .correct = static_cast<std::int64_t>(metrics.sums.front()),
                    .samples = metrics.samples};
  counts.move_to(result);
  result.top5 = result.top(std::min<std::int64_t>(5, result.confusion.classes()));
  return result;
}

double Evaluation::top(std::int64_t k) const {
  if (k < 1 || k > std::ssize(ranks)) {
    fail_usage("{} {}: the model tells {} classes apart; expected 1 to {}", option_name("top"), k,
               ranks.size(), ranks.size());
  }
  const std::int64_t within = std::accumulate(ranks.begin(), ranks.begin() + k, std::int64_t{0});
  return static_cast<double>(within) / static_cast<double>(samples);
}

double accuracy(Module& net, const data::Split& split, const AccuracyOptions& options) {
  const ParamList parameters = net.parameters();
  check(!parameters.empty(), "accuracy: {} has no parameters to tell which device it is on; use evaluate()",
        net.kind());
  return evaluate(net, split, {.device = parameters.front()->value.device()}).top(options.top);
}

}  // namespace lamina
