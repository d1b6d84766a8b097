// Training on a GPU, emulated or not: steps that are recorded and replayed, results that are read late.
#include <cmath>
#include <limits>
#include <optional>

#include "apps/training_setup.h"
#include "apps/training_step.h"
#include "catch.h"
#include "core/allocator.h"
#include "core/ops/ops.h"
#include "data/synthetic.h"
#include "lamina/evaluate.h"
#include "layers/resnet.h"
#include "message_of.h"

#ifndef LAMINA_CUDA
#include "optim/engine.h"
#include "optim/engine_cuda_step.h"
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
inline constexpr bool built_for_cuda<rules::GpuLars<float> > = true;
}
using GpuLars = OptimizerOf<rules::GpuLars>;
#endif

namespace tests {
namespace {

const data::Dataset& images() {
  static const data::Dataset data =
      data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 40, .test = 50});
  return data;
}

data::Split on_gpu(data::Split split) {
  split.images = split.images.to(Device::cuda());
  return split;
}

struct Run {
  ResNet net;
  GpuLars optimizer;
  TrainingStep step;

  explicit Run(Device device, bool record = true)
      : net("resnet8", {.classes = 4, .device = device, .seed = 3}),
        optimizer(net.parameters(), {.lr = 0.5, .weight_decay = 1e-3, .trust_coefficient = 0.01}),
        step(net, optimizer, {.label_smoothing = 0.1, .record = record}) {
    optimizer.set_tracing(true);
    optimizer.set_schedule(Schedule({.kind = ScheduleOptions::Kind::cosine,
                                     .lr = 0.5,
                                     .epochs = 4,
                                     .steps_per_epoch = 2,
                                     .warmup_epochs = 1}));
  }

