// lamina features, knn and linear.
#include <cmath>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/files/safetensors.h"
#include "layers/resnet.h"
#include "layers/weights.h"
#include "program.h"
#include "train/knn.h"
#include "train/linear_probe.h"

namespace lamina::tests {
namespace {

const Arguments tiny_data{"--data", "synthetic:8x8x3x4", "--limit-train", "80", "--limit-test", "40"};

nlohmann::json probe_json(const Arguments& arguments) {
  const Outcome outcome = run(arguments + Arguments{"--json"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return nlohmann::json::parse(outcome.out);  // and nothing else is on standard output
}

// One training for all cases that only look at its end.
const std::string& trained_run() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    const fs::path out = folder / "run";
    REQUIRE(run(tiny_training(out)).status == 0);
    return out.string();
  }();
  return path;
}

// "nothing" if the command ends with the status and says every part.
std::string complaint(const Arguments& arguments, int status, std::initializer_list<const char*> parts) {
  const Outcome outcome = run(arguments);
  std::string wrong;
  if (outcome.status != status || !outcome.out.empty())
    wrong = "status " + std::to_string(outcome.status) + ", output \"" + outcome.out + "\": ";
  for (const char* part : parts)
    if (outcome.err.find(part) == std::string::npos) wrong += std::string("no \"") + part + "\" in: ";
  return wrong.empty() ? "nothing" : wrong + outcome.err;
}

}  // namespace

TEST_CASE("lamina features writes what knn and linear measure") {
  const TemporaryFolder folder;
  const std::string out = (folder / "features.safetensors").string();
  REQUIRE(
      run({"features", trained_run(), "--limit-train", "80", "--limit-test", "40", "--out", out}).status ==
      0);
  const TensorFile file = read_tensors(out);
  CHECK(file.at("train.features").shape() == Shape{80, 64});
  CHECK(file.at("train.features").dtype() == DType::f32);
  CHECK(file.at("train.labels").shape() == Shape{80});
  CHECK(file.at("train.labels").dtype() == DType::i32);
  CHECK(file.at("test.features").shape() == Shape{40, 64});
  CHECK(file.at("test.labels").shape() == Shape{40});
  CHECK(file.metadata.at("model") == "resnet8");
  CHECK(file.metadata.at("epoch") == "2");

  const Features bank{.values = file.at("train.features"),
                      .labels = file.at("train.labels").to_vector<std::int32_t>()};
  const Features queries{.values = file.at("test.features"),
                         .labels = file.at("test.labels").to_vector<std::int32_t>()};
  const auto nearest =
      probe_json(Arguments{"knn", trained_run(), "--k", "7", "--temperature", "0.2"} + tiny_data);
  CHECK(nearest["accuracy"] == knn(bank, queries, {.k = 7, .temperature = 0.2}).accuracy);
  CHECK(nearest["k"] == 7);
  CHECK(nearest["temperature"] == 0.2);
  CHECK(nearest["epoch"] == 2);
  CHECK(nearest["view"] == "test");
  CHECK(nearest["bn_batch"].is_null());
  CHECK(!nearest.contains("seed"));  // nothing is drawn
  CHECK(!file.metadata.contains("seed"));
  const auto probe = probe_json(Arguments{"linear", trained_run(), "--seed", "5"} + tiny_data);
  const LinearProbe expected = linear_probe(bank, queries, {.seed = 5});
  CHECK(probe["top1"] == expected.top1);
  CHECK(probe["l2"] == expected.fit.l2);
  CHECK(probe["iterations"] == expected.fit.iterations);
  CHECK(probe["converged"] == true);
  CHECK(probe["gradient"].get<double>() <= 1e-5);
  CHECK(probe["classes"] == 4);
  CHECK(probe["features"] == 64);
  CHECK(probe["held_out"].size() == 7);
  CHECK(probe_json(Arguments{"linear", trained_run(), "--l2", "0.03"} + tiny_data)["l2"] == 0.03);
}

TEST_CASE("a backbone needs no last layer, and its projector is no part of it") {
  const TemporaryFolder folder;
  const std::string with_head = (folder / "head.safetensors").string(),
                    without = (folder / "none.safetensors").string(),
                    with_projector = (folder / "projector.safetensors").string();
  WeightInfo info;
  info.model = "resnet8";
  info.mean = {.5f, .5f, .5f};
  info.std = {.2f, .2f, .2f};
  save_weights(with_head, ResNet("resnet8", {.classes = 9, .seed = 4}), info);
  save_weights(without, ResNet("resnet8", {.head = false, .seed = 4}), info);
  save_weights(
      with_projector,
      ResNet("resnet8", {.head = false, .projector = ProjectorOptions{.widths = {16, 8}}, .seed = 4}), info);
  const Arguments k{"--k", "5"};
  const auto first = probe_json(Arguments{"knn", with_head} + tiny_data + k);
  CHECK(first["epoch"].is_null());
  for (const std::string& file : {without, with_projector, std::string("random:resnet8")}) {
    const Arguments random = file.starts_with("random:")
                                 ? Arguments{"--seed", "4", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"}
                                 : Arguments{};
    const auto json = probe_json(Arguments{"knn", file} + tiny_data + k + random);
    CHECK(json["accuracy"] == first["accuracy"]);
    CHECK(json["features"] == 64);
    CHECK(json["weights"] == first["weights"]);  // of the backbone alone
    CHECK(json.contains("seed") == file.starts_with("random:"));
  }
  CHECK(probe_json(Arguments{"linear", "random:resnet8", "--l2", "0.01"} + tiny_data)["epoch"] == 0);
}

TEST_CASE("as official, every part of the protocol is named and can be switched off") {
  const Arguments official =
      Arguments{"linear", trained_run(), "--as-official", "--epochs", "2", "--batch", "32"} + tiny_data;
  const auto all = probe_json(official);
  CHECK(all["samples"] == 10);  // a quarter of 40
  CHECK(all["as_official"] == nlohmann::json{{"training_mode", true},
                                             {"test_crops", true},
                                             {"cosine_by_iteration", true},
                                             {"one_shard", true},
                                             {"epochs", 2},
                                             {"batch", 32},
                                             {"lr", 0.3},
                                             {"momentum", 0.9},
                                             {"weight_decay", 5e-4}});
  CHECK(all["view"] == "random crop and flip");
  CHECK(probe_json(official)["top1"] == all["top1"]);
  const auto none = probe_json(official + Arguments{"--no-training-mode", "--no-test-crops",
                                                    "--no-cosine-by-iteration", "--no-one-shard"});
  CHECK(none["samples"] == 40);
  CHECK(none["view"] == "test");
  CHECK(none["as_official"]["training_mode"] == false);
  CHECK(none["as_official"]["cosine_by_iteration"] == false);
}

TEST_CASE("knn says how many neighbours there were") {
  const Outcome outcome = run(Arguments{"knn", trained_run(), "--k", "81", "--json"} + tiny_data);
  CHECK(outcome.status == 0);
  CHECK(outcome.err.find("the bank has 80 images") != std::string::npos);
  CHECK(nlohmann::json::parse(outcome.out)["k"] == 80);
}

TEST_CASE("what cannot be measured, or would do nothing, is refused") {
  const TemporaryFolder folder;
  const std::string foreign = (folder / "foreign.safetensors").string(),
                    other = (folder / "other.safetensors").string();
  WeightInfo info;
  info.model = "resnet8";
  save_weights(foreign, ResNet("resnet8", {.head = false, .seed = 4}), info);
  TensorFile tensors;
  tensors.tensors.emplace_back("weight", Tensor::zeros({2}));
  write_tensors(other, tensors);
  for (const char* name : {"features", "knn", "linear"}) {
    CAPTURE(name);
    const Arguments command{name},
        out = std::string(name) == "features" ? Arguments{"--out", (folder / "out").string()} : Arguments{};
    CHECK(complaint(command + Arguments{other} + tiny_data + out, 1, {"holds no ResNet", "conv1.weight"}) ==
          "nothing");
    CHECK(complaint(command + Arguments{foreign} + out, 2, {"--data NAME[:DIR] is missing"}) == "nothing");
    CHECK(complaint(command + Arguments{(folder / "none").string()} + out, 1, {"no such file"}) == "nothing");
    CHECK(complaint(command + Arguments{"random:resnet9"} + tiny_data + out, 2, {"resnet9"}) == "nothing");
    CHECK(complaint(command + Arguments{trained_run(), "--data", "synthetic:8x8x1x4"} + out, 1,
                    {"1 channels", "wants 3"}) == "nothing");
  }
  CHECK(complaint(Arguments{"linear", foreign} + tiny_data, 1,
                  {"does not say how its images were normalised", "--mean"}) == "nothing");
  CHECK(
      run(Arguments{"linear", foreign, "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"} + tiny_data).status ==
      0);
  CHECK(run(Arguments{"knn", foreign} + tiny_data).err.find("ImageNet's mean") != std::string::npos);
  const Arguments knn{"knn", trained_run()}, linear{"linear", trained_run()};
  CHECK(complaint(knn + Arguments{"--k", "0"}, 2, {"--k 0: expected"}) == "nothing");
  CHECK(complaint(knn + Arguments{"--temperature", "0"}, 2, {"--temperature 0: expected"}) == "nothing");
  CHECK(complaint(knn + Arguments{"--seed", "3"}, 2, {"--seed does nothing"}) == "nothing");
  CHECK(complaint({"knn", "random:resnet8", "--data", "synthetic:8x8x3x4", "--model", "resnet20"}, 2,
                  {"--model does nothing"}) == "nothing");
  CHECK(complaint(linear + Arguments{"--epochs", "3"}, 2, {"--epochs does nothing without --as-official"}) ==
        "nothing");
  CHECK(complaint(linear + Arguments{"--as-official", "--l2", "1"}, 2,
                  {"--l2 does nothing with --as-official"}) == "nothing");
  CHECK(complaint({"features", trained_run()}, 2, {"--out FILE.safetensors is missing"}) == "nothing");
}

TEST_CASE("a probe that ends short of its gradient bound says so beside the result") {
  const Outcome outcome =
      run(Arguments{"linear", trained_run(), "--l2", "1e-6", "--max-iterations", "2", "--json"} + tiny_data);
  CHECK(outcome.status == 0);
  CHECK(outcome.err.find("stopped by the limit of iterations (--max-iterations 2)") != std::string::npos);
  const auto json = nlohmann::json::parse(outcome.out);
  CHECK(json["converged"] == false);
  CHECK(json["gradient"].get<double>() > 1e-5);
  CHECK(json["stopped_by"] == "the limit of iterations");
}

}  // namespace lamina::tests
