#include "train/official_probe.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/number.h"
#include "core/base/option_name.h"
#include "core/base/rounding.h"
#include "core/ops/elementwise.h"
#include "core/ops/loss.h"
#include "core/ops/reduce.h"
#include "data/loader.h"
#include "layers/linear.h"
#include "optim/optimizer.h"
#include "train/batch_norm_check.h"
#include "train/frozen_state.h"
#include "train/objective.h"
#include "train/top_count.h"

namespace lamina {
namespace {

constexpr std::int64_t official_period = 200;  // iterations
constexpr std::int64_t shards = 4;

const data::ViewRecipe& random_crops() {
  static const data::ViewRecipe recipe{
      .name = "random crops", .views = {{.filter = math::Filter::bilinear, .jitter = 0, .grayscale = 0}}};
  return recipe;
}

data::LoaderOptions loader_options(const data::Split& split, const OfficialProbeOptions& options) {
  return {.batch = std::min(options.batch, split.size()), .workers = options.workers, .seed = options.seed};
}

data::Loader training_loader(const data::Split& split, const OfficialProbeOptions& options) {
  data::LoaderOptions loader = loader_options(split, options);
  loader.recipe = random_crops();
  return data::Loader(split, loader);
}

data::Loader test_loader(const data::Split& split, const OfficialProbeOptions& options) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < split.size(); i += options.one_shard ? shards : 1) rows.push_back(i);
  const data::Split tested = data::subset(split, rows);
  data::LoaderOptions loader = loader_options(tested, options);
  loader.shuffle = false;
  if (options.test_crops) loader.recipe = random_crops();
  return data::Loader(tested, loader);
}

// The mode while alive; then the one before.
class ProbedMode {
 public:
  ProbedMode(ResNet& backbone, bool training) : restored_(backbone) { backbone.train(training); }

 private:
  EvalMode restored_;
};

Tensor frozen_features(ResNet& backbone, const Tensor& images) {
  const NoGrad no_grad;
  return backbone.features(images);
}

void set_start(Linear& head, std::uint64_t seed) {
  const NoGrad no_grad;
  Tensor& weight = head.parameter("weight").value;
  weight.copy_from(0.01 *
                   Tensor::randn(weight.shape(), {.device = weight.device(), .seed = seed, .draw = 0}));
  head.parameter("bias").value.fill(0);
}

// The backbone as what is computed of each part of a batch.
class BackboneForward final : public Objective {
 public:
  explicit BackboneForward(ResNet& backbone) : backbone_(backbone) {}
  std::string name() const override { return "linear"; }
  Module& module() override { return backbone_; }
  PartLoss loss(const data::Part& part) override { return sum(backbone_.features(part.images())); }

 private:
  ResNet& backbone_;
};

class Probing {
 public:
  Probing(ResNet& backbone, Linear& head, const OfficialProbeOptions& options)
      : backbone_(backbone),
        head_(head),
        options_(options),
        optimizer_(head.parameters(),
                   {.lr = options.lr, .momentum = options.momentum, .weight_decay = options.weight_decay}) {}

  // The mean loss.
  double train_epoch(const data::Loader& loader, int epoch) {
    const std::int64_t all = options_.epochs * loader.batches();
    const std::int64_t period = options_.cosine_by_iteration ? official_period : 2 * all;
    double sum = 0;
    for (const data::Part& part : loader.epoch(epoch, device())) {
      const double turns = static_cast<double>(optimizer_.steps()) / static_cast<double>(period);
      optimizer_.set_lr(options_.lr * (1 + std::cos(2 * std::numbers::pi * turns)) / 2);
      const Tensor loss = cross_entropy(head_(frozen_features(backbone_, part.images())), part.labels);
      optimizer_.zero_grad();
      loss.backward();
      optimizer_.step();
      sum += loss.item() * static_cast<double>(part.size());
      if (options_.on_batch) options_.on_batch();
    }
    const double mean = sum / static_cast<double>(loader.samples());
    check(std::isfinite(mean), "linear: the loss of epoch {} is {}", epoch + 1, mean);
    return mean;
  }

  void test(const data::Loader& loader, OfficialProbe& probe) {
    const NoGrad no_grad;
    std::int64_t among_five = 0;
    for (const data::Part& part : loader.epoch(options_.epochs, device())) {
      const Tensor logits = head_(backbone_.features(part.images()));
      probe.correct += train::count_among_first(logits, part.labels, 1);
      among_five += train::count_among_first(logits, part.labels, 5);
      if (options_.on_batch) options_.on_batch();
    }
    probe.samples = loader.samples();
    probe.top1 = static_cast<double>(probe.correct) / static_cast<double>(probe.samples);
    probe.top5 = static_cast<double>(among_five) / static_cast<double>(probe.samples);
  }

 private:
  Device device() const { return backbone_.options().device; }

  ResNet& backbone_;
  Linear& head_;
  const OfficialProbeOptions& options_;
  Sgd optimizer_;
};

void check_options(const OfficialProbeOptions& options) {
  check_number(option_name("epochs"), options.epochs, at_least(1));
  check_number(option_name("batch"), options.batch, at_least(2));
  check_number(option_name("lr"), options.lr, above(0));
}

}  // namespace

OfficialProbe official_probe(ResNet& backbone, const data::Split& train, const data::Split& test, int classes,
                             const OfficialProbeOptions& options) {
  check_options(options);
  const ProbedMode mode(backbone, options.training_mode);
  const train::FrozenState frozen(options.training_mode ? backbone.parameters() : backbone.state());
  OfficialProbe probe{.classes = classes, .width = backbone.feature_size()};
  Linear head(backbone.feature_size(), classes,
              LinearLayerOptions{.tensor = {.device = backbone.options().device}});
  set_start(head, options.seed);
  Probing probing(backbone, head, options);
  const data::Loader loader = training_loader(train, options), tests = test_loader(test, options);
  BackboneForward forward(backbone);  // before hours of training, not after
  for (const data::Loader* batches : {&loader, &tests})
    train::check_batch_norms(forward, *batches, backbone.options().device, "micro_batch");
  for (int epoch = 0; epoch < options.epochs; ++epoch) {
    const double loss = probing.train_epoch(loader, epoch);
    if (options.on_epoch) options.on_epoch(epoch + 1, loss);
  }
  probing.test(tests, probe);
  frozen.check_unchanged("linear", backbone.kind());
  return probe;
}

}  // namespace lamina
