// Whole models on CUDA against the CPU: losses, named gradients and running statistics over several steps.
// Compiled twice, as core_cuda_parity.cpp is.
#include <algorithm>
#include <cmath>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"

namespace lamina::tests {
namespace {

struct Result {
  std::vector<double> losses;
  std::vector<std::pair<std::string, std::vector<float>>>
      tensors;  // gradients of the first step, then buffers
};

// Plain gradient descent, written out: the optimizers have tests of their own.
Result train(const ResNetOptions& options, int steps, const data::Split& split) {
  ResNet net("resnet8", options);
  const data::Loader loader(split, {.batch = 32, .augment = data::standard(), .seed = 3});
  Result result;
  for (auto [images, labels] : loader.epoch(0, options.device)) {
    const Tensor loss = cross_entropy(net(images), labels, {.label_smoothing = 0.1});
    loss.backward();
    result.losses.push_back(loss.item());
    for (const auto& param : net.parameters()) {
      if (param->kind == ParamKind::buffer) continue;
      if (result.losses.size() == 1)
        result.tensors.emplace_back(param->name, param->grad().to(Device::cpu()).to_vector<float>());
      param->value.copy_from((param->value.detach() - param->grad() * 0.05));
      param->value.zero_grad();
    }
    if (static_cast<int>(result.losses.size()) == steps) break;
  }
  for (const auto& param : net.parameters())
    if (param->kind == ParamKind::buffer && param->value.dtype() == DType::f32)
      result.tensors.emplace_back(param->name, param->value.to(Device::cpu()).to_vector<float>());
  return result;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {  // |a - b| / |b|
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

struct Bound {
  double loss, tensor;
};

void compare(const Result& cuda, const Result& cpu, const Bound& bound) {
  REQUIRE(cuda.losses.size() == cpu.losses.size());
  for (std::size_t i = 0; i < cpu.losses.size(); ++i) {
    INFO("step " << i + 1);
    CHECK(std::abs(cuda.losses[i] / cpu.losses[i] - 1) <= bound.loss);
  }
  REQUIRE(cuda.tensors.size() == cpu.tensors.size());
  for (std::size_t i = 0; i < cpu.tensors.size(); ++i) {
    INFO(cpu.tensors[i].first);
    CHECK(distance(cuda.tensors[i].second, cpu.tensors[i].second) <= bound.tensor);
  }
}

}  // namespace

TEST_CASE("a ResNet trains on CUDA as on the CPU", "[cuda][model]") {
  if (cuda_device_count() == 0) {
    WARN("whole models on CUDA: 3 cases skipped: no device");
    return;
  }
  const data::Dataset data = data::synthetic({.height = 16, .width = 16, .train = 320, .test = 10});
  data::Split on_gpu = data.train;
  on_gpu.images = data.train.images.to(Device::cuda());
  ResNetOptions options{.seed = 5};
  const Result cpu = train(options, 10, data.train);
  options.device = Device::cuda();
  // f32 in another order; ten steps of a chaotic process.
  compare(train(options, 10, on_gpu), cpu, {.loss = 1e-4, .tensor = 1e-3});
  {
    INFO("pixels made into batches by the CPU");
    compare(train(options, 1, data.train), train({.seed = 5}, 1, data.train), {.loss = 1e-5, .tensor = 1e-4});
  }
  INFO("bf16");
  options.activations =
      DType::bf16;  // 2^-8 a rounding; where it turns a sign, a ReLU opens or shuts: seen up to 0.13
  compare(train(options, 1, on_gpu), train({.seed = 5}, 1, data.train), {.loss = 1e-2, .tensor = 0.25});
}

}  // namespace lamina::tests
