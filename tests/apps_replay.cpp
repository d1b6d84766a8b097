// lamina replay: steps worked out by hand, trajectories of other implementations, and files that do not fit.
#include <fmt/format.h>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps_program.h"
#include "catch.h"
#include "core/safetensors.h"

namespace lamina::tests {
namespace {

const std::string source_dir = LAMINA_SOURCE_DIR;

// The example of docs/replay.md: w = (3, 4), every gradient (0.6, 0.8); a bias at 0, every gradient 1.
Arguments example(const fs::path& out) {
  return {"replay",
          "--optimizer",
          "lars:barlowtwins",
          "--weight-decay",
          "0",
          "--params",
          source_dir + "/docs/replay/params.safetensors",
          "--grads",
          source_dir + "/docs/replay/grads.safetensors",
          "--lrs",
          "1,0.5,0.25",
          "--out",
          out.string()};
}

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

namespace {

struct Files {
  TensorFile params, grads;
};

Files good() {
  Files files;
  files.params.tensors = {{"a.weight", Tensor::full({2, 3}, 0.5)}, {"a.bias", Tensor::zeros({2})}};
  files.grads.tensors = {{"a.weight", Tensor::full({4, 2, 3}, 0.1)}, {"a.bias", Tensor::full({4, 2}, 0.1)}};
  return files;
}

Tensor with(Tensor tensor, std::int64_t index, float value) {
  tensor.data<float>()[index] = value;
  return tensor;
}

// Runs replay on the files in a folder of their own, in which nothing may be left behind.
void check_refused(const Files& files, const Arguments& more, int status,
                   const std::vector<std::string>& message) {
  const TemporaryFolder folder;
  const std::string params = folder / "p", grads = folder / "g", out = folder / "out";
  write_tensors(params, files.params);
  write_tensors(grads, files.grads);
  const Outcome outcome = run(
      Arguments{"replay", "--optimizer", "lars", "--params", params, "--grads", grads, "--out", out} + more);
  INFO(outcome.err);
  CHECK(outcome.status == status);
  CHECK(outcome.out.empty());
  for (const std::string& part : message) {
    INFO("missing: " << part);
    CHECK(outcome.err.find(part) != std::string::npos);
  }
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
}

}  // namespace

TEST_CASE("replay refuses files that do not fit each other") {
  const Tensor three_by_two = Tensor::full({4, 3, 2}, 0.1), one_more = Tensor::full({5, 2}, 0.1);
  Files files = good();
  SECTION("shapes") {
    files.grads.tensors[0].second = three_by_two;
    check_refused(files, {}, 1, {"a.weight", "[2, 3]", "[4, 3, 2]"});
  }
  SECTION("no step axis") {
    files.grads.tensors[0].second = Tensor::full({2, 3}, 0.1);
    check_refused(files, {}, 1, {"a.weight", "[steps, *shape]"});
  }
  SECTION("numbers of steps") {
    files.grads.tensors[1].second = one_more;
    check_refused(files, {}, 1, {"a.bias has gradients of 5 steps", "a.weight of 4"});
  }
  SECTION("no steps") {
    files.grads.tensors = {{"a.weight", Tensor::zeros({0, 2, 3})}, {"a.bias", Tensor::zeros({0, 2})}};
    check_refused(files, {}, 1, {"no steps"});
  }
  SECTION("a gradient is missing") {
    files.grads.tensors.pop_back();
    check_refused(files, {}, 1, {"no gradients for a.bias"});
  }
  SECTION("a parameter is missing") {
    files.params.tensors.pop_back();
    check_refused(files, {}, 1, {"no parameter for a.bias"});
  }
  SECTION("no tensors") {
    files.params.tensors.clear();
    check_refused(files, {}, 1, {"file of parameters holds no tensors"});
  }
  SECTION("whole numbers") {
    files.grads.tensors[1].second = Tensor::zeros({4, 2}, {.dtype = DType::i32});
    check_refused(files, {}, 1, {"a.bias among the gradients is i32[4, 2]", "floating point"});
  }
  SECTION("two dtypes") {
    files.params.tensors[1].second = Tensor::zeros({2}, {.dtype = DType::f64});
    check_refused(files, {}, 2, {"a.weight is f32", "a.bias is f64", "--dtype"});
  }
}

TEST_CASE("replay refuses values that are not finite, and names the tensor and the step") {
  Files files = good();
  SECTION("NaN in a gradient") {
    with(files.grads.tensors[0].second, 2 * 6 + 4, std::nanf(""));
    check_refused(files, {}, 1, {"gradient of a.weight at step 3", "element 4", "nan"});
  }
  SECTION("infinite gradient") {
    with(files.grads.tensors[1].second, 7, -INFINITY);
    check_refused(files, {}, 1, {"gradient of a.bias at step 4", "-inf"});
  }
  SECTION("finite in f64 only") {
    files.grads.tensors[1].second = Tensor::full({4, 2}, 1e300, {.dtype = DType::f64});
    check_refused(files, {}, 1, {"gradient of a.bias at step 1", "f32"});
  }
  SECTION("NaN in a parameter") {
    with(files.params.tensors[1].second, 1, std::nanf(""));
    check_refused(files, {}, 1, {"parameter a.bias before the first step", "element 1"});
  }
  SECTION("a step that overflows") {
    check_refused(files, {"--optimizer", "sgd", "--lr", "1e39"}, 1, {"a.weight", "step"});
    check_refused(files, {"--optimizer", "sgd", "--lrs", "0,0,0,1e39"}, 1, {"after step 4"});
  }
}

TEST_CASE("replay refuses a command line that makes no sense") {
  const Files files = good();
  check_refused(files, {"--lrs", "1,2,3"}, 2, {"3 learning rates for 4 recorded steps"});
  check_refused(files, {"--lrs", "1,2,3,-4"}, 2, {"--lrs -4"});
  check_refused(files, {"--lrs", "1,2,3,nan"}, 2, {"--lrs nan"});
  check_refused(files, {"--lrs", "1,2,3,4", "--lr", "1"}, 2, {"--lr and --lrs"});
  check_refused(files, {"--lr", "-1"}, 2, {"lr is -1"});
  check_refused(files, {"--dtype", "bf16"}, 2, {"--dtype bf16", "f32 or f64"});
  check_refused(files, {"--optimizer", "larz"}, 2, {"larz", "tvlars"});
  check_refused(files, {"--optimizer", "lars:papers"}, 2, {"papers", "barlowtwins"});
  check_refused(files, {"--set", "eta=1"}, 2, {"eta", "trust_coefficient"});
  check_refused(files, {"--batch", "0"}, 2, {"--batch 0"});
  for (const char* flag : {"--optimizer", "--params", "--grads", "--out"})
    check_refused(files, {std::string(flag) + "="}, 2, {flag});
}

TEST_CASE("replay names the file that it cannot read or write, and leaves nothing half-written") {
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  const auto check_failed = [&](const Arguments& more, std::initializer_list<std::string> message,
                                ProgramOptions options = {}) {
    const Outcome outcome = run(example(out) + more, options);
    INFO(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out.empty());
    for (const std::string& part : message) CHECK(outcome.err.find(part) != std::string::npos);
  };
  std::ofstream(folder / "text") << "hello, this is not a safetensors file";
  std::ofstream(folder / "empty") << "";
  check_failed({"--params", folder / "text"}, {"text", "not a safetensors file"});
  check_failed({"--grads", folder / "empty"}, {"empty", "0 bytes are too few"});
  check_failed({"--grads", folder / "none"}, {"none", "No such file"});
  check_failed({"--out", folder.path()}, {folder.path()});
  check_failed({"--out", folder / "no/such/folder"}, {"no/such/folder"});
  check_failed({}, {out}, {.largest_file = 1000});  // as if the disk were full; more than the message
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);

  const std::string params = folder / "params";
  fs::copy_file(source_dir + "/docs/replay/params.safetensors", params);
  const Outcome same = run(example(out) + Arguments{"--params", params, "--out", params});
  CHECK(same.status == 2);
  CHECK(same.err.find("would replace an input") != std::string::npos);
}

}  // namespace lamina::tests
