// `lamina pretrain`: what it leaves, that nothing but its options changes a bit of it, and what it refuses.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/base/csv.h"
#include "core/files/safetensors.h"
#include "program.h"
#include "tiny_training.h"

namespace lamina::tests {
namespace {

nlohmann::json config_in(const fs::path& run) {
  return nlohmann::json::parse(read_file(run / "config.json"));
}

bool has_tensor(const TensorFile& file, const std::string& start) {
  return std::any_of(file.tensors.begin(), file.tensors.end(),
                     [&](const auto& tensor) { return tensor.first.starts_with(start); });
}

std::string heading_of(const fs::path& file) {
  const std::string text = read_file(file);
  return text.substr(0, text.find('\n'));
}

}  // namespace

TEST_CASE("pretraining leaves what training does, with the quantities of its loss") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::string>> methods{
      {"barlow-twins", "loss,train_on_diagonal,train_off_diagonal,train_correlation,"},
      {"simclr", "loss,train_alignment,train_uniformity,"},
      {"vicreg", "loss,train_invariance,train_variance,train_covariance,"}};
  for (const auto& [method, columns] : methods) {
    const fs::path out = folder / method;
    const Outcome outcome = run(tiny_pretraining(out, method) + Arguments{"--trace"});
    INFO(outcome.err);
    REQUIRE(outcome.status == 0);
    CHECK(outcome.out.find("knn accuracy") != std::string::npos);
    CHECK(outcome.err.find("epoch 2/3") != std::string::npos);
    CHECK(heading_of(out / "epochs.csv").starts_with("epoch,train_" + columns));
    const auto rows = read_csv(out / "epochs.csv", {"train_loss", "knn_accuracy"});
    REQUIRE(rows.size() == 3);
    CHECK(std::isnan(rows[0][1]));
    for (const std::size_t epoch : {1, 2}) CHECK((rows[epoch][1] > 0 && rows[epoch][1] <= 1));
    const TensorFile weights = read_tensors(out / "weights.safetensors");
    CHECK(has_tensor(weights, "layer3.0.conv2.weight"));
    CHECK(has_tensor(weights, "projector.0.weight"));
    CHECK(!has_tensor(weights, "fc."));
    CHECK(fs::exists(out / "trace.safetensors"));
    CHECK(!fs::exists(out / "evaluation.json"));
    const nlohmann::json config = config_in(out), &resolved = config["resolved"];
    CHECK(config["options"]["method"] == method);
    CHECK(resolved["views"] == "solo-learn-" + method.substr(0, method.find('-')));
    CHECK(resolved["projector"] == std::vector<int>{16, 16});
    CHECK(resolved["bn_batch"] == 32);
    CHECK(resolved["knn"]["k"] == 200);
    CHECK(!config["options"].contains("label_smoothing"));
    CHECK(config["command"].get<std::string>().starts_with("lamina pretrain "));
  }
}

TEST_CASE("a pretraining that is killed goes on to the same bytes") {
  const TemporaryFolder folder;
  const fs::path whole = folder / "whole", broken = folder / "broken";
  const Arguments options{"--checkpoint-steps", "1", "--trace", "--micro-batch", "16"};
  REQUIRE(run(tiny_pretraining(whole) + options).status == 0);
  Program program(tiny_pretraining(broken) + options);
  REQUIRE(wait_until([&] { return fs::exists(broken / "checkpoint-3.safetensors"); }));
  program.kill(SIGKILL);
  REQUIRE(program.wait().status == 128 + SIGKILL);
  const Outcome outcome = run({"pretrain", "--resume", "--out", broken.string()});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(differing(whole, broken).empty());
}

TEST_CASE("Ctrl-C says how to go on with a pretraining, and train refuses to") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  Program program(tiny_pretraining(out) + Arguments{"--checkpoint-steps", "1", "--epochs", "500"});
  REQUIRE(wait_until([&] { return fs::exists(out / "checkpoint-2.safetensors"); }));
  program.kill(SIGINT);
  const Outcome outcome = program.wait();
  CHECK(outcome.status == 130);
  CHECK(outcome.err.find("lamina pretrain --resume --out " + out.string()) != std::string::npos);
  const Outcome other = run({"train", "--resume", "--out", out.string()});
  CHECK(other.status == 2);
  CHECK(other.err.find("a run of lamina pretrain") != std::string::npos);
}

