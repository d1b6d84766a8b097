// A step of Barlow Twins against PyTorch: the loss, every gradient of backbone and projector, and running
// statistics after both views. tests/peers/make_barlow_twins_golden.py made the numbers.
#include <fstream>

#include "core/backend.h"
#include "hashed_net.h"
#include "layers/resnet.h"
#include "train/objectives/barlow_twins.h"

namespace lamina::tests {
namespace {

using nlohmann::json;

const json& golden_steps() {
  static const json numbers =
      json::parse(std::ifstream(std::string(LAMINA_SOURCE_DIR) + "/tests/golden/barlow_twins_pytorch.json"));
  return numbers;
}

struct StepDifferences {
  double loss = 0, gradients = 0, statistics = 0;
};

StepDifferences step_differences(const json& expected, DType dtype) {
  const SerialScope one_thread;
  ResNet net(expected["model"].get<std::string>(),
             {.head = false,
              .projector = ProjectorOptions{.widths = expected["projector"].get<std::vector<int>>()},
              .stem = parse_stem(expected["stem"].get<std::string>()),
              .shortcut = parse_shortcut(expected["shortcut"].get<std::string>()),
              .dtype = dtype});
  set_weights(net);
  const int batch = expected["batch"], size = expected["size"];
  const Tensor first = make_images(batch, size, dtype), second = make_images(batch, size, dtype, 202);
  const data::Part part{.views = {first, first + 0.3 * second},
                        .labels = Tensor::zeros({batch}, {.dtype = DType::i32}),
                        .batch_samples = batch};
  BarlowTwins objective(net, {.lambda = golden_steps()["lambda"]});
  const PartLoss result = objective.loss(part);
  result.loss.backward();

  const double loss = expected["loss"];
  StepDifferences worst{.loss = std::abs(result.loss.item() - loss) / loss};
  std::uint32_t parameters = 0, buffers = 0;
  for (const auto& param : net.state()) {
    const bool trained = param->trainable();
    std::uint32_t& stream = trained ? parameters : buffers;
    ++stream;
    if (param->name.ends_with("num_batches_tracked")) {
      CHECK(param->value.item() == 2);
      continue;
    }
    const json& theirs = expected[trained ? "gradients" : "statistics"].at(param->name);
    const Tensor& ours = trained ? param->grad() : param->value;
    double& of_kind = trained ? worst.gradients : worst.statistics;
    of_kind =
        std::max(of_kind, worst_difference(describe(*param, ours, stream), theirs, theirs[0].get<double>()));
  }
  CHECK(parameters == expected["gradients"].size());
  return worst;
}

}  // namespace

TEST_CASE("a step of Barlow Twins equals PyTorch's") {
  for (const json& expected : golden_steps()["cases"]) {
    INFO(expected["name"].get<std::string>());
    const StepDifferences worst = step_differences(expected, DType::f64);
    INFO("loss " << worst.loss << ", gradients " << worst.gradients << ", statistics " << worst.statistics);
    // Rounding: 2^-53 amplified by the networks' condition, up to 10^5 as PyTorch's own errors in f32 show.
    CHECK(worst.loss < 1e-12);
    CHECK(worst.gradients < 1e-9);
    CHECK(worst.statistics < 1e-12);
  }
}

TEST_CASE("a step of Barlow Twins in f32 is as near to the exact one as PyTorch's") {
  for (const json& expected : golden_steps()["cases"]) {
    INFO(expected["name"].get<std::string>());
    const StepDifferences worst = step_differences(expected, DType::f32);
    const json& theirs = expected["f32_error"];
    INFO("loss " << worst.loss << ", gradients " << worst.gradients << ", statistics " << worst.statistics);
    // Two correct programs differ by their order of summation and by Winograd's rounding: a small factor.
    CHECK(worst.loss < 10 * theirs["loss"].get<double>());
    CHECK(worst.gradients < 10 * theirs["gradients"].get<double>());
    CHECK(worst.statistics < 10 * theirs["statistics"].get<double>());
  }
}

}  // namespace lamina::tests
