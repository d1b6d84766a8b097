// Presets against the implementations they are named after: parameters after 24 recorded gradients, with a
// learning rate that warms up from 0 and falls, weight decay, biases, a tensor of zeros and a gradient of
// zeros. tests/peers/make_optimizer_trajectories.py makes the file.
#include <algorithm>
#include <cmath>

#include "catch.h"
#include "core/safetensors.h"
#include "optim_common.h"

namespace lamina {
namespace {

const std::vector<std::string> names{"conv.weight", "bn.weight", "bn.bias", "zero.weight",
                                     "dead.weight", "fc.weight", "fc.bias"};

const TensorFile& golden() {
  static const TensorFile file =
      read_tensors(std::string(LAMINA_SOURCE_DIR) + "/tests/golden/optimizer_trajectories.safetensors");
  return file;
}

template <typename T>
Tensor as(const Tensor& tensor) {
  const std::vector<double> values = tensor.to_vector<double>();
  return Tensor::from(std::vector<T>(values.begin(), values.end()), tensor.shape());
}

struct Case {
  std::string key, preset;
  KnobSettings settings;
  double lr;
};

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const auto& [key, text] : golden().metadata) {
    if (!key.starts_with("case.")) continue;
    const std::size_t space = text.find(' ');
    KnobSettings settings = parse_settings(text.substr(space + 1));
    const double lr = std::stod(settings.front().second);
    settings.emplace_back("weight_decay", golden().metadata.at("weight_decay"));
    list.push_back({key, text.substr(0, space), settings, lr});
  }
  return list;
}

// The largest difference of a tensor's elements, as a share of its largest element, over all tensors of a
// row.
double difference(const ParamList& params, const Tensor& expected) {
  double worst = 0;
  const std::vector<double> row = expected.to_vector<double>();
  std::size_t at = 0;
  for (const auto& param : params) {
    const auto n = static_cast<std::size_t>(param->value.elements());
    double largest = 0, error = 0;
    for (std::size_t i = 0; i < n; ++i, ++at) {
      const double value = param->value.dtype() == DType::f64
                               ? param->value.data<double>()[i]
                               : static_cast<double>(param->value.data<float>()[i]);
      largest = std::max(largest, std::abs(row[at]));
      error = std::max(error, std::abs(value - row[at]));
    }
    worst = std::max(worst, largest > 0 ? error / largest : error);
  }
  return worst;
}

template <typename T>
double worst_difference(const Case& test) {
  ParamList params;
  for (const std::string& name : names) testing::add_param(params, name, as<T>(golden().at("param." + name)));
  const auto optimizer = make_optimizer(test.preset, params, test.settings,
                                        {.batch = 1024, .base_batch = 256, .steps_per_epoch = 4});

  const std::vector<double> schedule = golden().at("schedule").to_vector<double>();
  const std::vector<std::int32_t> recorded = golden().at("recorded_steps").to_vector<std::int32_t>();
  double worst = 0;
  std::int64_t row = 0;
  for (std::size_t t = 0; t < schedule.size(); ++t) {
    for (const auto& param : params) {
      Tensor grad = param->grad();
      const Tensor step = golden().at("grad." + param->name).rows(static_cast<std::int64_t>(t), 1);
      grad.copy_from(as<T>(step.view(grad.shape())));
    }
    optimizer->set_lr(test.lr * schedule[t]);
    optimizer->step();
    if (static_cast<std::int32_t>(t) + 1 != recorded[static_cast<std::size_t>(row)]) continue;
    worst = std::max(worst, difference(params, golden().at(test.key).rows(row++, 1)));
  }
  return worst;
}

TEST_CASE("presets follow the implementations they are named after") {
  const std::vector<Case> list = cases();
  REQUIRE(list.size() >= 20);
  for (const Case& test : list) {
    INFO(test.preset << "  " << golden().metadata.at(test.key));
    // The formulas are the same, the order of a few roundings is not: some 100 units of 1e-16.
    CHECK(worst_difference<double>(test) < 1e-13);
    // In f32 a step's rounding (6e-8) adds up over 24 steps; Adam's quotient amplifies it.
    CHECK(worst_difference<float>(test) < 1e-6);
  }
}

TEST_CASE("every preset is compared with an original") {
  std::vector<std::string> compared;
  for (const Case& test : cases()) compared.push_back(test.preset);
  for (const std::string& name : testing::all_presets()) {
    if (name == "sgd:goyal") continue;  // sgd:pytorch nesterov=true with decay=weights
    INFO(name);
    CHECK(std::find(compared.begin(), compared.end(), name) != compared.end());
  }
}

}  // namespace
}  // namespace lamina
