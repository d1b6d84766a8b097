// Training on a GPU, emulated or not: steps that are captured and replayed, results that are read late.
#include <cmath>
#include <limits>
#include <optional>

#include "catch.h"
#include "core/memory/allocator.h"
#include "core/ops/ops.h"
#include "gpu_images.h"
#include "layers/freeze.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "train/objectives/classification.h"
#include "train/step.h"
#include "train/weight_average.h"

#ifndef LAMINA_CUDA
#include "optim/engine/cuda_step.h"
#include "optim/engine/engine.h"
#endif

namespace lamina {

#ifdef LAMINA_CUDA
using GpuLars = Lars;
#else  // the library's optimizers know no GPU
namespace rules {
template <typename Real>
struct GpuLars : Lars<Real> {
  using Lars<Real>::Lars;
};
}  // namespace rules
namespace engine {
template <>
inline constexpr bool built_for_cuda<rules::GpuLars<float>> = true;
}
using GpuLars = OptimizerOf<rules::GpuLars>;
#endif

namespace tests {
namespace {

struct Run {
  ResNet net;
  Classification objective;
  GpuLars optimizer;
  train::TrainingStep step;

  // At perturbed weights a higher rate amplifies roundings: the last bit of a weight opens a ReLU.
  explicit Run(Device device, bool capture = true, const std::optional<SamOptions>& sam = {})
      : Run(device, capture, sam, sam ? 0.1 : 0.5) {}
  Run(Device device, bool capture, const std::optional<SamOptions>& sam, double lr,
      DType activations = DType::f32)
      : net("resnet8", {.classes = 4, .device = device, .activations = activations, .seed = 3}),
        objective(net, {.label_smoothing = 0.1}),
        optimizer(net.parameters(), {.lr = lr, .weight_decay = 1e-3, .trust_coefficient = 0.01}),
        step(objective, optimizer, {.capture = capture, .sharpness_aware = sam}) {
    optimizer.set_tracing(true);
    optimizer.set_schedule(Schedule({.kind = ScheduleOptions::Kind::cosine,
                                     .lr = lr,
                                     .epochs = 4,
                                     .steps_per_epoch = 2,
                                     .warmup_epochs = 1}));
  }

