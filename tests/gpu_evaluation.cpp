// Evaluation on a GPU, emulated or not, beside the CPU's, and again and again.
#include "train/evaluation.h"

#include <cmath>
#include <utility>
#include <vector>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "gpu_images.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "train/divergence.h"
#include "train/objectives/classification.h"
#include "train/weight_average.h"

namespace lamina::tests {
namespace {

ResNet small_net(Device device) { return ResNet("resnet8", {.classes = 4, .device = device, .seed = 3}); }

// Counts how often it is called, which a replay does not.
class CountedClassification final : public Objective {
 public:
  explicit CountedClassification(Module& net) : inner_(net) {}
  int calls = 0;
  std::string name() const override { return "counted"; }
  Module& module() override { return inner_.module(); }
  std::vector<MetricInfo> metrics() const override { return inner_.metrics(); }
  PartLoss loss(const data::Part& part) override { return inner_.loss(part); }
  PartLoss evaluate(const data::Part& part) override {
    ++calls;
    return inner_.evaluate(part);
  }

 private:
  Classification inner_;
};

}  // namespace

TEST_CASE("tests on the GPU are the CPU's, also with a last batch that is smaller", "[captured]") {
  ResNet cpu = small_net(Device::cpu()), gpu = small_net(Device::cuda());
  const lamina::Evaluation expected = evaluate(cpu, images().test, {.batch = 8}),
                           found =
                               evaluate(gpu, on_gpu(images().test), {.batch = 8, .device = Device::cuda()});
  CHECK(found.samples == 50);
  CHECK(found.correct == expected.correct);
  CHECK(std::abs(found.loss / expected.loss - 1) < 1e-5);  // f32 in another order
  CHECK(found.ranks == expected.ranks);
  for (std::int64_t label = 0; label < expected.confusion.classes(); ++label)
    for (std::int64_t c = 0; c < expected.confusion.classes(); ++c)
      CHECK(found.confusion.count(label, c) == expected.confusion.count(label, c));
}

TEST_CASE("an evaluator replays in every evaluation what it captured in the first", "[captured]") {
  ResNet net = small_net(Device::cuda());
  CountedClassification objective(net);
  const data::Split test = on_gpu(images().test);  // 50: six batches of 8 and one of 2
  Evaluator kept(objective, {.batch = 8, .device = Device::cuda()});
  WeightAverage average(net, 0.5);
  std::vector<int> calls;
  for (int epoch = 0; epoch < 4; ++epoch) {
    INFO("after epoch " << epoch);
    for (const auto& param : net.parameters()) {  // a step of training
      const NoGrad no_grad;
      param->value.detach().copy_from(param->value * 0.9);
    }
    average.update();
    const AveragedWeights averaged(epoch % 2 == 1 ? &average : nullptr);
    const Metrics found = kept.evaluate(test);
    calls.push_back(std::exchange(objective.calls, 0));
    const Metrics expected =
        evaluate(objective, test, {.batch = 8, .device = Device::cuda(), .capture = false});
    CHECK(std::exchange(objective.calls, 0) == 7);
    CHECK(found.loss_sum == expected.loss_sum);
    CHECK(found.sums == expected.sums);
    CHECK(found.samples == 50);
    CHECK(kept.evaluate(test, [](std::int64_t samples) { return samples < 16; }).samples == 16);
    calls.back() += std::exchange(objective.calls, 0);
  }
  CHECK(calls == std::vector<int>{3, 1, 0, 0});  // each size once itself, and once into a graph
}

TEST_CASE("where a test stops being finite is found on the GPU, in any batch", "[captured][errors]") {
  class Logarithm final : public Objective {
   public:
    explicit Logarithm(Module& net) : net_(net) {}
    std::string name() const override { return "logarithm"; }
    Module& module() override { return net_; }
    PartLoss loss(const data::Part& part) override {  // of -0.5 for a label of 3
      return sum(log(cast(part.labels, DType::f32) * -1.0 + 2.5));
    }

   private:
    Module& net_;
  };
  ResNet net = small_net(Device::cuda());
  Logarithm objective(net);
  data::Split split = images().test;
  split.labels = Tensor::zeros(split.labels.shape(), {DType::i32});
  split.labels.data<std::int32_t>()[40] = 3;
  const std::string cause = train::find_non_finite(objective, split, {.batch = 8, .device = Device::cuda()});
  CHECK(unexplained([&] { fail("{}", cause); }, {"log", "finite inputs gave a NaN"}) == "nothing");
}

}  // namespace lamina::tests
