// Self-supervised losses on a GPU, emulated or not: the CPU's gradients, captured and in two passes.
#include <cmath>

#include "catch.h"
#include "core/captured.h"
#include "core/ops/ops.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"
#include "train/objectives/barlow_twins.h"
#include "train/objectives/simclr.h"
#include "train/objectives/vicreg.h"

namespace lamina::tests {
namespace {

struct MethodRun {
  ResNet net;
  std::unique_ptr<TwoViewObjective> objective;
  data::Loader loader;

  MethodRun(const std::string& method, Device device, std::int64_t micro_batch = 0)
      : net("resnet8",
            {.head = false, .projector = ProjectorOptions{.widths = {12, 6}}, .device = device, .seed = 3}),
        objective(make(method)),
        loader(loader_for(*objective, data::Loader(images(), {.batch = 16,
                                                              .micro_batch = micro_batch,
                                                              .augment = data::standard(),
                                                              .views = 2,
                                                              .workers = 0,
                                                              .seed = 3}))) {}

  std::unique_ptr<TwoViewObjective> make(const std::string& method) {
    if (method == "barlow-twins") return std::make_unique<BarlowTwins>(net);
    if (method == "simclr") return std::make_unique<SimClr>(net);
    return std::make_unique<VicReg>(net);
  }
  static const data::Split& images() {
    static const data::Split split =
        data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 64, .test = 4}).train;
    return split;
  }

  // Loss, metrics and gradients of each batch of an epoch, whose numbers never enter the weights.
  std::vector<std::vector<float>> gradients(bool capture) {
    const Device device = net.options().device;
    const Tensor sums = Tensor::zeros({std::ssize(objective->metrics()) + 1}, {.device = device});
    for (const auto& param : net.parameters()) param->value.bind_grad(Tensor::zeros_like(param->value));
    Captured work(device,
                  [&](const Tensor& a, const Tensor& b, const Tensor& labels) {
                    const data::Part part{.views = {a, b}, .labels = labels, .batch_samples = 16};
                    accumulate_gradients(*objective, part, sums);
                  },
                  {.capture = capture});
    std::vector<std::vector<float>> batches;
    for (const data::Part& part : loader.epoch(0, device)) {
      if (part.passes == 1)
        work.run(part.view(0), part.view(1), part.labels);
      else
        accumulate_gradients(*objective, part, sums);
      if (!part.completes_batch) continue;
      batches.push_back(sums.to_vector<float>());
      Tensor(sums).fill(0);
      for (const auto& param : net.parameters()) {
        Tensor grad = param->value.grad();
        const std::vector<float> values = grad.to_vector<float>();
        batches.back().insert(batches.back().end(), values.begin(), values.end());
        grad.fill(0);
      }
    }
    return batches;
  }
};

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace

TEST_CASE("self-supervised losses on the GPU are the CPU's, replayed and in two passes", "[captured]") {
  for (const char* method : {"barlow-twins", "simclr", "vicreg"}) {
    INFO(method);
    const auto replayed = MethodRun(method, Device::cuda()).gradients(true),
               called = MethodRun(method, Device::cuda()).gradients(false),
               on_cpu = MethodRun(method, Device::cpu()).gradients(false),
               parts = MethodRun(method, Device::cuda(), 4).gradients(false),
               parts_on_cpu = MethodRun(method, Device::cpu(), 4).gradients(false);
    REQUIRE(replayed.size() == 4);
    CHECK(replayed == called);
    for (std::size_t i = 0; i < 4; ++i) {
      // Rounding in f32, through some ten normalised layers.
      CHECK(relative_error(replayed[i], on_cpu[i]) < 1e-3);
      CHECK(relative_error(parts[i], parts_on_cpu[i]) < 1e-3);
    }
  }
}

}  // namespace lamina::tests