  // Parts of 8, 8 and 4 images to a batch of 20, two batches an epoch.
  void train(int epochs, std::int64_t micro_batch = 8, int passes = 1) {
    const Device device = net.options().device;
    const data::Loader loader(
        device.type == DeviceType::cpu ? images().train : on_gpu(images().train),
        {.batch = 20, .micro_batch = micro_batch, .passes = passes, .augment = data::standard(), .seed = 3});
    for (int epoch = 0; epoch < epochs; ++epoch)
      for (const data::Part& part : loader.epoch(epoch, device)) step.run(part);
  }
  std::vector<float> weights() const { return optimizer.arena().values().to_vector<float>(); }
  std::vector<double> buffers() const {
    std::vector<double> all;
    for (const auto& param : net.state())
      if (param->kind == ParamKind::buffer)
        for (std::int64_t i = 0; i < param->value.elements(); ++i)
          all.push_back(param->value.flat(i, {}).item());
    return all;
  }
};

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void check_same(const train::StepResult& a, const train::StepResult& b) {
  CHECK(a.metrics.loss_sum == b.metrics.loss_sum);
  CHECK(a.metrics.sums == b.metrics.sums);
  CHECK(a.metrics.samples == b.metrics.samples);
  CHECK(a.report.step == b.report.step);
  CHECK(a.report.lr == b.report.lr);
  REQUIRE(a.report.layers.size() == b.report.layers.size());
  for (std::size_t i = 0; i < a.report.layers.size(); ++i) {
    const LayerReport &x = a.report.layers[i], &y = b.report.layers[i];
    CHECK(same(x.weight_norm, y.weight_norm));
    CHECK(same(x.grad_norm, y.grad_norm));
    CHECK(same(x.update_norm, y.update_norm));
    CHECK(same(x.trust, y.trust));
  }
}

}  // namespace

TEST_CASE("replayed steps are the steps", "[captured]") {
  for (const std::int64_t micro_batch : {0, 8}) {
    Run eager(Device::cuda(), false), captured(Device::cuda());
    eager.train(4, micro_batch), captured.train(4, micro_batch);
    CHECK(captured.step.unread() == 8);
    const train::StepResults expected = eager.step.results(), found = captured.step.results();
    CHECK(found.failure.empty());
    REQUIRE(found.steps.size() == 8);
    REQUIRE(expected.steps.size() == 8);
    for (std::size_t i = 0; i < 8; ++i) {
      INFO("step " << i + 1);
      check_same(found.steps[i], expected.steps[i]);
      CHECK(found.steps[i].report.step == static_cast<std::int64_t>(i) + 1);
    }
    CHECK(found.steps[1].report.lr != found.steps[2].report.lr);
    CHECK(captured.weights() == eager.weights());
    CHECK(captured.buffers() == eager.buffers());  // among them how many batches they are of
    CHECK(captured.step.results().steps.empty());
  }
}

TEST_CASE("replayed steps at perturbed weights are the steps, and the CPU's", "[captured]") {
  for (const SamOptions& sam : {SamOptions{.rho = 0.1}, SamOptions{.rho = 0.5, .adaptive = true}}) {
    for (const auto& [micro_batch, passes] : {std::pair(0, 1), {8, 1}, {8, 2}}) {
      Run cpu(Device::cpu(), true, sam), eager(Device::cuda(), false, sam), graph(Device::cuda(), true, sam);
      for (Run* run : {&cpu, &eager, &graph}) run->train(3, micro_batch, passes);
      CHECK(graph.weights() == eager.weights());
      CHECK(graph.buffers() == eager.buffers());
      const train::StepResults expected = cpu.step.results(), found = graph.step.results();
      REQUIRE(found.steps.size() == 6);
      for (std::size_t i = 0; i < 6; ++i)  // f32 in another order
        CHECK(std::abs(found.steps[i].metrics.loss() / expected.steps.at(i).metrics.loss() - 1) < 1e-4);
    }
  }
}

TEST_CASE("in bf16, too, replayed steps are the steps", "[captured][bf16]") {
  for (const std::optional<SamOptions>& sam : {std::optional<SamOptions>(), {{.rho = 0.1}}}) {
    Run eager(Device::cuda(), false, sam, 0.1, DType::bf16),
        graph(Device::cuda(), true, sam, 0.1, DType::bf16);
    const std::vector<float> before = eager.weights();
    eager.train(3), graph.train(3);
    CHECK(eager.weights() != before);
    CHECK(graph.weights() == eager.weights());
    CHECK(graph.step.results().failure.empty());
  }
}

TEST_CASE("replayed steps are the CPU's", "[captured]") {
  Run cpu(Device::cpu()), gpu(Device::cuda());
  cpu.train(2), gpu.train(2);
  for (const Run* run : {&cpu, &gpu})  // two epochs of two batches in three parts
    for (const auto& param : run->net.state())
      if (param->name.ends_with("num_batches_tracked")) CHECK(param->value.item() == 12);
  const train::StepResults expected = cpu.step.results(), found = gpu.step.results();
  REQUIRE(found.steps.size() == expected.steps.size());
  for (std::size_t i = 0; i < found.steps.size(); ++i) {
    INFO("step " << i + 1);  // f32 in another order, over four steps
    CHECK(std::abs(found.steps[i].metrics.loss() / expected.steps[i].metrics.loss() - 1) < 1e-4);
    CHECK(found.steps[i].report.lr == expected.steps[i].report.lr);
    CHECK(found.steps[i].metrics.sums[0] <= 20);
    CHECK(found.steps[i].metrics.loss() < 3);  // log(4) at first: those of the step before are not in it
  }
}

namespace {

// How far the logits of two views of an image lie apart, and how large they are.
class Agreement final : public Objective {
 public:
  explicit Agreement(Module& net) : net_(net) {}
  std::string name() const override { return "agreement"; }
  Module& module() override { return net_; }
  std::vector<MetricInfo> metrics() const override { return {{"size", false}}; }
  PartLoss loss(const data::Part& part) override {
    const Tensor a = net_(part.views[0]), b = net_(part.views[1]);
    const Tensor distance = reshape(sum_to(square(a - b), {part.size(), 1}), {part.size()});
    return {part.mean(distance + 1.0), {sum(square(a.detach()))}};
  }

