// SAM and ASAM against their public code around SGD, LARS and TVLARS; tests/peers/make_sam_golden.py made the
// numbers.
#include <fstream>

#include "core/ops/ops.h"
#include "hashed_net.h"
#include "layers/linear.h"
#include "optim/presets.h"
#include "train/sharpness_aware.h"

namespace lamina::tests {
namespace {

using nlohmann::json;

constexpr int sam_samples = 8, sam_inputs = 5, sam_width = 6;

Tensor hashed_numbers(const Shape& shape, std::uint32_t stream) {
  std::vector<double> values;
  for (std::uint32_t i = 0; i < shape.elements(); ++i) values.push_back(signed_unit(i, stream));
  return Tensor::from(values, shape);
}

// γ x + β, as a normalisation ends in.
class ScaleAndShift final : public Module {
 public:
  ScaleAndShift()
      : weight_(add_param("weight", ParamKind::norm, 1 + 0.5 * hashed_numbers({sam_width}, 2))),
        bias_(add_param("bias", ParamKind::norm, 0.1 * hashed_numbers({sam_width}, 3))) {}
  std::string kind() const override { return "ScaleAndShift"; }

 private:
  Tensor forward(const Tensor& x) override { return weight_->value * x + bias_->value; }
  std::shared_ptr<Param> weight_, bias_;
};

// As the script's Net.
class ThreeTensors final : public Module {
 public:
  ThreeTensors()
      : hidden_(&add_child<Linear>("hidden", sam_inputs, sam_width,
                                   LinearLayerOptions{.bias = false, .tensor = {.dtype = DType::f64}})),
        norm_(&add_child<ScaleAndShift>("norm")) {
    hidden_->parameter("weight").value.copy_from(hashed_numbers({sam_width, sam_inputs}, 1));
  }
  std::string kind() const override { return "ThreeTensors"; }

 private:
  Tensor forward(const Tensor& x) override { return (*norm_)(tanh((*hidden_)(x))); }
  Linear* hidden_;
  ScaleAndShift* norm_;
};

Tensor golden_loss(ThreeTensors& net, std::uint32_t step) {
  const Tensor x = 2 * hashed_numbers({sam_samples, sam_inputs}, 10 + 2 * step),
               y = hashed_numbers({sam_samples, sam_width}, 11 + 2 * step);
  return 0.5 * sum(square(net(x) - y)) / static_cast<double>(sam_samples);
}

std::vector<double> parameters_of(const Module& net) {
  std::vector<double> all;
  for (const auto& param : net.parameters()) {
    const std::vector<double> values = param->value.to_vector<double>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace

TEST_CASE("SAM and ASAM take the steps of their public code") {
  const json golden = json::parse(std::ifstream(LAMINA_SOURCE_DIR "/tests/golden/sam_pytorch.json"));
  REQUIRE(golden["cases"].size() == 6);
  for (const json& expected : golden["cases"]) {
    const std::string method = expected["method"], name = expected["optimizer"];
    CAPTURE(method, name);
    ThreeTensors net;
    KnobSettings settings = parse_settings(expected["settings"].get<std::string>());
    settings.emplace_back("weight_decay", fmt::format("{}", golden["weight_decay"].get<double>()));
    const auto optimizer =
        make_optimizer(name, net.parameters(), settings, {.batch = 1024, .steps_per_epoch = 4});
    SharpnessAware sam(
        net, *optimizer,
        {.rho = expected["rho"], .adaptive = method == "asam", .eta = expected.value("eta", 9.0)});
    std::size_t recorded = 0;
    for (std::uint32_t step = 1; step <= expected["losses"].size(); ++step) {
      std::vector<double> losses;
      const std::vector<double> before = parameters_of(net);
      sam.gradients([&] {
        const Tensor loss = golden_loss(net, step);
        losses.push_back(loss.item());
        loss.backward();
      });
      CHECK(parameters_of(net) == before);
      optimizer->step();
      optimizer->zero_grad();
      REQUIRE(losses.size() == 2);
      CHECK(losses[0] == Approx(expected["losses"][step - 1].get<double>()).epsilon(1e-10));
      if (step != golden["recorded_steps"][recorded]) continue;
      // ASAM's code adds 1e-16 to the norm where ours adds 1e-12; that is seen over 20 steps.
      CHECK(worst_difference(parameters_of(net), expected["parameters"][recorded++], 1) < 1e-10);
    }
    CHECK(recorded == 3);
  }
}

}  // namespace lamina::tests
