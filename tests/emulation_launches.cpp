// How many kernels a training step is: each takes a GPU a microsecond to start, whatever it does.
#include <cstddef>
#include <string>

#include "catch.h"
#include "core/backend.h"
#include "core/ops/loss.h"
#include "emulated_cuda/machine.h"
#include "layers/resnet.h"
#include "optim/optimizer.h"

namespace lamina::tests {

#ifdef LAMINA_CUDA  // else the library's optimizers know no GPU

namespace {

// Of a step on images of CIFAR's size in bf16, captured and not run: convolutions and products are one each.
std::size_t launches_of_step(const std::string& model, std::int64_t batch) {
  const Device device = Device::cuda();
  ResNet net(model, {.classes = 10, .stem = Stem::cifar, .device = device, .activations = DType::bf16});
  TvLars optimizer(net.parameters(), {});
  const Tensor images = Tensor::zeros({batch, 32, 32, 3}, {.device = device});
  const Tensor labels = Tensor::zeros({batch}, {DType::i32, device});
  optimizer.prepare_step();
  const std::size_t before = emulated_launches();
  const auto graph = backend_for(device).capture([&] {
    cross_entropy(net(images), labels).backward();
    optimizer.apply_step();
    optimizer.zero_grad();
  });
  return emulated_launches() - before;
}

}  // namespace

TEST_CASE("a training step is no more kernels than it was", "[cuda]") {
  CHECK(launches_of_step("resnet18", 128) <= 134);
  CHECK(launches_of_step("resnet20", 128) <= 127);
}

#endif

}  // namespace lamina::tests
