// Sharpness-aware steps in training: parts, running statistics, going on, what observers see.
#include <cmath>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "layers/dropout.h"
#include "message_of.h"
#include "optim/norms.h"
#include "tiny_training.h"
#include "train/find_lr.h"
#include "train/noise_scale.h"
#include "train/two_pass.h"

namespace lamina::tests {
namespace {

using Sam = std::optional<SamOptions>;

// Six steps of a classifier that computes each image by itself, in f64.
struct PixelRun {
  std::vector<double> weights, grad_norms, losses;
};

PixelRun pixel_run(std::int64_t micro_batch, const Sam& sam) {
  PixelLinear net(4, DType::f64);
  OwnObjective objective(net, [&](const data::Part& part) {
    return part.mean(cross_entropy_per_sample(net(cast(part.images(), DType::f64)), part.labels));
  });
  Sgd optimizer(net.parameters(), {.lr = 0.02, .weight_decay = 1e-3, .max_grad_norm = 5});
  const data::Loader loader(tiny_images().train,
                            {.batch = 24, .micro_batch = micro_batch, .workers = 0, .seed = 3});
  PixelRun run;
  Look look;
  look.on_step = [&](TrainedStep& step) {
    run.grad_norms.push_back(step.report.grad_norm);
    run.losses.push_back(step.metrics.loss());
  };
  Trainer(objective, optimizer, loader, {.epochs = 2, .sharpness_aware = sam}).observe(look).run();
  for (const auto& param : net.parameters()) {
    const std::vector<double> values = param->value.to_vector<double>();
    run.weights.insert(run.weights.end(), values.begin(), values.end());
  }
  return run;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {  // relative
  REQUIRE(a.size() == b.size());
  double squares = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  return std::sqrt(squares / size);
}

// A ResNet's run of two epochs.
std::string bits_of_run(const Sam& sam, std::int64_t micro_batch = 0, int threads = 1, int workers = 0) {
  TinyOptions options;
  options.loader.micro_batch = micro_batch;
  options.loader.workers = workers;
  TinyParts parts(options);
  set_threads(threads);
  Trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 2, .sharpness_aware = sam}).run();
  set_threads(1);
  return bits_of(parts.net);
}

class WithDropout final : public Module {
 public:
  WithDropout() : dropout_(&add_child<Dropout>("dropout", 0.5)), linear_(&add_child<PixelLinear>("net", 4)) {}
  std::string kind() const override { return "WithDropout"; }

 private:
  Tensor forward(const Tensor& x) override { return (*linear_)((*dropout_)(x)); }
  Dropout* dropout_;
  PixelLinear* linear_;
};

}  // namespace

TEST_CASE("one perturbation of a batch is the same whether it comes in parts or not") {
  for (const bool adaptive : {false, true}) {
    CAPTURE(adaptive);
    const SamOptions sam{.rho = 0.5, .adaptive = adaptive};
    const PixelRun whole = pixel_run(0, sam), plain = pixel_run(0, {});
    CHECK(distance(whole.weights, plain.weights) > 1e-3);
    for (const std::int64_t micro_batch : {8, 10, 1}) {
      const PixelRun parts = pixel_run(micro_batch, sam);  // sums in f64, in another order
      CHECK(distance(parts.weights, whole.weights) < 1e-12);
      CHECK(distance(parts.losses, whole.losses) < 1e-12);
      CHECK(distance(parts.grad_norms, whole.grad_norms) < 1e-12);
    }
  }
}

TEST_CASE("with m-sharpness each part has a perturbation of its own; of one part it is the batch's") {
  const PixelRun whole = pixel_run(0, SamOptions{.rho = 0.5});
  CHECK(pixel_run(0, SamOptions{.rho = 0.5, .m = 24}).weights == whole.weights);
  const PixelRun eights = pixel_run(0, SamOptions{.rho = 0.5, .m = 8});
  CHECK(distance(eights.weights, whole.weights) > 1e-4);
  CHECK(eights.losses.front() == Approx(whole.losses.front()).epsilon(1e-14));  // at w, in three sums
  CHECK(pixel_run(8, SamOptions{.rho = 0.5, .m = 8}).weights == eights.weights);
}

