// The curvature that runs measured, as comparisons and studies read it.
#include <cmath>

#include "catch.h"
#include "compare/comparison.h"
#include "compare/measured_curvature.h"
#include "compare/sharpness_file.h"
#include "compare/study_plan.h"
#include "compare/study_table.h"
#include "core/base/error.h"
#include "made_up_curvature.h"
#include "made_up_runs.h"
#include "message_of.h"
#include "study_files.h"
#include "train/run_directory.h"

namespace lamina::tests {

using namespace compare;
namespace {

std::vector<Cell> cells_measured(const std::string& more) {
  const TemporaryFolder folder;
  return plan_cells(read_study(write_text(
      folder / "s.toml", tiny_base + more + "[grid]\nseed = [1, 2]\noptimizer = [\"sgd\", \"lars\"]\n")));
}

RunResult with_lambda_1(const Cell& cell, double lambda_1, const std::string& way) {
  RunResult run;
  run.label = cell.label;
  run.config["options"] = to_json(cell.recipe);
  run.epochs.push_back({.epoch = 1, .test_accuracy = 0.5, .lambda_1 = lambda_1});
  run.curvature = std::isnan(lambda_1) ? "" : way;
  run.complete = true;
  return run;
}

}  // namespace

TEST_CASE("a run's curvature is read with how it was measured") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a";
  write_run(path, tiny_options(), {{2, 0.5}, {1, 0.6}});
  CHECK(read_run_result(path).curvature.empty());
  CHECK(std::isnan(read_run_result(path).lambda_1()));
  write_curvature(path);
  const RunResult run = read_run_result(path);
  CHECK(run.curvature == "batch norm by running statistics, 128 samples");
  CHECK(run.lambda_1() == 64);
  CHECK(run.epochs[0].lambda_1 == 8);
  const std::vector<CurvatureRow> rows = read_curvature(path);
  REQUIRE(rows.size() == 3);
  CHECK(std::isnan(rows[0].lr));  // there was no step before
  CHECK(rows[2].lambda_min == -4);
  CHECK(rows[2].trace == 30);
  CHECK(rows[2].frobenius == 24);
  CHECK(rows[2].lr == 0.2);

  const char* unknown = "batch norm in an unknown mode, an unknown number of samples";
  write_curvature(path, {.bn = "sideways", .samples = "-3"});
  CHECK(read_run_result(path).curvature == unknown);
  fs::resize_file(path / "curvature.safetensors", 30);
  CHECK(read_run_result(path).curvature == unknown);
  fs::remove(path / "curvature.safetensors");
  CHECK(read_run_result(path).curvature == unknown);
  fs::create_directory(path / "curvature.safetensors");  // not damaged: it cannot be read
  CHECK(message_of([&] { read_run_result(path); }).find("curvature.safetensors") != std::string::npos);
}

TEST_CASE("a group's largest eigenvalue is a mean over seeds that were measured alike") {
  const TemporaryFolder folder;
  std::vector<RunResult> runs;
  for (const std::uint64_t seed : {1, 2, 3}) {
    train::Recipe options = tiny_options();
    options.seed = seed;
    options.sharpness_every = 1;
    options.sharpness_limit = static_cast<std::int64_t>(seed);  // no contender of its own for that
    const fs::path path = folder / fmt::format("{}", seed);
    write_run(path, options, {{2, 0.5}, {1, 0.6}});
    if (seed < 3) write_curvature(path, {.scale = static_cast<double>(seed)});
    runs.push_back(read_run_result(path));
  }
  std::vector<Group> groups = group_runs(runs);
  REQUIRE(groups.size() == 1);
  CHECK(groups[0].lambda_1.count == 2);
  CHECK(groups[0].lambda_1.mean == 96);
  CHECK(groups[0].curvatures().size() == 1);
  CHECK(groups[0].first_with("curvature.csv")->path == folder / "1");
  CHECK(groups[0].first_with("nothing.csv") == nullptr);

  runs[1].curvature = "otherwise";
  groups = group_runs(runs);
  CHECK(groups[0].curvatures().size() == 2);
  CHECK(groups[0].lambda_1.count == 0);
  runs[1].complete = false;
  CHECK(group_runs(runs)[0].lambda_1.mean == 64);
}

