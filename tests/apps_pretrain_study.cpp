// lamina study and lamina report on runs of pretraining.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "program.h"
#include "study_files.h"

namespace lamina::tests {
namespace {

const std::string pretraining_study =
    tiny_base +
    "method = \"barlow-twins\"\nprojector = [16, 16]\nknn_every = 1\ntrace = true\n"
    "[grid]\nseed = [1, 2]\n"
    "[[contender]]\nlabel = \"LARS\"\noptimizer = \"lars\"\n"
    "[[contender]]\nlabel = \"AdamW\"\noptimizer = \"adamw\"\n";

bool page_has(const std::string& page, const std::string& part) {
  INFO("missing: " << part);
  const bool found = page.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("a study of pretraining ends in a table and a report of its features", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path file = write_text(folder / "s.toml", pretraining_study), out = folder / "study";
  const Arguments command{"study", file.string(), "--out", out.string(), "--progress", "none"};
  const Outcome outcome = run(command);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(read_file(out / "table.md").starts_with("| contender | kNN % | runs |\n"));
  const std::string results = read_file(out / "results.csv");
  CHECK(results.find(",knn_accuracy,") != std::string::npos);
  const std::string page = read_file(out / "report.html");
  for (const char* part :
       {"Most accurate by nearest neighbours is", "kNN accuracy, %", "“on diagonal”", "“correlation”",
        "k 96, temperature 0.1, 96 training images, batch statistics over 32",
        "<code>--method barlow-twins</code>", "<code>--views solo-learn-barlow</code>",
        "lamina pretrain --data synthetic:8x8x3x4"})
    page_has(page, part);
  CHECK(page.find("label-smoothing") == std::string::npos);

  const auto written = fs::last_write_time(out / "runs" / "lars_seed=1" / "weights.safetensors");
  REQUIRE(run(command).status == 0);  // nothing is left to be run
  CHECK(fs::last_write_time(out / "runs" / "lars_seed=1" / "weights.safetensors") == written);
  CHECK(read_file(out / "results.csv") == results);

  const Outcome other = run(command + Arguments{"--set-loss", "lambda=0.1"});
  CHECK(other.status == 2);
  CHECK(other.err.find("--set-loss: [\"lambda=0.1\"] here, [] there") != std::string::npos);

  // As a version with other defaults would have made it.
  const fs::path config = out / "runs/lars_seed=1/config.json";
  nlohmann::json other_defaults = nlohmann::json::parse(read_file(config));
  other_defaults["resolved"]["views"] = "tvlars";
  other_defaults["resolved"]["loss"]["lambda"] = 0.5;
  write_text(config, other_defaults.dump());
  const Outcome mixed = run(command);
  CHECK(mixed.status == 2);
  for (const char* part : {"lars_seed=1: views: \"tvlars\" there, \"solo-learn-barlow\" here",
                           "loss lambda: 0.5 there, 0.005 here"})
    page_has(mixed.err, part);
  for (const char* unknown : {"views", "loss", "projector"}) other_defaults["resolved"].erase(unknown);
  write_text(config, other_defaults.dump());
  CHECK(run(command).status == 0);
}

TEST_CASE("a report shows pretraining beside training, each by what it has", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path supervised = folder / "supervised", pretrained = folder / "pretrained",
                 html = folder / "page.html";
  REQUIRE(run(tiny_training(supervised, 1)).status == 0);
  REQUIRE(run(tiny_pretraining(pretrained, "simclr")).status == 0);
  const Outcome outcome = run({"report", supervised.string(), pretrained.string(), "-o", html.string()});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const std::string page = read_file(html);
  for (const char* part :
       {"Best test accuracy, %", "kNN accuracy, %", "“alignment”", "Test accuracy after each epoch"})
    page_has(page, part);
}

}  // namespace lamina::tests
