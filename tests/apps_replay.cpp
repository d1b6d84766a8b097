// lamina replay: steps worked out by hand, and trajectories of other implementations.
#include <fmt/format.h>
#include <cmath>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/files/safetensors.h"
#include "replay_example.h"

namespace lamina::tests {
namespace {

std::vector<double> values_of(const TensorFile& file, const std::string& name) {
  const Tensor& tensor = file.at(name);
  if (tensor.dtype() == DType::f64) return tensor.to_vector<double>();
  const std::vector<float> values = tensor.to_vector<float>();
  return {values.begin(), values.end()};
}

void check_near(const TensorFile& file, const std::string& name, const std::vector<double>& expected,
                double tolerance) {
  const std::vector<double> values = values_of(file, name);
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO(name << "[" << i << "] is " << values[i] << ", expected " << expected[i]);
    CHECK(std::abs(values[i] - expected[i]) <= tolerance);
  }
}

TensorFile replayed(const Arguments& arguments, const fs::path& out) {
  const Outcome outcome = run(arguments);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return read_tensors(out);
}

bool same_tensors(const TensorFile& a, const TensorFile& b) {
  return std::equal(a.tensors.begin(), a.tensors.end(), b.tensors.begin(), b.tensors.end(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && x.second.shape() == y.second.shape() &&
                             x.second.dtype() == y.second.dtype() &&
                             std::equal(x.second.raw(), x.second.raw() + x.second.bytes(), y.second.raw());
                    });
}

}  // namespace

// With eta = 0.001, mu = 0.9 and no decay; w and every gradient g (of norm 1) have one direction:
//   step 1   trust 0.001 * 5          v 0.005                             ||w|| 5 - 1 * v        = 4.995
//   step 2   trust 0.001 * 4.995      v 0.9 * 0.005 + trust = 0.009495    ||w|| 4.995 - 0.5 * v  = 4.9902525
//   step 3   trust 0.001 * 4.9902525  v 0.9 * 0.009495 + trust            ||w|| 4.9902525 - 0.25 * v
TEST_CASE("replay takes LARS steps that were worked out by hand") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out.safetensors";
  const auto check_example = [](const TensorFile& file, double tolerance) {
    const double v = 0.9 * 0.009495 + 0.0049902525, w = 4.9902525 - 0.25 * v;
    check_near(file, "trust.fc.weight", {0.005, 0.004995, 0.0049902525}, tolerance);
    check_near(file, "weight_norm.fc.weight", {5, 4.995, 4.9902525}, tolerance);
    check_near(file, "grad_norm.fc.weight", {1, 1, 1}, tolerance);
    check_near(file, "update_norm.fc.weight", {0.005, 0.0047475, 0.25 * v}, tolerance);
    check_near(file, "fc.weight", {0.6 * w, 0.8 * w}, tolerance);
    check_near(file, "state.momentum.fc.weight", {0.6 * v, 0.8 * v}, tolerance);
    // The bias neither adapts nor decays: v = 1, 1.9, 2.71.
    check_near(file, "fc.bias", {-(1 + 0.5 * 1.9 + 0.25 * 2.71)}, tolerance);
    check_near(file, "state.momentum.fc.bias", {2.71}, tolerance);
    check_near(file, "trust.fc.bias", {1, 1, 1}, 0);
    check_near(file, "lr", {1, 0.5, 0.25}, 0);
    check_near(file, "phi", {1, 1, 1}, 0);
    CHECK(file.at("state.step").to_vector<std::int32_t>() == std::vector<std::int32_t>{3});
    CHECK(file.at("fc.weight").shape() == Shape{1, 2});
  };
  const TensorFile f64 = replayed(example(out), out);
  check_example(f64, 4e-15);  // a few roundings of numbers below 8
  CHECK(f64.at("fc.weight").dtype() == DType::f64);
  CHECK(f64.metadata.at("optimizer") == "lars:barlowtwins");
  CHECK(nlohmann::json::parse(f64.metadata.at("knobs"))["trust_coefficient"] == "0.001");

  const TensorFile f32 = replayed(example(out) + Arguments{"--dtype", "f32"}, out);
  check_example(f32, 2e-6);
  CHECK(f32.at("fc.weight").dtype() == DType::f32);
  CHECK(f32.at("state.momentum.fc.bias").dtype() == DType::f32);
  CHECK(f32.at("trust.fc.weight").dtype() == DType::f64);
}