TEST_CASE("threads, workers and measuring the features change no bit of a pretraining") {
  const TemporaryFolder folder;
  const fs::path one = folder / "one", other = folder / "other", unmeasured = folder / "unmeasured";
  REQUIRE(run(tiny_pretraining(one) + Arguments{"--threads", "1", "--workers", "0", "--trace"}).status == 0);
  REQUIRE(run(tiny_pretraining(other) + Arguments{"--threads", "3", "--workers", "3", "--trace"}).status ==
          0);
  CHECK(differing(one, other).empty());
  REQUIRE(run(tiny_pretraining(unmeasured) + Arguments{"--knn-every", "0", "--trace"}).status == 0);
  CHECK(differing(one, unmeasured) == " epochs");
  CHECK(heading_of(unmeasured / "epochs.csv").find("knn") == std::string::npos);
}

TEST_CASE("a pretraining in parts takes the steps of the unsplit one with the same batch statistics") {
  const TemporaryFolder folder;
  for (const std::string method : {"barlow-twins", "simclr", "vicreg"}) {
    const fs::path whole = folder / (method + "-whole"), parts = folder / (method + "-parts");
    const Arguments slowly{"--lr", "0.05", "--bn-batch", "8"};
    REQUIRE(run(tiny_pretraining(whole, method) + slowly).status == 0);
    REQUIRE(run(tiny_pretraining(parts, method) + slowly + Arguments{"--micro-batch", "16"}).status == 0);
    const auto a = read_csv(whole / "steps.csv", {"loss"}), b = read_csv(parts / "steps.csv", {"loss"});
    REQUIRE(a.size() == 18);
    REQUIRE(b.size() == 18);
    // In f32 sums in another order differ by some 1e-7, which steps amplify, the more the larger they are.
    // Other gradients differ by far more.
    for (std::size_t i = 0; i < a.size(); ++i)
      CHECK(std::abs(a[i][0] - b[i][0]) < (i < 6 ? 2e-5 : 1e-3) * std::abs(a[i][0]));
    CHECK(config_in(parts)["resolved"]["bn_batch"] == 8);
    const fs::path other = folder / (method + "-other");
    REQUIRE(run(tiny_pretraining(other, method) + Arguments{"--micro-batch", "16"}).status == 0);
    CHECK(config_in(other)["resolved"]["bn_batch"] == 16);
    CHECK(std::abs(read_csv(other / "steps.csv", {"loss"})[0][0] - a[0][0]) > 1e-3 * std::abs(a[0][0]));
  }
}

TEST_CASE("pretraining as the official code does it is named by its parts") {
  const TemporaryFolder folder;
  const fs::path right = folder / "right", official = folder / "official";
  REQUIRE(run(tiny_pretraining(right)).status == 0);
  const Outcome outcome = run(tiny_pretraining(official) + Arguments{"--as-official"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const nlohmann::json ours = config_in(right), theirs = config_in(official);
  for (const char* name : {"official_gradient", "official_last_batch", "official_bias_rate"}) {
    CHECK(ours["options"][name] == false);
    CHECK(theirs["options"][name] == true);
  }
  CHECK(ours["resolved"]["gradient_scale"] == 1);
  CHECK(theirs["resolved"]["gradient_scale"] == 0.25);
  CHECK(ours["resolved"]["knobs"]["excluded_lr_scale"] == "0.024");
  CHECK(theirs["resolved"]["knobs"]["excluded_lr_scale"] == "1");
  CHECK(ours["resolved"]["steps_per_epoch"] == 6);
  CHECK(theirs["resolved"]["steps_per_epoch"] == 7);
  // C_ii of the last 8 samples are divided by 32, and so at most a quarter: the loss of 16 such is at
  // least 9.
  const auto steps = read_csv(official / "steps.csv", {"on_diagonal"});
  REQUIRE(steps.size() == 21);
  for (const std::size_t last : {6, 13, 20}) CHECK(steps[last][0] >= 16 * 0.75 * 0.75);
  CHECK(outcome.out.find("--official-gradient") != std::string::npos);
}

TEST_CASE("embeddings that collapse are told of, once") {
  const TemporaryFolder folder;
  const Outcome outcome =
      run(tiny_pretraining(folder / "run", "vicreg") +
          Arguments{"--set-loss", "variance_weight=0", "--set-loss", "covariance_weight=0", "--optimizer",
                    "adamw", "--lr", "0.02", "--epochs", "8", "--progress", "none"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const std::size_t first = outcome.err.find("the embeddings seem to have collapsed");
  REQUIRE(first != std::string::npos);
  CHECK(outcome.err.find("collapsed", first + 40) == std::string::npos);
}

}  // namespace lamina::tests
