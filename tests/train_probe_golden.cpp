// kNN and the linear probe against scikit-learn; tests/peers/make_probe_golden.py made the numbers.
#include <algorithm>
#include <cmath>
#include <fstream>

#include "hashed_net.h"
#include "train/knn.h"
#include "train/linear_probe.h"

namespace lamina::tests {
namespace {

using nlohmann::json;

constexpr int golden_classes = 7, golden_width = 12;

const json& sklearn_numbers() {
  static const json numbers =
      json::parse(std::ifstream(std::string(LAMINA_SOURCE_DIR) + "/tests/golden/probe_sklearn.json"));
  return numbers;
}

// As the script's features().
Features hashed_features(std::uint32_t count, std::uint32_t stream) {
  std::vector<float> values;
  Features features;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t label = i * 3 % golden_classes;
    features.labels.push_back(static_cast<std::int32_t>(label));
    for (std::uint32_t d = 0; d < golden_width; ++d) {
      const double centre = signed_unit(label * golden_width + d, 1);
      const double noise = signed_unit(i * golden_width + d, stream);
      values.push_back(static_cast<float>((2 + 0.8 * centre + noise) * std::exp2(d % 4)));
    }
  }
  features.values = Tensor::from(values, {count, golden_width});
  return features;
}

// Elementwise, relative to the largest expected one.
double relative_difference(const std::vector<double>& ours, const json& theirs) {
  double scale = 0;
  for (const json& x : theirs) scale = std::max(scale, std::abs(x.get<double>()));
  return worst_difference(ours, theirs, scale);
}

// Adding a number to all biases changes no probability.
std::vector<double> without_mean(std::vector<double> values) {
  double mean = 0;
  for (const double x : values) mean += x / static_cast<double>(values.size());
  for (double& x : values) x -= mean;
  return values;
}

}  // namespace

TEST_CASE("nearest neighbours predict what scikit-learn's do") {
  const Features bank = hashed_features(400, 2), queries = hashed_features(300, 3);
  for (const json& expected : sklearn_numbers()["knn"]) {
    CAPTURE(expected["k"].get<int>(), expected["temperature"].get<double>());
    const KnnResult result = knn(bank, queries, {.k = expected["k"], .temperature = expected["temperature"]});
    CHECK(result.predictions == expected["predictions"].get<std::vector<std::int32_t>>());
  }
}

TEST_CASE("the linear probe's coefficients are those of scikit-learn's logistic regression") {
  const Features train = hashed_features(400, 2), test = hashed_features(300, 3);
  for (const json& expected : sklearn_numbers()["linear"]) {
    CAPTURE(expected["l2"].get<double>());
    const LinearProbe probe =
        linear_probe(train, test, {.l2 = expected["l2"].get<double>(), .gradient_bound = 1e-7});
    CHECK(probe.fit.converged);
    CHECK(probe.held_out.empty());
    // Elements of the gradient below 1e-7 leave an error below 1e-7 √91 over the least curvature, which the
    // data make 0.01 where λ is less than that.
    CHECK(relative_difference(probe.weight.to_vector<double>(), expected["weight"]) < 1e-4);
    CHECK(relative_difference(without_mean(probe.bias.to_vector<double>()), expected["bias"]) < 1e-4);
    CHECK(probe.correct == expected["correct"][0].get<int>());
    CHECK(std::lround(probe.top5 * 300) == expected["correct"][1].get<int>());
  }
}

}  // namespace lamina::tests
