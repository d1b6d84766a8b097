// Whole training steps of ResNets against PyTorch: losses, every gradient, running statistics, and the logits
// of the trained model. tests/peers/make_resnet_golden.py made the numbers; weights, images and labels come
// from an integer hash that both sides compute.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/autograd.h"
#include "core/backend.h"
#include "core/ops/loss.h"
#include "hashed_net.h"
#include "layers/resnet.h"

using namespace lamina;
using namespace lamina::tests;
using nlohmann::json;

namespace {

const json& golden() {
  static const json numbers =
      json::parse(std::ifstream(std::string(LAMINA_SOURCE_DIR) + "/tests/golden/resnet_pytorch.json"));
  return numbers;
}

Tensor make_labels(int count) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<std::int32_t>(hash32(static_cast<std::uint32_t>(i), 201) % 10);
  }
  return Tensor::from(labels, {count});
}

// v = momentum v + g + weight_decay w;  w = w - lr v.
class PlainSgd {
 public:
  void step(const ParamList& params) {
    const NoGrad no_grad;
    velocities_.resize(params.size());
    for (std::size_t i = 0; i < params.size(); ++i) {
      Tensor& v = velocities_[i];
      const Tensor w = params[i]->value.detach();
      const Tensor g = params[i]->grad() + w * golden()["weight_decay"].get<double>();
      v = v.defined() ? v * golden()["momentum"].get<double>() + g : g;
      params[i]->value.copy_from(w - v * golden()["lr"].get<double>());
      params[i]->value.zero_grad();
    }
  }

 private:
  std::vector<Tensor> velocities_;
};

struct Differences {
  double losses = 0, gradients = 0, statistics = 0, logits = 0;
};

void compare_first_step(const ResNet& net, const json& expected, Differences& worst) {
  std::uint32_t stream = 0;
  std::size_t seen = 0;
  for (const auto& param : net.parameters()) {
    ++stream;
    const json& theirs = expected["gradients"].at(param->name);
    const double scale = theirs[0].get<double>();
    worst.gradients =
        std::max(worst.gradients, worst_difference(describe(*param, param->grad(), stream), theirs, scale));
    ++seen;
  }
  REQUIRE(seen == expected["gradients"].size());
  stream = 0;
  for (const auto& param : net.state()) {
    if (param->trainable()) continue;
    ++stream;
    if (param->name.ends_with("num_batches_tracked")) {
      CHECK(param->value.item() == 1);
      continue;
    }
    const json& theirs = expected["statistics"].at(param->name);
    worst.statistics = std::max(worst.statistics, worst_difference(describe(*param, param->value, stream),
                                                                   theirs, theirs[0].get<double>()));
  }
}

Differences differences(const json& expected, DType dtype) {
  const SerialScope one_thread;  // small tensors: threads gain little, and cost much on a busy machine
  const Shortcut shortcut = parse_shortcut(expected["shortcut"].get<std::string>());
  const Stem stem = parse_stem(expected["stem"].get<std::string>());
  ResNet net =
      resnet(expected["model"].get<std::string>(), {.stem = stem, .shortcut = shortcut, .dtype = dtype});
  set_weights(net);
  const Tensor images = make_images(expected["batch"], expected["size"], dtype);
  const Tensor labels = make_labels(expected["batch"]);
  Differences worst;
  PlainSgd sgd;
  bool first = true;
  for (const json& expected_loss : expected["losses"]) {
    const Tensor loss =
        cross_entropy(net(images), labels, {.label_smoothing = golden()["label_smoothing"].get<double>()});
    const double theirs = expected_loss.get<double>();
    worst.losses = std::max(worst.losses, std::abs(loss.item() - theirs) / theirs);
    loss.backward();
    if (std::exchange(first, false)) compare_first_step(net, expected, worst);
    sgd.step(net.parameters());
  }
  net.eval();
  const NoGrad no_grad;
  const std::vector<double> logits = cast(net(images), DType::f64).to_vector<double>();
  double scale = 0;
  for (const double logit : logits) scale = std::max(scale, std::abs(logit));
  worst.logits = worst_difference(logits, expected["logits"], scale);
  return worst;
}

}  // namespace

TEST_CASE("ResNet steps equal PyTorch's in f64") {
  for (const json& expected : golden()["cases"]) {
    INFO(expected["name"].get<std::string>());
    const Differences worst = differences(expected, DType::f64);
    INFO("losses " << worst.losses << ", gradients " << worst.gradients << ", statistics " << worst.statistics
                   << ", logits " << worst.logits);
    // Rounding: 2^-53 amplified by the network's condition (some 1e4 here, as the f32 errors show), far below
    // the effect of any wrong term.
    CHECK(worst.losses < 1e-11);
    CHECK(worst.gradients < 1e-10);
    CHECK(worst.statistics < 1e-12);
    CHECK(worst.logits < 1e-9);
  }
}

TEST_CASE("ResNet steps in f32 are as near to the exact ones as PyTorch's") {
  for (const json& expected : golden()["cases"]) {
    const std::string name = expected["name"];
    if (!name.starts_with("resnet8")) continue;  // deeper ones at this size are too ill-conditioned to tell
    INFO(name);
    const Differences worst = differences(expected, DType::f32);
    const json& theirs = expected["f32_error"];
    INFO("losses " << worst.losses << ", gradients " << worst.gradients << ", statistics " << worst.statistics
                   << ", logits " << worst.logits);
    // Two correct programs differ by their order of summation and by Winograd's rounding: a small factor.
    CHECK(worst.gradients < 10 * theirs["gradients"].get<double>());
    CHECK(worst.statistics < 10 * theirs["statistics"].get<double>());
    // Over ten steps a value near 0 may fall on the other side of its ReLU. Moving the images by 3e-6 to 1e-5
    // does this in f64, too, and then moves losses by 4e-4 and logits by 7e-3.
    CHECK(worst.losses < 1e-3);
    CHECK(worst.logits < 1e-2);
  }
}
