// What runs measured of their curvature, made up for tests: as `lamina train --sharpness-every` and `lamina
// sharpness --out` leave it in a run directory.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/files/safetensors.h"
#include "program.h"

namespace lamina::tests {

struct MadeUpCurvature {
  double scale = 1;
  std::string bn = "eval", samples = "128";
  bool layer_eigenvalues = false;
};

// Before the first and after each of two epochs: λ₁ = 4, 8, 64 times the scale, the trace 10, 20, 30; by
// layers conv1.weight (‖w‖ = 2), bn1 and fc.weight (‖w‖ = 3), whose second estimate is negative. λ₁ of the
// layers' blocks, where asked for: 3, 1 and 2, at rates 0.5, 1 and 2 after the first measurement.
inline void write_curvature(const fs::path& run, const MadeUpCurvature& made = {}) {
  const double s = made.scale;
  std::ofstream(run / "curvature.csv") << fmt::format(
      "epoch,step,loss,grad_norm,lambda_1,residual,lambda_min,trace,trace_stderr,frobenius,lr,products\n"
      "0,0,2,1,{},0.1,-1,10,1,6,,20\n1,2,2,1,{},0.1,-2,20,1,12,0.1,20\n2,4,1,1,{},0.1,-4,30,2,24,0.2,20\n",
      4 * s, 8 * s, 64 * s);
  TensorFile file;
  file.metadata = {
      {"layers", R"(["conv1.weight","bn1","fc.weight"])"}, {"bn", made.bn}, {"samples", made.samples}};
  const auto add = [&](const char* name, const std::vector<float>& values) {
    file.tensors.emplace_back(name, Tensor::from(values, {3, 3}));
  };
  file.tensors.emplace_back("epoch", Tensor::from(std::vector<std::int32_t>{0, 1, 2}, {3}));
  add("weight_norm", {2, 1, 3, 2, 1, 3, 2, 1, 3});
  add("trace", {5, 1, 4, 6, 1, -1, 7, 1, 8});
  if (made.layer_eigenvalues) {
    constexpr float none = std::numeric_limits<float>::quiet_NaN();
    add("lr", {none, none, none, 0.5, 1, 2, 0.5, 1, 2});
    add("eigenvalue", {3, 1, 2, 3, 1, 2, 3, 1, 2});
  }
  write_tensors(run / "curvature.safetensors", file);
  std::ofstream(run / "epochs.csv") << fmt::format(
      "epoch,train_loss,test_loss,test_accuracy,seconds,images_per_s,lambda_1\n1,2,1.5,0.5,10,100,{}\n"
      "2,1,1.5,0.6,10,100,{}\n",
      8 * s, 64 * s);
}

inline void set_knobs(const fs::path& run, const std::vector<std::pair<std::string, std::string>>& knobs) {
  nlohmann::json config = nlohmann::json::parse(read_file(run / "config.json"));
  for (const auto& [name, value] : knobs) config["resolved"]["knobs"][name] = value;
  std::ofstream(run / "config.json") << config;
}

// Half of the density at 0, half at 100.
inline nlohmann::json made_up_sharpness() {
  return {{"bn", "train"},
          {"samples", 2048},
          {"split", "train"},
          {"epoch", 2},
          {"parameters", 1000},
          {"eigenvalues", {100.0, 50.5}},
          {"residuals", {0.25, 0.5}},
          {"smallest", -3.0},
          {"smallest_residual", 0.125},
          {"trace", {{"mean", 300.0}, {"stderr", 20.0}, {"probes", 30}}},
          {"frobenius", 120.0},
          {"density", {{0.0, 0.5}, {100.0, 0.5}}}};
}

inline void write_sharpness(const fs::path& run, const nlohmann::json& sharpness = made_up_sharpness()) {
  std::ofstream(run / "sharpness.json") << sharpness;
}

}  // namespace lamina::tests