  // Parts of 8, 8 and 4 images to a batch of 20, two batches an epoch.
  void train(int epochs, std::int64_t micro_batch = 8) {
    const Device device = net.options().device;
    const data::Loader loader(
        device.type == DeviceType::cpu ? images().train : on_gpu(images().train),
        {.batch = 20, .micro_batch = micro_batch, .augment = data::standard(), .seed = 3});
    for (int epoch = 0; epoch < epochs; ++epoch)
      for (const data::Batch& part : loader.epoch(epoch, device)) step.run(part);
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

void check_same(const StepResult& a, const StepResult& b) {
  CHECK(a.metrics.loss_sum == b.metrics.loss_sum);
  CHECK(a.metrics.correct == b.metrics.correct);
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

TEST_CASE("replayed steps are the steps", "[recorded]") {
  for (const std::int64_t micro_batch : {0, 8}) {
    Run eager(Device::cuda(), false), recorded(Device::cuda());
    eager.train(4, micro_batch), recorded.train(4, micro_batch);
    CHECK(recorded.step.unread() == 8);
    const StepResults expected = eager.step.results(), found = recorded.step.results();
    CHECK(found.failure.empty());
    REQUIRE(found.steps.size() == 8);
    REQUIRE(expected.steps.size() == 8);
    for (std::size_t i = 0; i < 8; ++i) {
      INFO("step " << i + 1);
      check_same(found.steps[i], expected.steps[i]);
      CHECK(found.steps[i].report.step == static_cast<std::int64_t>(i) + 1);
    }
    CHECK(found.steps[1].report.lr != found.steps[2].report.lr);
    CHECK(recorded.weights() == eager.weights());
    CHECK(recorded.buffers() == eager.buffers());  // among them how many batches they are of
    CHECK(recorded.step.results().steps.empty());
  }
}

TEST_CASE("replayed steps are the CPU's", "[recorded]") {
  Run cpu(Device::cpu()), gpu(Device::cuda());
  cpu.train(2), gpu.train(2);
  for (const Run* run : {&cpu, &gpu})  // two epochs of two batches in three parts
    for (const auto& param : run->net.state())
      if (param->name.ends_with("num_batches_tracked")) CHECK(param->value.item() == 12);
  const StepResults expected = cpu.step.results(), found = gpu.step.results();
  REQUIRE(found.steps.size() == expected.steps.size());
  for (std::size_t i = 0; i < found.steps.size(); ++i) {
    INFO("step " << i + 1);  // f32 in another order, over four steps
    CHECK(std::abs(found.steps[i].metrics.loss() / expected.steps[i].metrics.loss() - 1) < 1e-4);
    CHECK(found.steps[i].report.lr == expected.steps[i].report.lr);
    CHECK(found.steps[i].metrics.correct <= 20);
    CHECK(found.steps[i].metrics.loss() < 3);  // log(4) at first: those of the step before are not in it
  }
}

TEST_CASE("a smaller last batch is averaged over its own size", "[recorded]") {
  for (const Device device : {Device::cpu(), Device::cuda()}) {
    Run kept(device), renewed(device);  // the second with a new TrainingStep for every batch
    std::optional<TrainingStep> step;
    const data::Loader loader(images().train, {.batch = 16, .micro_batch = 8});  // 40 images
    for (const data::Batch& part : loader.epoch(0, device)) {
      kept.step.run(part);
      if (!step) step.emplace(renewed.net, renewed.optimizer, TrainingStepOptions{.label_smoothing = 0.1});
      step->run(part);
      if (part.last_part) step.reset();
    }
    CHECK(kept.optimizer.steps() == 3);
    CHECK(kept.weights() == renewed.weights());
  }
}

TEST_CASE("a step that diverges changes nothing, and is told after those before it", "[recorded]") {
  for (const Device device : {Device::cpu(), Device::cuda()}) {
    INFO(device.str());
    Run run(device);
    run.train(2, 0);
    const std::vector<float> before = run.weights();
    data::Batch bad{.images = Tensor::full({20, 8, 8, 3}, NAN, {.device = device}),
                    .labels = Tensor::zeros({20}, {DType::i32, device}),
                    .samples = {},
                    .batch_size = 20,
                    .last_part = true};
    run.step.run(bad);
    run.train(1, 0);
    CHECK(run.step.unread() == 7);
    const StepResults results = run.step.results();
    CHECK(results.steps.size() == 4);
    CHECK(results.failure == "the loss is nan");
    CHECK(run.weights() == before);
    CHECK(run.optimizer.steps() == 4);
  }
}

TEST_CASE("a gradient that is not finite is named when the report is read", "[recorded]") {
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

TEST_CASE("as many reports are kept as were promised", "[recorded]") {
  Run run(Device::cuda());
  for (int i = 0; i < 100; ++i) run.optimizer.step();
  const std::vector<StepReport> reports = run.optimizer.take_reports();
  REQUIRE(std::ssize(reports) == Optimizer::reports_kept);
  CHECK(reports.front().step == 101 - Optimizer::reports_kept);
  CHECK(reports.back().step == 100);
}

TEST_CASE("tests on the GPU are the CPU's, also with a last batch that is smaller", "[recorded]") {
  Run cpu(Device::cpu()), gpu(Device::cuda());
  const lamina::Evaluation expected = evaluate(cpu.net, images().test, {.batch = 8}),
                           found = evaluate(gpu.net, on_gpu(images().test),
                                            {.batch = 8, .device = Device::cuda()});
  CHECK(found.samples == 50);
  CHECK(found.correct == expected.correct);
  CHECK(std::abs(found.loss / expected.loss - 1) < 1e-5);  // f32 in another order
}

TEST_CASE("recorded work that waits or uploads is an error, and nothing stays recorded",
          "[recorded][errors]") {
  const Device gpu = Device::cuda();
  const Tensor x = Tensor::full({3}, 2, {.device = gpu});
  Tensor total = Tensor::zeros({}, {.device = gpu});
  enum { add, read, upload, wait, leave } what = add;
  Recorded work(gpu, [&] {
    backend_for(gpu).accumulate(sum(x), total);
    if (what == read) total.item();
    if (what == upload) Tensor::from<float>({1}, {1}, gpu);
    if (what == wait) backend_for(gpu).synchronize();
    if (what == leave) fail("enough");
  });
  work.run();
  for (const auto& [kind, message] : {std::pair(read, "reading from the GPU"),
                                      {upload, "copying to the GPU"},
                                      {wait, "waiting for the GPU"}}) {
    what = kind;
    CHECK(unexplained([&] { work.run(); }, {message, "--eager", "record = false"}) == "nothing");
    CHECK(total.item() == 6);
  }
  what = leave;
  CHECK(message_of([&] { work.run(); }) == "enough");
  what = add;
  Allocator& allocator = backend_for(gpu).allocator();
  allocator.set_limit(allocator.use().live_bytes);
  CHECK_THROWS_AS(work.run(), OutOfMemory);
  allocator.set_limit(std::numeric_limits<std::size_t>::max());
  CHECK(total.item() == 6);
  work.run();
  what = leave;  // no longer called
  work.run();
  CHECK(total.item() == 18);
}

TEST_CASE("recorded work reads its inputs in one place; other shapes start a new recording", "[recorded]") {
  for (const bool record : {true, false}) {
    const Device gpu = Device::cuda();
    Tensor total = Tensor::zeros({}, {.device = gpu});
    int calls = 0;
    Recorded work(gpu,
                  [&](const Tensor& x, const Tensor& y) {
                    backend_for(gpu).accumulate(sum(x * y), total);
                    ++calls;
                  },
                  {.record = record});
    double expected = 0;
    const auto run = [&](std::int64_t size, double x, double y) {
      Tensor a = Tensor::full({size}, x, {.device = gpu});
      const Tensor b = Tensor::full({size}, y, {.device = gpu});
      work.run(a, b);
      CHECK(total.item() == (expected += static_cast<double>(size) * x * y));
      CHECK(a.to_vector<float>()[0] == static_cast<float>(x));
      return a;
    };
    const Tensor first = run(3, 1, 2);
    for (int x = 2; x < 6; ++x) run(3, x, 3);
    CHECK(first.to_vector<float>()[0] == 1);  // a copy of it was written to
    CHECK(calls == (record ? 2 : 5));
    for (int x = 2; x < 6; ++x) run(2, x, 3);
    CHECK(calls == (record ? 4 : 9));
    CHECK(unexplained([&] { work.run(first); }, {"given 1 tensors", "takes 2"}) == "nothing");
  }
}

TEST_CASE("without a recording nothing of a batch is copied or kept", "[recorded][memory]") {
  for (const Device device : {Device::cpu(), Device::cuda()}) {
    const Allocator& allocator = backend_for(device).allocator();
    const bool on_cpu = device.type == DeviceType::cpu;  // which never records
    Recorded work(device, [](const Tensor& x) { Tensor(x).fill(1); }, {.record = on_cpu});
    const std::size_t before = allocator.use().live_bytes;
    {
      const Tensor x = Tensor::zeros({1000}, {.device = device});
      const std::size_t with = allocator.use().live_bytes;
      work.run(x);
      CHECK(allocator.use().live_bytes == with);
      CHECK(x.to_vector<float>()[999] == 1);  // not a copy of it
    }
    CHECK(allocator.use().live_bytes == before);
  }
}

TEST_CASE("images that would leave too little memory for training stay on the CPU", "[memory]") {
  Allocator& allocator = backend_for(Device::cuda()).allocator();
  const Tensor pixels = images().train.images;
  const auto place = [&](double times) {
    allocator.set_limit(allocator.use().live_bytes +
                        static_cast<std::size_t>(times * static_cast<double>(pixels.bytes())));
    const Tensor placed = place_images(pixels, Device::cuda());
    allocator.set_limit(std::numeric_limits<std::size_t>::max());
    return placed.device();
  };
  CHECK(place(2.5) == Device::cuda());
  CHECK(place(1.5) == Device::cpu());
}

TEST_CASE("on the CPU recorded work is simply done", "[recorded]") {
  int runs = 0;
  Recorded work(Device::cpu(), [&] { ++runs; });
  for (int i = 0; i < 3; ++i) work.run();
  CHECK(runs == 3);
}

}  // namespace tests
}  // namespace lamina