TEST_CASE("m-sharpness is the mean of the gradients at the parts' own perturbed weights") {
  const data::Loader loader(tiny_images().train, {.batch = 24, .micro_batch = 10, .workers = 0, .seed = 3});
  const auto gradient_of = [](PixelLinear& net, const data::Part& part) {
    for (const auto& param : net.parameters()) param->value.zero_grad();
    part.mean(cross_entropy_per_sample(net(cast(part.images(), DType::f64)), part.labels)).backward();
  };
  PixelLinear net(4, DType::f64), moved(4, DType::f64);
  Sgd optimizer(net.parameters());
  SharpnessAware sam(net, optimizer, {.rho = 0.3});
  std::vector<double> expected(static_cast<std::size_t>(optimizer.arena().elements()));
  Sgd of_moved(moved.parameters());
  for (const data::Part& part : loader.epoch(0)) {
    of_moved.zero_grad();
    Tensor(of_moved.arena().values()).copy_from(optimizer.arena().values());
    gradient_of(moved, part);
    const double scale = 0.3 / std::sqrt(squared_norm(of_moved.arena().grads()));
    for (std::size_t i = 0; i < expected.size(); ++i)
      of_moved.arena().values().data<double>()[i] += scale * of_moved.arena().grads().data<double>()[i];
    of_moved.arena().values().bump_version();
    gradient_of(moved, part);
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] += of_moved.arena().grads().data<double>()[i];
    sam.gradients([&] {
      part.mean(cross_entropy_per_sample(net(cast(part.images(), DType::f64)), part.labels)).backward();
    });
    if (part.completes_batch) break;
  }
  CHECK(distance(optimizer.arena().grads().to_vector<double>(), expected) < 1e-12);
}

TEST_CASE("a rho of zero gives the bits of a training without, any other one others") {
  const std::string plain = bits_of_run({}), in_parts = bits_of_run({}, 8);
  CHECK(bits_of_run(SamOptions{.rho = 0}) == plain);
  CHECK(bits_of_run(SamOptions{.rho = 0, .adaptive = true, .m = 8}) == plain);
  CHECK(bits_of_run(SamOptions{.rho = 0}, 8) == in_parts);
  CHECK(bits_of_run(SamOptions{.rho = 1e-3}) != plain);
}

TEST_CASE("sharpness-aware training gives the same bits for any threads and workers") {
  for (const SamOptions& sam : {SamOptions{.rho = 0.1}, SamOptions{.rho = 0.5, .adaptive = true, .m = 8}}) {
    CHECK(bits_of_run(sam, 8, 3, 2) == bits_of_run(sam, 8));
    CHECK(bits_of_run(sam, 8) != bits_of_run({}, 8));
  }
}

TEST_CASE("weights are what they were, and running statistics those of the first pass, in parts or not") {
  for (const std::int64_t micro_batch : {0, 8}) {
    TinyOptions options;
    options.loader.micro_batch = micro_batch;
    TinyParts plain(options), perturbed(options);
    const Sam sam_options = SamOptions{.rho = 0.5};
    const data::Loader loader = loader_for(perturbed.objective, perturbed.loader, sam_options);
    SharpnessAware sam(perturbed.net, *perturbed.optimizer, *sam_options);
    const Tensor sums = Tensor::zeros({2}), plain_sums = Tensor::zeros({2});
    for (const data::Part& part : plain.loader.epoch(0)) {
      accumulate_gradients(plain.objective, part, plain_sums);
      if (part.completes_batch) break;
    }
    int in_second_pass = 0;
    for (const data::Part& part : loader.epoch(0)) {
      accumulate_gradients(perturbed.objective, part, sums, &sam);
      in_second_pass += sam.is_perturbed() ? 1 : 0;
      if (part.completes_batch) break;
    }
    CHECK(in_second_pass == (micro_batch > 0 ? 2 : 0));  // of three parts
    CHECK(bits_of(perturbed.net) == bits_of(plain.net));
    CHECK(sums.to_vector<float>() == plain_sums.to_vector<float>());
    CHECK(perturbed.optimizer->arena().grads().to_vector<float>() !=
          plain.optimizer->arena().grads().to_vector<float>());
  }
}

TEST_CASE("both gradients are of the same dropout masks, and the next step has new ones") {
  WithDropout net;
  const auto optimizer = make_optimizer("sgd", net.parameters(), {{"lr", "0"}});
  SharpnessAware sam(net, *optimizer, {.rho = 1e-30});  // w + ε is w in f32
  const data::Part part =
      *data::Loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3}).epoch(0).begin();
  std::vector<double> losses;
  for (int step = 0; step < 3; ++step) {
    sam.gradients([&] {
      const Tensor loss = cross_entropy(net(part.images()), part.labels);
      losses.push_back(loss.item());
      loss.backward();
    });
  }
  CHECK(losses[0] == losses[1]);
  CHECK(losses[2] == losses[3]);
  CHECK(losses[4] == losses[5]);
  CHECK(losses[1] != losses[2]);
  CHECK(losses[3] != losses[4]);
  CHECK(net.parameter("dropout.num_masks").value.item() == 3);
}

