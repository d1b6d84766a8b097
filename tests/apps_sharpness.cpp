// lamina sharpness, and --sharpness-every.
#include <cmath>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/base/csv.h"
#include "program.h"

namespace lamina::tests {
namespace {

const std::string& measured_run() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    const fs::path out = folder / "run";
    REQUIRE(run(tiny_training(out) + Arguments{"--sharpness-every", "1", "--sharpness-limit", "16"}).status ==
            0);
    return out.string();
  }();
  return path;
}

nlohmann::json sharpness_json(const Arguments& arguments) {
  const Outcome outcome = run(Arguments{"sharpness", measured_run(), "--json"} + arguments);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return nlohmann::json::parse(outcome.out);
}

}  // namespace

TEST_CASE("lamina sharpness prints what was asked for, and what it depends on") {
  const nlohmann::json plain = sharpness_json({"--limit", "24", "--top", "2"});
  CHECK(plain["bn"] == "eval");
  CHECK(plain["samples"] == 24);
  CHECK(plain["split"] == "train");
  CHECK(plain["model"] == "resnet8");
  CHECK(plain["objective"] == "classification");
  REQUIRE(plain["eigenvalues"].size() == 2);
  CHECK(plain["eigenvalues"][0] >= plain["eigenvalues"][1]);
  CHECK(plain["smallest"] < plain["eigenvalues"][1]);
  CHECK(plain["residuals"].size() == 2);
  CHECK(plain["converged"] == true);
  for (const char* missing : {"trace", "layers", "density", "perturbation"}) CHECK(!plain.contains(missing));

  const nlohmann::json all = sharpness_json(
      {"--limit", "24", "--bn", "train", "--micro-batch", "8", "--trace", "--probes", "4", "--layers",
       "--density", "--density-steps", "4", "--density-starts", "2", "--perturbation"});
  CHECK(all["bn"] == "train");
  CHECK(all["micro_batch"] == 8);
  CHECK(all["trace"]["probes"] == 4);
  CHECK(all["trace"]["stderr"] > 0);
  REQUIRE(all["layers"].size() == 16);
  CHECK(all["layers"][0]["name"] == "conv1.weight");
  CHECK(all["layers"][1]["name"] == "bn1");
  double sum = 0;
  for (const auto& layer : all["layers"]) sum += layer["trace"].get<double>();
  CHECK(std::abs(sum - all["trace"]["mean"].get<double>()) < 1e-6 * std::abs(sum) + 1e-6);
  CHECK(all["density"].size() == 8);
  CHECK(all["perturbation"]["rho"] == 0.05);
  CHECK(all["perturbation"]["worst"] >= all["perturbation"]["one_step"]);
}

TEST_CASE("a sharpness that was killed goes on from its journal, and removes it at the end") {
  const TemporaryFolder folder;
  const std::string journal = (folder / "products").string();
  const Arguments density{"--limit", "32", "--density", "--density-steps", "60"};
  const nlohmann::json whole = sharpness_json(density);
  const Arguments with_journal = density + Arguments{"--journal", journal};
  const auto size = [&] { return fs::exists(journal) ? fs::file_size(journal) : 0; };
  {
    Program program(Arguments{"sharpness", measured_run(), "--json"} + with_journal);
    REQUIRE(wait_until([&] { return size() > 20 * 4 * 74000; }));  // twenty products of all weights
    program.kill(SIGKILL);
    CHECK(program.wait().status == 128 + SIGKILL);
  }
  CHECK(size() > 20 * 4 * 74000);
  CHECK(sharpness_json(with_journal) == whole);
  CHECK(!fs::exists(journal));
}

TEST_CASE("--sharpness-every writes curvature beside the run") {
  const auto rows = read_csv(fs::path(measured_run()) / "curvature.csv", {"epoch", "lambda_1", "residual"});
  REQUIRE(rows.size() >= 2);
  CHECK(rows.front()[0] == 0);
  CHECK(rows.back()[1] > 0);
  CHECK(fs::exists(fs::path(measured_run()) / "curvature.safetensors"));
}

TEST_CASE("lamina sharpness refuses what makes no sense") {
  const auto complaint = [](const Arguments& arguments, int status, const char* part) {
    const Outcome outcome = run(Arguments{"sharpness"} + arguments);
    if (outcome.status == status && outcome.err.find(part) != std::string::npos)
      return std::string("nothing");
    return std::to_string(outcome.status) + ": " + outcome.err;
  };
  const std::string path = measured_run();
  CHECK(complaint({path, "--limit", "100000"}, 2, "--limit 100000: there are 200 images") == "nothing");
  CHECK(complaint({path, "--bn", "batch"}, 2, "expected eval") == "nothing");
  CHECK(complaint({path, "--bn", "train", "--micro-batch", "1", "--limit", "8"}, 2,
                  "statistics of one sample") == "nothing");
  CHECK(complaint({path, "--probes", "10"}, 2, "--probes does nothing without --trace") == "nothing");
  CHECK(complaint({path, "--split", "valid"}, 2, "expected train or test") == "nothing");
  CHECK(complaint({path + "/nowhere"}, 1, "no such file") == "nothing");
  CHECK(complaint({path + "/weights.safetensors"}, 2, "--data NAME[:DIR] is missing") == "nothing");
  CHECK(complaint({path, "--model", "resnet20"}, 2, "says itself what its model is") == "nothing");
  CHECK(complaint({path, "--power", "--top", "2"}, 2, "one at either end") == "nothing");
}

TEST_CASE("mixed images have no curvature of their own") {
  const TemporaryFolder folder;
  const Outcome refused =
      run(tiny_training(folder / "a") + Arguments{"--mixup", "1", "--sharpness-every", "1"});
  CHECK(refused.status == 2);
  CHECK(refused.err.find("--mixup 1 would mix them") != std::string::npos);
  CHECK(!fs::exists(folder / "a"));
  REQUIRE(run(tiny_training(folder / "b", 1) + Arguments{"--mixup", "1"}).status == 0);
  const std::string path = (folder / "b").string();
  const Outcome measured = run({"sharpness", path, "--json", "--limit", "0"});
  REQUIRE(measured.status == 0);
  const Outcome tested = run({"eval", path, "--split", "train", "--limit", "200", "--json"});
  REQUIRE(tested.status == 0);
  const double loss = nlohmann::json::parse(tested.out)["loss"];
  CHECK(std::abs(nlohmann::json::parse(measured.out)["loss"].get<double>() - loss) < 1e-5 * loss);
}

}  // namespace lamina::tests