TEST_CASE("a study's table has the largest eigenvalue where a run measured it") {
  const std::vector<Cell> cells = cells_measured("sharpness_every = 1\nsharpness_limit = 64\n");
  REQUIRE(cells.size() == 4);
  std::vector<RunResult> results;
  for (const Cell& cell : cells)
    results.push_back(with_lambda_1(
        cell, cell.recipe.optimizer == "sgd" ? 10.0 * static_cast<double>(cell.recipe.seed) : std::nan(""),
        "this way"));
  const Study study;
  StudyTable table = make_study_table(study, cells, results);
  CHECK(as_markdown(table) ==
        "| contender | optimizer | best % | last % | lambda_1 | runs |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| s | sgd | 50.00 ± 0.00 | 50.00 ± 0.00 | 15 ± 7.1 | 2 |\n"
        "| s | lars | 50.00 ± 0.00 | 50.00 ± 0.00 | - | 2 |\n"
        "\nlambda_1: the largest eigenvalue of the training loss's Hessian, measured last, this way.\n");
  CHECK(as_latex(table).find("lambda\\_1 & runs") != std::string::npos);
  CHECK(as_latex(table).find("15 $\\pm$ 7.1 & 2") != std::string::npos);
  CHECK(as_text(table).find("measured last, this way.") != std::string::npos);
  CHECK(runs_as_csv(cells, results).find("last_accuracy,lambda_1,last_test_loss") != std::string::npos);
  CHECK(runs_as_csv(cells, results).find(",0.5,10,") != std::string::npos);

  results.back().curvature = "that way";
  results.back().epochs[0].lambda_1 = 3;
  table = make_study_table(study, cells, results);
  CHECK(as_text(table).find("in different ways, so that rows do not compare: that way; this way.") !=
        std::string::npos);

  const std::vector<Cell> unmeasured = cells_measured("");
  results.clear();
  for (const Cell& cell : unmeasured) results.push_back(with_lambda_1(cell, std::nan(""), ""));
  CHECK(as_text(make_study_table(study, unmeasured, results)).find("lambda_1") == std::string::npos);
  CHECK(runs_as_csv(unmeasured, results).find("lambda_1") == std::string::npos);
}

TEST_CASE("a run that starts over loses what was measured of it, and nothing of anybody else") {
  const TemporaryFolder folder;
  write_run(folder / "a", tiny_options(), {{2, 0.5}});
  write_curvature(folder / "a");
  write_sharpness(folder / "a");
  write_text(folder / "a" / "sharpness-of-mine.json", "{}");
  train::RunDirectory::remove_run(folder / "a");
  CHECK(fs::directory_iterator(folder / "a")->path().filename() == "sharpness-of-mine.json");
  CHECK(std::distance(fs::directory_iterator(folder / "a"), fs::directory_iterator()) == 1);
}

TEST_CASE("what lamina sharpness writes is read back") {
  const TemporaryFolder folder;
  write_sharpness(folder.path());
  const SharpnessFile found = read_sharpness(folder / "sharpness.json");
  CHECK(found.way == "batch norm by each batch’s statistics, 2,048 samples");
  CHECK(found.eigenvalues == std::vector<double>{100, 50.5});
  CHECK(found.residuals == std::vector<double>{0.25, 0.5});
  CHECK(found.smallest == -3);
  CHECK(found.trace == 300);
  CHECK(found.trace_error == 20);
  CHECK(found.epoch == 2);
  CHECK(found.density == std::vector<std::pair<double, double>>{{0, 0.5}, {100, 0.5}});
  write_sharpness(
      folder.path(),
      nlohmann::json::parse(R"({"bn": "eval", "eigenvalues": [1], "residuals": [null], "epoch": null})"));
  const SharpnessFile least = read_sharpness(folder / "sharpness.json");
  CHECK(least.way == "batch norm by running statistics, an unknown number of samples");
  CHECK(std::isnan(least.residuals[0]));
  CHECK(std::isnan(least.trace));
  CHECK(std::isnan(least.smallest));
  CHECK(!least.epoch);
  CHECK(least.density.empty());
}

}  // namespace lamina::tests
