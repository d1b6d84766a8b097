// Self-supervised objectives over batches that come in parts: as unsplit, and what is refused.
#include <cmath>
#include <limits>

#include "catch.h"
#include "core/autograd.h"
#include "core/memory/allocator.h"
#include "layers/dropout.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/find_lr.h"
#include "train/noise_scale.h"
#include "train/objectives/barlow_twins.h"
#include "train/objectives/simclr.h"
#include "train/objectives/vicreg.h"

namespace lamina::tests {
namespace {

ResNet embedding_net(DType dtype = DType::f64) {
  return ResNet("resnet8",
                {.head = false, .projector = ProjectorOptions{.widths = {12, 6}}, .dtype = dtype, .seed = 3});
}

// An f64 net that takes the loader's f32 images.
class F64Net final : public Module {
 public:
  F64Net()
      : net_(&add_child<ResNet>("net", embedding_net())), dropout_(&add_child<Dropout>("dropout", 0.2)) {}
  std::string kind() const override { return "F64Net"; }

 private:
  Tensor forward(const Tensor& x) override { return (*dropout_)((*net_)(cast(x, DType::f64))); }
  ResNet* net_;
  Dropout* dropout_;
};

data::LoaderOptions two_views(std::int64_t batch = 24, std::int64_t micro_batch = 0) {
  return {.batch = batch,
          .micro_batch = micro_batch,
          .augment = data::standard(),
          .views = 2,
          .workers = 0,
          .seed = 3};
}

std::vector<double> to_f64(const Tensor& x) { return cast(x.detach(), DType::f64).to_vector<double>(); }

struct BatchOutcome {
  std::vector<double> sums, gradients, buffers;  // of the second batch
};

// The first batches of an epoch, forward and backward.
BatchOutcome batch_outcome(const std::function<std::unique_ptr<Objective>(Module&)>& make,
                           std::int64_t micro_batch) {
  F64Net net;
  const std::unique_ptr<Objective> objective = make(net);
  const data::Loader loader =
      loader_for(*objective, data::Loader(tiny_images().train, two_views(24, micro_batch)));
  BatchOutcome outcome;
  for (const data::Part& part : loader.epoch(0)) {
    if (part.batch == 2) break;
    if (part.pass == 0 && part.offset == 0) {
      outcome = {.sums = std::vector<double>(static_cast<std::size_t>(std::ssize(objective->metrics()) + 1)),
                 .gradients = {},
                 .buffers = {}};
      for (const auto& param : net.parameters()) param->value.zero_grad();
    }
    const Tensor sums = Tensor::zeros({std::ssize(objective->metrics()) + 1}, {.dtype = DType::f64});
    accumulate_gradients(*objective, part, sums);
    for (std::size_t i = 0; i < outcome.sums.size(); ++i) outcome.sums[i] += sums.data<double>()[i];
  }
  for (const auto& param : net.state()) {
    const bool buffer = param->kind == ParamKind::buffer;
    const std::vector<double> values = to_f64(buffer ? param->value : param->grad());
    std::vector<double>& all = buffer ? outcome.buffers : outcome.gradients;
    all.insert(all.end(), values.begin(), values.end());
  }
  return outcome;
}

double relative_error(const std::vector<double>& a, const std::vector<double>& b) {  // relative
  REQUIRE(a.size() == b.size());
  double squares = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  return std::sqrt(squares / size);
}

template <typename Method, typename Options>
auto maker(const Options& options, const TwoViewOptions& views) {
  return [=](Module& net) -> std::unique_ptr<Objective> {
    return std::make_unique<Method>(net, options, views);
  };
}

}  // namespace

TEST_CASE("two passes over parts give the loss, gradients, metrics and statistics of the unsplit batch") {
  const TwoViewOptions ghosts{.bn_batch = 4}, scaled{.bn_batch = 4, .gradient_scale = 0.25};
  const auto check_method = [](const auto& make) {
    const BatchOutcome whole = batch_outcome(make, 0);
    for (const std::int64_t micro_batch : {4, 8, 16}) {  // 16 and 8 samples, too
      const BatchOutcome parts = batch_outcome(make, micro_batch);
      CHECK(relative_error(parts.sums, whole.sums) < 1e-12);
      CHECK(relative_error(parts.gradients, whole.gradients) < 1e-12);
      CHECK(parts.buffers == whole.buffers);
    }
  };
  check_method(maker<BarlowTwins>(BarlowTwinsOptions{}, ghosts));
  check_method(maker<BarlowTwins>(BarlowTwinsOptions{.nominal_batch = 30}, scaled));
  check_method(maker<SimClr>(SimClrOptions{}, ghosts));
  check_method(maker<VicReg>(VicRegOptions{.gamma = 2}, scaled));
}

TEST_CASE("statistics over parts differ from those over the batch, and the gradient can be scaled alone") {
  const BarlowTwinsOptions barlow;
  const BatchOutcome whole = batch_outcome(maker<BarlowTwins>(barlow, {}), 0),
                     ghosts = batch_outcome(maker<BarlowTwins>(barlow, {.bn_batch = 8}), 0),
                     parts = batch_outcome(maker<BarlowTwins>(barlow, {}), 8),
                     quarter = batch_outcome(maker<BarlowTwins>(barlow, {.gradient_scale = 0.25}), 0);
  CHECK(relative_error(parts.gradients, ghosts.gradients) < 1e-12);  // a part is its own ghost batch
  CHECK(relative_error(parts.gradients, whole.gradients) > 0.01);
  CHECK(relative_error(quarter.sums, whole.sums) < 1e-15);
  std::vector<double> grown = quarter.gradients;
  for (double& value : grown) value *= 4;
  CHECK(relative_error(grown, whole.gradients) < 1e-15);
}

TEST_CASE("a run in two passes goes on to the bits of one that was not stopped") {
  const auto run = [](const std::filesystem::path& directory, std::int64_t stop_at, int workers) {
    ResNet net = embedding_net(DType::f32);
    SimClr objective(net, {.temperature = 0.2}, {.bn_batch = 4});
    const auto optimizer = make_optimizer("lars", net.parameters(), {{"lr", "0.5"}}, {.steps_per_epoch = 3});
    data::LoaderOptions options = two_views(24, 8);
    options.workers = workers;
    Trainer trainer(objective, *optimizer, data::Loader(tiny_images().train, options),
                    {.epochs = 2, .directory = directory});
    Look look;
    std::vector<std::int64_t> done;
    look.on_part_done = [&](std::int64_t samples, std::int64_t) { done.push_back(samples); };
    look.on_step = [&](TrainedStep&) {
      CHECK(done == std::vector<std::int64_t>{4, 8, 12, 16, 20, 24});  // two passes, half a sample each
      done.clear();
      if (trainer.position().step == stop_at) trainer.stop();
    };
    trainer.observe(look).run();
    return bits_of(net);
  };
  const Directory directory;
  const std::string unstopped = run(directory.file("unstopped"), -1, 2);
  run(directory.file("stopped"), 4, 0);
  CHECK(run(directory.file("stopped"), -1, 1) == unstopped);
  CHECK(log_without_times(directory.file("stopped") / "steps.csv") ==
        log_without_times(directory.file("unstopped") / "steps.csv"));
}

TEST_CASE("batches that a self-supervised loss cannot do with are refused before anything is trained") {
  ResNet net = embedding_net(DType::f32);
  Sgd optimizer(net.parameters(), {.lr = 0.1});
  using Words = std::initializer_list<const char*>;
  const auto refused = [&](const TwoViewOptions& views, const data::LoaderOptions& loader, Words words) {
    return unexplained(
        [&] {
          BarlowTwins objective(net, {}, views);
          const Trainer trainer(objective, optimizer, data::Loader(tiny_images().train, loader));
        },
        words);
  };
  data::LoaderOptions one_view = two_views();
  one_view.views = 1;
  CHECK(refused({}, one_view, {"barlow-twins", "views 1", "2 views"}) == "nothing");
  CHECK(refused({}, two_views(1), {"batch 1", "at least 2"}) == "nothing");
  CHECK(refused({}, two_views(24, 1), {"micro_batch 1", "at least 2"}) == "nothing");
  CHECK(refused({.bn_batch = 1}, two_views(), {"bn_batch 1", "2 or more"}) == "nothing");
  CHECK(refused({.bn_batch = -2}, two_views(), {"bn_batch -2"}) == "nothing");
  CHECK(refused({.bn_batch = 24}, two_views(24, 8), {"bn_batch 24", "micro_batch 8", "one more pass"}) ==
        "nothing");
  CHECK(refused({.bn_batch = 32}, two_views(), {"bn_batch 32", "batch 24"}) == "nothing");
  CHECK(refused({.bn_batch = 4}, two_views(24, 10), {"micro_batch 10", "no multiple of bn_batch 4"}) ==
        "nothing");
  CHECK(refused({}, two_views(25, 8), {"batch of 25", "one sample", "micro_batch"}) == "nothing");
  CHECK(refused({.bn_batch = 6}, two_views(25), {"batch of 25", "bn_batch"}) == "nothing");
  CHECK(refused({}, two_views(71), {"batch of 1 ", "drop_last"}) == "nothing");  // of 72 images
  CHECK(refused({.gradient_scale = 0}, two_views(), {"gradient_scale 0", "positive"}) == "nothing");
  CHECK(refused({}, two_views(24, 8), {"(no error)"}) == "nothing");
  CHECK(unexplained([&] { BarlowTwins(net, {.lambda = std::nan("")}); }, {"lambda nan"}) == "nothing");
  CHECK(unexplained([&] { BarlowTwins(net, {.nominal_batch = -1}); }, {"nominal_batch -1"}) == "nothing");
  CHECK(unexplained([&] { SimClr(net, {.temperature = 0}); }, {"temperature 0", "positive"}) == "nothing");
  CHECK(unexplained([&] { VicReg(net, {.covariance_weight = -1}); }, {"covariance_weight -1"}) == "nothing");
  CHECK(unexplained([&] { VicReg(net, {.gamma = 0}); }, {"gamma 0", "positive"}) == "nothing");
}

TEST_CASE("parts that come once, out of order, or twice to a loss of one pass, are refused") {
  ResNet net = embedding_net(DType::f32);
  VicReg objective(net);
  Classification once(net);
  const Tensor sums = Tensor::zeros({4});
  data::LoaderOptions options = two_views(24, 8);
  const data::Loader single(tiny_images().train, options);
  const data::Part first = *single.epoch(0).begin();
  CHECK(unexplained([&] { accumulate_gradients(objective, first, sums); }, {"8 of 24", "passes = 2"}) ==
        "nothing");
  options.passes = 2;
  const data::Loader twice(tiny_images().train, options);
  data::Part part = *twice.epoch(0).begin();
  CHECK(unexplained([&] { accumulate_gradients(once, part, sums); }, {"classification", "one pass"}) ==
        "nothing");
  part.offset = 8;
  CHECK(unexplained([&] { accumulate_gradients(objective, part, sums); }, {"sample 8", "expected 0"}) ==
        "nothing");
  part.pass = 1;
  CHECK(unexplained([&] { objective.product_with_gradient(part); }, {"second pass", "0 were collected"}) ==
        "nothing");
  CHECK(unexplained([&] { objective.evaluate(first); }, {"vicreg", "features"}) == "nothing");
}

TEST_CASE("a loss that is not finite is named with what it is made of") {
  const auto failure = [](std::int64_t micro_batch) {
    ResNet net = embedding_net(DType::f32);
    net.parameter("projector.3.weight").value.fill(3e38);
    VicReg objective(net);
    Sgd optimizer(net.parameters(), {.lr = 0.1});
    Trainer trainer(objective, optimizer, data::Loader(tiny_images().train, two_views(24, micro_batch)));
    return message_of([&] { trainer.run(); });
  };
  for (const std::int64_t micro_batch : {0, 8}) {
    const std::string message = failure(micro_batch);
    INFO(message);
    CHECK(message.find("the invariance ") != std::string::npos);
    CHECK(message.find("projector.3") != std::string::npos);  // the op whose result it was
  }
}

TEST_CASE("metrics tell embeddings that have collapsed from healthy ones") {
  const auto collapse_of = [](TwoViewObjective& objective) {
    data::LoaderOptions options = two_views();
    options.augment = data::none();  // what is computed per pixel does not survive a shift
    const data::Loader loader(tiny_images().train, options);
    const Tensor sums = Tensor::zeros({std::ssize(objective.metrics()) + 1}, {.dtype = DType::f64});
    for (const data::Part& part : loader.epoch(0)) {
      accumulate_gradients(objective, part, sums);
      break;
    }
    const Metrics means =
        metrics_from_sums(sums.data<double>(), static_cast<std::size_t>(sums.elements()), 24);
    return objective.collapse(means, means);
  };
  PixelLinear healthy(6), constant(6), copies(6);
  constant.parameter("linear.weight").value.fill(0);
  const Tensor row = healthy.parameter("linear.weight").value.detach().rows(0, 1).clone();
  for (int i = 0; i < 6; ++i) copies.parameter("linear.weight").value.detach().rows(i, 1).copy_from(row);
  const auto texts = [&](Module& net) {
    BarlowTwins barlow(net);
    SimClr simclr(net);
    VicReg vicreg(net, {.gamma = 0.1});
    return std::vector<std::string>{collapse_of(barlow), collapse_of(simclr), collapse_of(vicreg)};
  };
  CHECK(texts(healthy) == std::vector<std::string>{"", "", ""});
  const std::vector<std::string> collapsed = texts(constant);
  CHECK(collapsed[0].find(" at most (1 is that of features") != std::string::npos);
  CHECK(collapsed[1].find("uniformity of") != std::string::npos);
  CHECK(collapsed[2].find("below 0.1") != std::string::npos);
  CHECK(texts(copies)[0].find("copies of one feature") != std::string::npos);
}

TEST_CASE("embeddings that have not learnt yet, or get better, have not collapsed") {
  // Two views that have nothing to do with one another: C_ij² is 1 / N on the mean, and the mean C_ii near 0.
  PixelLinear net(6);
  BarlowTwins barlow(net);
  data::Part part{.views = {Tensor::randn({512, 8, 8, 3}, {.seed = 1, .draw = 0}),
                            Tensor::randn({512, 8, 8, 3}, {.seed = 1, .draw = 1})},
                  .labels = Tensor::from(std::vector<std::int32_t>(512), {512}),
                  .batch_samples = 512};
  const auto means_of = [](TwoViewObjective& objective, const data::Part& batch) {
    const Tensor sums = Tensor::zeros({std::ssize(objective.metrics()) + 1}, {.dtype = DType::f64});
    accumulate_gradients(objective, batch, sums);
    return metrics_from_sums(sums.data<double>(), static_cast<std::size_t>(sums.elements()), 512);
  };
  const Metrics unrelated = means_of(barlow, part);
  CHECK(unrelated.mean(2) < 0.05);
  CHECK(barlow.collapse(unrelated, unrelated).empty());

  const auto metrics = [](double on, double off, double correlation) {
    return Metrics{.samples = 1, .sums = {on, off, correlation}};
  };
  const Metrics copies = metrics(1, 0.5 * 30, 0.7), fewer = metrics(1, 0.4 * 30, 0.7);
  CHECK(!barlow.collapse(copies, fewer).empty());
  CHECK(barlow.collapse(fewer, copies).empty());
  SimClr simclr(net);
  CHECK(!simclr.collapse({.samples = 1, .sums = {0, -0.05}}, {.samples = 1, .sums = {0, -0.06}}).empty());
  CHECK(simclr.collapse({.samples = 1, .sums = {0, -0.05}}, {.samples = 1, .sums = {0, -0.04}}).empty());
}

TEST_CASE("two passes take the memory of a part") {
  // Large beside the working memory of a convolution, which does not depend on the batch.
  const data::Split images = data::synthetic({.classes = 4, .height = 16, .width = 16, .train = 72}).train;
  const auto peak_of = [&](std::int64_t micro_batch) {
    ResNet net = embedding_net(DType::f32);
    BarlowTwins objective(net, {}, {.bn_batch = 4});
    const data::Loader loader = loader_for(objective, data::Loader(images, two_views(64, micro_batch)));
    const Tensor sums = Tensor::zeros({4});
    Allocator& allocator = backend_for(Device::cpu()).allocator();
    const auto before = static_cast<double>(allocator.use().live_bytes);
    allocator.reset_peak();
    for (const data::Part& part : loader.epoch(0)) {
      accumulate_gradients(objective, part, sums);
      if (part.completes_batch) break;
    }
    return static_cast<double>(allocator.use().peak_bytes) - before;
  };
  CHECK(peak_of(8) < peak_of(0) / 3);  // an eighth of the maps, and in both the gradients
}

TEST_CASE("the gradient noise scale is refused where the loss is of a whole batch") {
  ResNet net = embedding_net(DType::f32);
  SimClr objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.1});
  NoiseScale noise;
  Trainer trainer(objective, optimizer, data::Loader(tiny_images().train, two_views(24, 8)));
  CHECK(unexplained([&] { trainer.observe(noise).run(); }, {"noise_scale", "simclr", "whole batch"}) ==
        "nothing");
}

TEST_CASE("learning rates are tried out on batches in two passes") {
  ResNet net = embedding_net(DType::f32);
  BarlowTwins objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.1});
  const LrRange range = find_lr(objective, optimizer, data::Loader(tiny_images().train, two_views(24, 8)),
                                {.from = 1e-6, .to = 1e-4, .steps = 4});
  CHECK(range.trials.size() == 4);
}

}  // namespace lamina::tests