TEST_CASE("without a gradient there is no perturbation, and nothing that is not a number") {
  for (const bool adaptive : {false, true}) {
    PixelLinear net(4);
    Sgd optimizer(net.parameters(), {.lr = 1});
    const std::string before = bits_of(net);
    SharpnessAware sam(net, optimizer, {.rho = 0.5, .adaptive = adaptive});
    sam.gradients([&] { (sum(net(Tensor::ones({2, 8, 8, 3}))) * 0.0).backward(); });
    optimizer.step();
    CHECK(bits_of(net) == before);
  }
}

TEST_CASE("a sharpness-aware run goes on to the bits of one that was not stopped") {
  for (const SamOptions& sam : {SamOptions{.rho = 0.1}, SamOptions{.rho = 0.5, .adaptive = true, .m = 8}}) {
    const Directory directory;
    const auto train = [&](const char* folder, std::int64_t stop, const SamOptions& options) {
      TinyOptions tiny;
      tiny.loader.micro_batch = 8;
      TinyParts parts(tiny);
      Trainer trainer(
          parts.objective, *parts.optimizer, parts.loader,
          {.epochs = 3, .directory = directory.file(folder), .ema = 0.75, .sharpness_aware = options});
      Look look;
      look.on_step = [&](TrainedStep& step) {
        if (step.report.step == stop) trainer.stop();
      };
      NoiseScale noise;
      trainer.test(tiny_images().test).observe(look).observe(noise).run();
      return bits_of(parts.net);
    };
    const std::string whole = train("whole", 0, sam);
    train("stopped", 4, sam);
    CHECK(unexplained([&] { train("stopped", 0, {.rho = 0.2, .adaptive = sam.adaptive, .m = sam.m}); },
                      {"sam: 0.2 here, ", "there"}) == "nothing");
    CHECK(train("stopped", 0, sam) == whole);
    CHECK(differing(directory.file("whole"), directory.file("stopped")).empty());
  }
}

TEST_CASE("a range test of learning rates is sharpness-aware, too, and puts back what it moved") {
  TinyOptions options{.optimizer = "sgd", .lr = 0.1};
  options.loader.micro_batch = 10;
  TinyParts parts(options);
  const std::string before = bits_of(parts.net);
  const auto test = [&](const Sam& sam) {
    return find_lr(parts.objective, *parts.optimizer, parts.loader,
                   {.from = 1e-3, .to = 1e-1, .steps = 5, .sharpness_aware = sam});
  };
  const LrRange plain = test({}), perturbed = test(SamOptions{.rho = 0.5});
  REQUIRE(plain.trials.size() == 5);
  REQUIRE(perturbed.trials.size() == 5);
  CHECK(perturbed.trials.front().loss == plain.trials.front().loss);  // at w
  CHECK(perturbed.trials.back().loss != plain.trials.back().loss);
  CHECK(bits_of(parts.net) == before);
}

TEST_CASE("ASAM scales its step by the weights, and not by the biases") {
  PixelLinear net(4, DType::f64);
  net.parameter("linear.bias").value.detach().fill(3);
  Sgd optimizer(net.parameters(), {.lr = 0.1});
  const SamOptions options{.rho = 0.5, .adaptive = true};
  SharpnessAware sharpness_aware(net, optimizer, options);
  const auto weight = [&] { return net.parameter("linear.weight").value.to_vector<double>(); };
  const auto bias = [&] { return net.parameter("linear.bias").value.to_vector<double>(); };
  const std::vector<double> w = weight(), b = bias();
  sharpness_aware.begin();
  const Tensor x = Tensor::randn({5, 8, 8, 3}, {.dtype = DType::f64, .seed = 1, .draw = 0});
  sum(square(net(x))).backward();
  const auto g = net.parameter("linear.weight").grad().to_vector<double>();
  const auto h = net.parameter("linear.bias").grad().to_vector<double>();
  double squares = 0;  // ‖T g‖²
  for (std::size_t i = 0; i < g.size(); ++i) squares += std::pow((std::abs(w[i]) + options.eta) * g[i], 2);
  for (const double x_i : h) squares += x_i * x_i;
  sharpness_aware.perturb();
  const std::vector<double> moved = weight(), moved_bias = bias();
  const double scale = options.rho / std::sqrt(squares);
  for (std::size_t i = 0; i < 9; ++i)
    CHECK(std::abs(moved[i] - w[i] - scale * std::pow(std::abs(w[i]) + options.eta, 2) * g[i]) < 1e-13);
  for (std::size_t i = 0; i < b.size(); ++i) CHECK(std::abs(moved_bias[i] - b[i] - scale * h[i]) < 1e-13);
  sharpness_aware.restore();
  CHECK(weight() == w);
}

}  // namespace lamina::tests
