// Sharpness-aware training on the command line, in studies and in reports.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "program.h"
#include "study_files.h"

namespace lamina::tests {
namespace {

nlohmann::json config_of(const fs::path& out) {
  return nlohmann::json::parse(read_file(out / "config.json"));
}

}  // namespace

TEST_CASE("a sharpness-aware run is told, kept in config.json, gone on with and evaluated") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run", plain = folder / "plain", zero = folder / "zero";
  const Outcome outcome =
      run(tiny_training(out) + Arguments{"--sam", "0.5", "--sam-adaptive", "--sam-m", "16", "--noise-scale"});
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(outcome.out.find("32 in parts of 16") != std::string::npos);
  CHECK(outcome.out.find("\ngradients  ASAM, rho 0.5, eta 0.01, m 16: two for each step\n") !=
        std::string::npos);
  const nlohmann::json config = config_of(out);
  CHECK(config["options"]["sam"] == 0.5);
  CHECK(config["options"]["sam_adaptive"] == true);
  CHECK(config["options"]["sam_m"] == 16);
  CHECK(config["resolved"]["gradients"] == "ASAM, rho 0.5, eta 0.01, m 16");
  CHECK(config["command"].get<std::string>().find(" --sam 0.5 --sam-adaptive --sam-m 16 ") !=
        std::string::npos);
  CHECK(run({"train", "--resume", "--out", out.string()}).status == 0);
  CHECK(run({"eval", out.string(), "--data", "synthetic:8x8x3x4"}).status == 0);
  const Outcome other = run({"train", "--resume", "--sam", "0.1", "--out", out.string()});
  CHECK(other.status == 2);
  CHECK(other.err.find("--sam: 0.1 here, 0.5 there") != std::string::npos);

  REQUIRE(run(tiny_training(plain)).status == 0);
  REQUIRE(run(tiny_training(zero) + Arguments{"--sam", "0"}).status == 0);
  CHECK(read_file(plain / "weights.safetensors") == read_file(zero / "weights.safetensors"));
  CHECK(read_file(plain / "weights.safetensors") != read_file(out / "weights.safetensors"));
}

TEST_CASE("options of sharpness-aware training that make no sense are wrong usage") {
  const TemporaryFolder folder;
  const auto refused = [&](const Arguments& options, const char* message) {
    const Outcome outcome = run(tiny_training(folder / "run") + options);
    INFO(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find(message) != std::string::npos);
    CHECK(!fs::exists(folder / "run"));
  };
  for (const char* rho : {"-0.1", "nan", "inf"}) refused({"--sam", rho}, "expected a finite number");
  refused({"--sam-adaptive"}, "--sam-adaptive does nothing without --sam");
  refused({"--sam-m", "8"}, "--sam-m does nothing without --sam");
  refused({"--sam", "0.1", "--sam-m", "33"}, "--sam-m 33: expected the samples of a part of --batch 32");
  refused({"--sam", "0.1", "--sam-m", "16", "--micro-batch", "8"}, "leave out --micro-batch");
  const Outcome pretraining =
      run(tiny_pretraining(folder / "run") + Arguments{"--sam", "0.1", "--micro-batch", "16"});
  CHECK(pretraining.status == 2);
  CHECK(pretraining.err.find("--sam 0.1 with --micro-batch 16: the loss compares") != std::string::npos);
  CHECK(run({"replay", "--sam", "0.1"}).status == 2);
}

TEST_CASE("pretraining and the range test of learning rates are sharpness-aware, too") {
  const TemporaryFolder folder;
  const Outcome outcome = run(tiny_pretraining(folder / "run") + Arguments{"--sam", "0.1", "--epochs", "1"});
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(outcome.out.find("gradients  SAM, rho 0.1: two") != std::string::npos);
  const auto found = [](const Arguments& more) {
    const Arguments find{
        "find-lr", "--data", "synthetic:8x8x3x4", "--model", "resnet8", "--optimizer", "sgd",
        "--batch", "32",     "--limit-train",     "128",     "--steps", "4",           "--threads",
        "1",       "--json"};
    const Outcome range = run(find + more);
    CHECK(range.status == 0);
    return nlohmann::json::parse(range.out)["trials"];
  };
  const nlohmann::json plain = found({}), perturbed = found({"--sam", "0.5"});
  CHECK(plain[0]["loss"] == perturbed[0]["loss"]);
  CHECK(plain[3]["loss"] != perturbed[3]["loss"]);
}

TEST_CASE("a study compares values of rho, and tells them apart in its table and report") {
  const TemporaryFolder folder;
  const std::string text = tiny_base +
                           "optimizer = \"sgd\"\n[[contender]]\nlabel = \"SGD\"\n"
                           "[[contender]]\nlabel = \"SAM\"\ngrid.sam = [0.05, 0.5]\n"
                           "[[contender]]\nlabel = \"ASAM\"\nsam = 0.5\nsam_adaptive = true\nsam_m = 16\n";
  const fs::path file = write_text(folder / "sam.toml", text), out = folder / "out";
  const Outcome outcome = run({"study", file.string(), "--out", out.string(), "--progress", "plain"});
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  const std::string table = read_file(out / "table.md"), results = read_file(out / "results.csv");
  for (const char* row : {"| SGD | 0 |", "| SAM | 0.05 |", "| SAM | 0.5 |", "| ASAM | 0.5 |"})
    CHECK(table.find(row) != std::string::npos);
  CHECK(results.starts_with("run,contender,sam,seed,"));
  CHECK(read_file(out / "report.html").find("<code>--sam-adaptive</code>") != std::string::npos);
  CHECK(config_of(out / "runs" / "asam")["options"]["sam_m"] == 16);

  write_text(file, tiny_base + "[[contender]]\nlabel = \"idle\"\noptimizer = \"sgd\"\nsam_adaptive = true\n");
  const Outcome idle = run({"study", file.string(), "--dry-run"});
  CHECK(idle.status == 2);
  CHECK(idle.err.find("--sam-adaptive does nothing without --sam") != std::string::npos);
}

}  // namespace lamina::tests
