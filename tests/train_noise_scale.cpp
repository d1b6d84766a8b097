// The gradient noise scale, against its definition and in a training run.
#include <cmath>
#include <random>

#include "catch.h"
#include "program.h"
#include "train/noise_scale.h"

namespace lamina::tests {
namespace {

using SampleGradients = std::vector<std::vector<double>>;  // of single samples

// Feeds the samples in parts of the given sizes, as training does.
GradientNoise measure(const SampleGradients& samples, const std::vector<int>& parts) {
  const auto size = static_cast<std::int64_t>(samples[0].size());
  const auto batch = static_cast<std::int64_t>(samples.size());
  const Tensor grads = Tensor::zeros({size}, {.dtype = DType::f64});
  NoiseEstimator noise(grads);
  std::size_t next = 0;
  for (const int part : parts) {
    for (int i = 0; i < part; ++i, ++next) {
      for (std::size_t k = 0; k < samples[next].size(); ++k)
        grads.data<double>()[k] += samples[next][k] / static_cast<double>(batch);
    }
    noise.add_part(part, batch);
  }
  return noise.finish().value();
}

}  // namespace

TEST_CASE("with parts of one sample the noise is the samples' variance") {
  // Mean (2, 1), deviations (-1, 1), (1, -1), (0, 0): sum of squares 4, over 3 - 1.
  const GradientNoise noise = measure({{1, 2}, {3, 0}, {2, 1}}, {1, 1, 1});
  CHECK(std::abs(noise.variance - 2) < 1e-12);             // a few roundings of f64
  CHECK(std::abs(noise.squared - (5 - 2 / 3.0)) < 1e-12);  // |mean|^2 exceeds |G|^2 by S / B
  CHECK(noise.scale() == noise.variance / noise.squared);
}

TEST_CASE("on average the estimates are the truth, for parts of one size or of several") {
  std::mt19937 random(7);  // NOLINT: the same numbers each time
  std::normal_distribution<double> normal;
  const std::vector<double> gradient{1, -2, 0.5};  // |G|^2 = 5.25
  const std::vector<double> deviation{2, 1, 3};    // S = 14
  for (const std::vector<int>& parts : {std::vector<int>{4, 4, 4}, {5, 5, 2}, {11, 1}}) {
    double variance = 0, squared = 0;
    constexpr int batches = 20000;
    for (int batch = 0; batch < batches; ++batch) {
      SampleGradients samples(12);
      for (auto& sample : samples)
        for (std::size_t k = 0; k < 3; ++k) sample.push_back(gradient[k] + deviation[k] * normal(random));
      const GradientNoise noise = measure(samples, parts);
      variance += noise.variance / batches;
      squared += noise.squared / batches;
    }
    // One batch's S scatters by about 15, its |G|^2 by about 5: four deviations of the mean of 20000.
    CHECK(std::abs(variance - 14) < 0.5);
    CHECK(std::abs(squared - 5.25) < 0.15);
  }
}

TEST_CASE("every batch starts anew, and one part alone tells nothing") {
  Tensor grads = Tensor::zeros({1}, {.dtype = DType::f64});
  NoiseEstimator noise(grads);
  const auto add = [&](double value) {
    grads.data<double>()[0] += value / 2;
    noise.add_part(1, 2);
  };
  add(1), add(3);
  const GradientNoise first = noise.finish().value();
  grads.fill(0);
  add(1), add(3);
  CHECK(noise.finish().value().variance == first.variance);
  CHECK(first.variance == 2);
  grads.fill(0);
  noise.add_part(2, 2);
  CHECK(!noise.finish().has_value());
}

TEST_CASE("--noise-scale adds its columns to steps.csv and changes nothing else") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& name, const Arguments& more) {
    REQUIRE(run(tiny_training(folder / name, 1) + Arguments{"--micro-batch", "12"} + more).status == 0);
    return folder / name;
  };
  const fs::path plain = train("plain", {}), measured = train("measured", {"--noise-scale"});
  CHECK(read_file(plain / "weights.safetensors") == read_file(measured / "weights.safetensors"));
  std::ifstream csv(measured / "steps.csv");
  std::string line;
  std::getline(csv, line);
  CHECK(line.ends_with(",images_per_s,grad_variance,grad_squared,noise_scale"));
  int rows = 0;
  for (; std::getline(csv, line); ++rows) {
    const std::size_t scale = line.rfind(','), squared = line.rfind(',', scale - 1),
                      variance = line.rfind(',', squared - 1);
    CHECK(std::count(line.begin(), line.end(), ',') == 10);
    const double quotient = std::stod(line.substr(variance + 1)) / std::stod(line.substr(squared + 1));
    CHECK(std::abs(std::stod(line.substr(scale + 1)) / quotient - 1) < 1e-12);  // decimals round-trip
  }
  CHECK(rows == 6);

  for (const char* micro_batch : {"0", "32"}) {
    const Outcome refused =
        run(tiny_training(folder / "none", 1) + Arguments{"--noise-scale", "--micro-batch", micro_batch});
    CHECK(refused.status == 2);
    CHECK(refused.err.find("--micro-batch") != std::string::npos);
  }
}

}  // namespace lamina::tests
