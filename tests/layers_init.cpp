// Initial weights: the stated distributions, chosen ones take effect, reproducible.
#include "layers/init.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "catch.h"
#include "layers/resnet.h"

using namespace lamina;

namespace {

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments_of(const Tensor& value) {
  const auto x = value.to_vector<float>();
  const auto n = static_cast<double>(x.size());
  Moments m;
  m.mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  for (const float v : x) {
    m.deviation += (v - m.mean) * (v - m.mean) / n;
    m.largest = std::max(m.largest, std::abs(static_cast<double>(v)));
  }
  m.deviation = std::sqrt(m.deviation);
  return m;
}

std::map<std::string, Tensor> values_of(const Module& net) {
  std::map<std::string, Tensor> values;
  for (const auto& param : net.parameters()) values[param->name] = param->value;
  return values;
}

bool equal(const Tensor& a, const Tensor& b) { return a.to_vector<float>() == b.to_vector<float>(); }

// 36,864 numbers: their standard deviation is within 1.5 % (over 4 sigma of its own error) of the true one.
constexpr const char* convolution = "layer3.0.conv2.weight";
constexpr double fan_of_convolution = 64 * 9;  // in and out

void check_deviation(const Tensor& value, double expected) {
  const Moments m = moments_of(value);
  CHECK(std::abs(m.deviation / expected - 1) < 0.015);
  CHECK(std::abs(m.mean) < 4 * expected / std::sqrt(static_cast<double>(value.elements())));
}

}  // namespace

TEST_CASE("Each initialiser has its variance and its shape") {
  const double kaiming = std::sqrt(2 / fan_of_convolution);
  const double xavier = std::sqrt(2 / (fan_of_convolution + fan_of_convolution));
  for (const auto& [init, expected] : std::map<Init, double>{{Init::kaiming_normal, kaiming},
                                                             {Init::kaiming_uniform, kaiming},
                                                             {Init::xavier_normal, xavier},
                                                             {Init::xavier_uniform, xavier}}) {
    INFO(name_of(init));
    const ResNet net = resnet8({.init = init});
    const Tensor weight = values_of(net).at(convolution);
    check_deviation(weight, expected);
    const bool uniform = init == Init::kaiming_uniform || init == Init::xavier_uniform;
    const double ratio = moments_of(weight).largest / expected;
    if (uniform)
      CHECK((ratio > 1.7 && ratio <= std::sqrt(3.0)));
    else
      CHECK((ratio > 3.5 && ratio < 6));
  }
}

TEST_CASE("fan_out for convolutions, fan_in for linear layers") {
  const auto wide = values_of(resnet8({.classes = 1000, .init = Init::kaiming_normal}));
  check_deviation(wide.at("layer3.0.conv1.weight"), std::sqrt(2.0 / (64 * 9)));  // [64, 3, 3, 32]
  check_deviation(wide.at("fc.weight"), std::sqrt(2.0 / 64));
  const auto xavier = values_of(resnet8({.classes = 1000, .init = Init::xavier_normal}));
  check_deviation(xavier.at("layer3.0.conv1.weight"), std::sqrt(2.0 / ((32 + 64) * 9)));
  check_deviation(xavier.at("fc.weight"), std::sqrt(2.0 / (64 + 1000)));
}

TEST_CASE("Without a choice: torchvision's defaults") {
  const auto values = values_of(resnet8({.classes = 1000}));
  check_deviation(values.at(convolution), std::sqrt(2 / fan_of_convolution));
  check_deviation(values.at("fc.weight"), 1 / std::sqrt(3.0 * 64));
  CHECK(moments_of(values.at("fc.weight")).largest <= 1 / std::sqrt(64.0));
  CHECK(moments_of(values.at("fc.bias")).largest <= 1 / std::sqrt(64.0));
  CHECK(moments_of(values.at("fc.bias")).largest > 0.9 / std::sqrt(64.0));
}

TEST_CASE("Initialisers change every weight and nothing else") {
  std::vector<std::map<std::string, Tensor>> all;
  for (const std::string& name : init_names()) all.push_back(values_of(resnet8({.init = parse_init(name)})));
  for (const auto& [name, value] : all.front()) {
    INFO(name);
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t j = i + 1; j < all.size(); ++j) {
        CHECK(equal(all[i].at(name), all[j].at(name)) == (value.rank() < 2));
      }
    }
    if (name.find("bn") == std::string::npos) continue;
    CHECK(moments_of(value).mean == (name.ends_with("weight") ? 1 : 0));
    CHECK(moments_of(value).deviation == 0);
  }
}

TEST_CASE("Initial weights are a function of the seed") {
  const auto first = values_of(resnet8({.seed = 1}));
  const auto again = values_of(resnet8({.seed = 1}));
  const auto other = values_of(resnet8({.seed = 2}));
  CHECK(equal(first.at(convolution), again.at(convolution)));
  CHECK_FALSE(equal(first.at(convolution), other.at(convolution)));
  CHECK_FALSE(equal(first.at("layer1.0.conv1.weight"), first.at("layer1.0.conv2.weight")));

  const std::uint64_t previous = seed();
  seed(2);
  CHECK(equal(values_of(resnet8()).at(convolution), other.at(convolution)));
  seed(previous);

  const auto exact = resnet8({.dtype = DType::f64, .seed = 1}).parameters()[0]->value.to_vector<double>();
  const auto rounded = first.at("conv1.weight").to_vector<float>();
  for (std::size_t i = 0; i < exact.size(); ++i) CHECK(static_cast<float>(exact[i]) == rounded[i]);
}