 private:
  Module& net_;
};

}  // namespace

TEST_CASE("with frozen parameters and an average of weights, replayed steps are the steps", "[captured]") {
  const auto trained = [](bool capture) {
    ResNet net("resnet8", {.classes = 4, .device = Device::cuda(), .seed = 3});
    freeze(net, "layer1.*");
    const std::shared_ptr<Param> frozen = net.parameters()[3];
    const std::vector<float> before = frozen->value.to_vector<float>();
    Classification objective(net);
    GpuLars optimizer(net.parameters(), {.lr = 0.5, .trust_coefficient = 0.01, .max_grad_norm = 0.5});
    WeightAverage average(net, 0.75);
    train::TrainingStep step(objective, optimizer,
                             {.capture = capture, .after_step = [&] { average.update(); }});
    const data::Loader loader(on_gpu(images().train), {.batch = 20, .micro_batch = 10, .seed = 3});
    for (int epoch = 0; epoch < 3; ++epoch)
      for (const data::Part& part : loader.epoch(epoch, Device::cuda())) step.run(part);
    CHECK(frozen->frozen);
    CHECK(frozen->value.to_vector<float>() == before);
    std::pair<std::vector<float>, std::vector<float>> result;
    result.first = optimizer.arena().values().to_vector<float>();
    average.copy_to_module();
    result.second = optimizer.arena().values().to_vector<float>();
    return result;
  };
  const auto replayed = trained(true);
  CHECK(replayed == trained(false));
  CHECK(replayed.first != replayed.second);
}

TEST_CASE("any objective's steps are captured: two views, another loss", "[captured]") {
  const auto train = [](Device device, bool capture) {
    ResNet net("resnet8", {.classes = 4, .device = device, .seed = 3});
    Agreement objective(net);
    GpuLars optimizer(net.parameters(), {.lr = 0.1});
    train::TrainingStep step(objective, optimizer, {.capture = capture});
    const data::Loader loader(
        images().train,
        {.batch = 20, .micro_batch = 8, .augment = data::standard(), .views = 2, .workers = 0, .seed = 3});
    for (int epoch = 0; epoch < 4; ++epoch)
      for (const data::Part& part : loader.epoch(epoch, device)) step.run(part);
    const train::StepResults results = step.results();
    CHECK(results.failure.empty());
    std::vector<double> measured;
    for (const train::StepResult& result : results.steps)
      measured.insert(measured.end(), {result.metrics.loss(), result.metrics.sums.at(0)});
    return std::pair(measured, optimizer.arena().values().to_vector<float>());
  };
  const auto captured = train(Device::cuda(), true), eager = train(Device::cuda(), false);
  CHECK(captured.first.size() == 16);
  CHECK(captured == eager);
  const auto cpu = train(Device::cpu(), true);  // f32 in another order, in the first step
  CHECK(std::abs(captured.first[0] / cpu.first[0] - 1) < 1e-5);
}

TEST_CASE("a smaller last batch is averaged over its own size", "[captured]") {
  for (const Device device : {Device::cpu(), Device::cuda()}) {
    Run kept(device), renewed(device);  // the second with a new TrainingStep for every batch
    std::optional<train::TrainingStep> step;
    const data::Loader loader(images().train, {.batch = 16, .micro_batch = 8});  // 40 images
    for (const data::Part& part : loader.epoch(0, device)) {
      kept.step.run(part);
      if (!step) step.emplace(renewed.objective, renewed.optimizer);
      step->run(part);
      if (part.completes_batch) step.reset();
    }
    CHECK(kept.optimizer.steps() == 3);
    CHECK(kept.weights() == renewed.weights());
  }
}

TEST_CASE("a step that diverges changes nothing, and is told after those before it", "[captured]") {
  for (const Device device : {Device::cpu(), Device::cuda()}) {
    INFO(device.str());
    Run run(device);
    run.train(2, 0);
    const std::vector<float> before = run.weights();
    const data::Part bad{.views = {Tensor::full({20, 8, 8, 3}, NAN, {.device = device})},
                         .labels = Tensor::zeros({20}, {DType::i32, device}),
                         .batch_samples = 20};
    run.step.run(bad);
    run.train(1, 0);
    CHECK(run.step.unread() == 7);
    const train::StepResults results = run.step.results();
    CHECK(results.steps.size() == 4);
    CHECK(results.failure == "the loss is nan");
    CHECK(run.weights() == before);
    CHECK(run.optimizer.steps() == 4);
  }
}

TEST_CASE("a gradient that is not finite is named when the report is read", "[captured]") {
  Run run(Device::cuda());
  run.train(1, 0);
  run.optimizer.prepare_step();
  run.optimizer.arena().grads().rows(5, 1).fill(INFINITY);
  run.optimizer.apply_step();
  run.optimizer.zero_grad();
  run.optimizer.step();
  CHECK(run.optimizer.take_reports().size() == 2);
  CHECK(unexplained([&] { run.optimizer.take_reports(); }, {"step 3", "conv1.weight", "not finite"}) ==
        "nothing");
  CHECK(run.optimizer.steps() == 2);
  run.optimizer.step();
  CHECK(run.optimizer.report().step == 3);
}

TEST_CASE("as many reports are kept as were promised", "[captured]") {
  Run run(Device::cuda());
  for (int i = 0; i < 100; ++i) run.optimizer.step();
  const std::vector<StepReport> reports = run.optimizer.take_reports();
  REQUIRE(std::ssize(reports) == Optimizer::reports_kept);
  CHECK(reports.front().step == 101 - Optimizer::reports_kept);
  CHECK(reports.back().step == 100);
}

}  // namespace tests
}  // namespace lamina