TEST_CASE("replay follows other implementations") {
  const TensorFile golden = read_tensors(source_dir + "/tests/golden/optimizer_trajectories.safetensors");
  const TemporaryFolder folder;
  const fs::path params_path = folder / "p", grads_path = folder / "g", out = folder / "out";
  TensorFile params, grads;
  for (const auto& [name, tensor] : golden.tensors) {
    if (name.starts_with("param.")) params.tensors.emplace_back(name.substr(6), tensor);
    if (name.starts_with("grad.")) grads.tensors.emplace_back(name.substr(5), tensor);
  }
  write_tensors(params_path, params);
  write_tensors(grads_path, grads);

  std::set<std::string> compared;
  for (const auto& [key, text] : golden.metadata) {  // "lars:timm lr=0.3 momentum=0.9"
    const std::string preset = text.substr(0, text.find(' '));
    if (!key.starts_with("case.") || !compared.insert(preset.substr(0, preset.find(':'))).second) continue;
    INFO(preset << " " << text);
    const std::string settings = text.substr(text.find(' ') + 1);
    const double lr = std::stod(settings.substr(settings.find("lr=") + 3));
    std::vector<double> lrs = golden.at("schedule").to_vector<double>();
    for (double& value : lrs) value *= lr;
    const TensorFile file = replayed(
        {"replay", "--optimizer", preset, "--set", settings, "--params", params_path, "--grads", grads_path,
         "--lrs", fmt::format("{}", fmt::join(lrs, ",")), "--weight-decay",
         golden.metadata.at("weight_decay"), "--batch", "1024", "--steps-per-epoch", "4", "--out", out},
        out);
    const Tensor& rows = golden.at(key);  // [recorded steps, elements], the last after the last step
    const std::vector<double> expected = rows.rows(rows.size(0) - 1, 1).to_vector<double>();
    std::size_t at = 0;
    for (const char* name :
         {"conv.weight", "bn.weight", "bn.bias", "zero.weight", "dead.weight", "fc.weight", "fc.bias"}) {
      const std::size_t end = at + static_cast<std::size_t>(file.at(name).elements());
      REQUIRE(end <= expected.size());
      // Parameters of size 1 to 10 after 24 steps, in another order of roundings of 1e-16.
      check_near(file, name,
                 {expected.begin() + static_cast<std::ptrdiff_t>(at),
                  expected.begin() + static_cast<std::ptrdiff_t>(end)},
                 1e-12);
      at = end;
    }
    CHECK(at == expected.size());
  }
  CHECK(compared == std::set<std::string>{"adamw", "lamb", "lars", "sgd", "tvlars"});
}

TEST_CASE("replay: one learning rate is the same one at every step, and momentum is a knob") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out.safetensors";
  Arguments one = example(out);
  const auto lrs = std::find(one.begin(), one.end(), "--lrs");
  *lrs = "--lr";
  *(lrs + 1) = "0.5";
  const TensorFile reference = replayed(one, out);
  *lrs = "--lrs";
  *(lrs + 1) = "0.5,0.5,0.5";
  CHECK(same_tensors(replayed(one, out), reference));
  CHECK(same_tensors(replayed(one + Arguments{"--momentum", "0.9", "--set", "trust_coefficient=1e-3"}, out),
                     reference));
  CHECK(!same_tensors(replayed(one + Arguments{"--momentum", "0.8"}, out), reference));
  CHECK(!same_tensors(replayed(one + Arguments{"--set", "trust_coefficient=2e-3"}, out), reference));
}

TEST_CASE("replay: the batch and the epochs of the recording reach the knobs that need them") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  Arguments arguments = example(out);
  arguments[2] = "tvlars:paper";  // d_e = 10 epochs, gamma_min = 0.001 B / B_base
  const TensorFile file = replayed(
      arguments + Arguments{"--batch", "1024", "--base-batch", "256", "--steps-per-epoch", "2"}, out);
  std::vector<double> phi;
  for (const int t : {0, 1, 2})
    phi.push_back(1 / (1 + std::exp(1e-3 * (t - 20))) + 0.004);  // Do et al., eq. 5
  check_near(file, "phi", phi, 1e-15);
  const Outcome unknown = run(arguments);
  CHECK(unknown.status == 2);
  CHECK(unknown.err.find("steps_per_epoch") != std::string::npos);
}

TEST_CASE("replay describes what it did") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out.safetensors";
  const Outcome json = run(example(out) + Arguments{"--json"});
  REQUIRE(json.status == 0);
  const auto summary = nlohmann::json::parse(json.out);  // and nothing else is on standard output
  CHECK(summary["optimizer"] == "lars:barlowtwins");
  CHECK(summary["steps"] == 3);
  CHECK(summary["dtype"] == "f64");
  REQUIRE(summary["layers"].size() == 2);
  for (const auto& layer : summary["layers"]) {
    const bool weight = layer["name"] == "fc.weight";
    CHECK(layer["adapts"] == weight);
    CHECK(layer["kind"] == (weight ? "weight" : "bias"));
  }
  const Outcome text = run(example(out));
  const std::string docs = read_file(source_dir + "/docs/replay.md");
  CHECK(docs.find(text.out.substr(0, text.out.find("wrote "))) != std::string::npos);
  for (const char* part : {"lars:barlowtwins", "3 steps in f64", "fc.weight  [1, 2]", "5.0000e-03", "wrote "})
    CHECK(text.out.find(part) != std::string::npos);
}

}  // namespace lamina::tests
