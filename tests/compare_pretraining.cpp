// Runs of pretraining among runs compared: what is read of them, their studies and tables.
#include <cmath>

#include "catch.h"
#include "compare/comparison.h"
#include "compare/report/curves.h"
#include "compare/report/result_tables.h"
#include "compare/report/summary.h"
#include "compare/study_plan.h"
#include "compare/study_table.h"
#include "core/base/error.h"
#include "made_up_runs.h"
#include "message_of.h"
#include "study_files.h"

namespace lamina::tests {

using namespace compare;
namespace {

const std::string pretraining_base =
    tiny_base + "method = \"barlow-twins\"\nprojector = [16, 16]\nknn_every = 1\n";

train::Recipe barlow_options(const std::string& optimizer, std::uint64_t seed) {
  train::Recipe options = tiny_options();
  options.method = "barlow-twins";
  options.optimizer = optimizer;
  options.seed = seed;
  return options;
}

// Two epochs, of which the second was measured.
void write_pretraining(const fs::path& path, const train::Recipe& options, double knn) {
  write_run(path, options, {});
  std::ofstream(path / "epochs.csv") << fmt::format(
      "epoch,train_loss,train_on_diagonal,train_correlation,test_loss,test_on_diagonal,test_correlation,"
      "seconds,"
      "images_per_s,knn_accuracy\n1,9,8,0.25,,,,10,100,\n2,7,6,0.5,,,,10,100,{}\n",
      knn);
}

std::vector<Cell> cells_of_study(const std::string& text) {
  const TemporaryFolder folder;
  return plan_cells(read_study(write_text(folder / "s.toml", text)));
}

}  // namespace

TEST_CASE("a run without accuracy has what its loss is made of, and its nearest neighbours") {
  const TemporaryFolder folder;
  write_pretraining(folder / "a", barlow_options("lars", 1), 0.4);
  const RunResult run = read_run_result(folder / "a");
  CHECK(run.complete);
  CHECK(run.quantities == std::vector<std::string>{"on_diagonal", "correlation"});
  REQUIRE(run.epochs.size() == 2);
  CHECK(run.epochs[1].quantities == std::vector<double>{6, 0.5});
  CHECK(std::isnan(run.epochs[0].knn_accuracy));
  CHECK(run.knn_accuracy() == 0.4);
  CHECK(run.best() == nullptr);
  CHECK(run.last() == nullptr);
  for (const DescribedOption& option : describe_options(run)) CHECK(option.name != "label_smoothing");
}

TEST_CASE("pretrained contenders are ranked by their nearest neighbours") {
  const TemporaryFolder folder;
  std::vector<RunResult> runs;
  const std::vector<std::tuple<const char*, std::uint64_t, double>> made{
      {"lars", 1, 0.4}, {"lars", 2, 0.42}, {"adamw", 1, 0.5}, {"adamw", 2, 0.54}};
  for (const auto& [optimizer, seed, knn] : made) {
    const fs::path path = folder / fmt::format("{}-{}", optimizer, seed);
    write_pretraining(path, barlow_options(optimizer, seed), knn);
    runs.push_back(read_run_result(path));
  }
  const std::vector<Group> groups = group_runs(runs);
  REQUIRE(groups.size() == 2);
  CHECK(std::abs(groups[1].knn_accuracy.mean - 0.52) < 1e-12);  // rounding of a sum of two
  CHECK(groups[1].best_accuracy.count == 0);
  CHECK(summary_paragraph(groups).find(
            "Most accurate by nearest neighbours is <b>adamw</b>: 52.00 ± 2.83 %") != std::string::npos);
  const std::string table = comparison_table(groups);
  CHECK(table.find("kNN accuracy, %") != std::string::npos);
  CHECK(table.find("Best test accuracy") == std::string::npos);
  CHECK(table.find("<b>52.00 ± 2.83</b>") != std::string::npos);
  CHECK(run_table(groups).find("54.00") != std::string::npos);
  CHECK(run_table(groups).find("Best, %") == std::string::npos);
  std::vector<std::string> figures;
  for (const CurveFigure& figure : curve_figures(groups)) figures.push_back(figure.name);
  CHECK(figures == std::vector<std::string>{"knn-accuracy", "train-loss", "quantity-on-diagonal",
                                            "quantity-correlation"});
}

TEST_CASE("a study with a method plans runs of pretraining") {
  const std::string contenders = "[[contender]]\nlabel = \"A\"\noptimizer = \"lars\"\ngrid.lr = [0.1, 0.2]\n";
  const std::vector<Cell> cells = cells_of_study("tuned = \"lr\"\n" + pretraining_base + contenders);
  REQUIRE(cells.size() == 2);
  CHECK(cells[0].recipe.method == "barlow-twins");
  CHECK(cells[0].recipe.projector == std::vector<int>{16, 16});
  CHECK(cells[1].recipe.lr == 0.2);
  const std::vector<Cell> methods = cells_of_study(
      tiny_base + "bn_batch = 8\n[grid]\nmethod = [\"simclr\", \"vicreg\"]\n");  // the method comes last
  REQUIRE(methods.size() == 2);
  CHECK(methods[1].recipe.method == "vicreg");
  CHECK(methods[1].recipe.bn_batch == 8);
  const std::vector<Cell> levels = cells_of_study(
      tiny_base +
      "lr = 0.1\nbn_batch = 8\n[[contender]]\nlabel = \"A\"\noptimizer = \"lars\"\nmethod = \"simclr\"\n"
      "set.lr = 0.3\n");  // the knob replaces the base's option of its name
  REQUIRE(levels.size() == 1);
  CHECK(levels[0].recipe.bn_batch == 8);
  CHECK(!levels[0].recipe.lr);
  CHECK(levels[0].recipe.set == std::vector<std::string>{"lr=0.3"});

  CHECK(message_of([&] { cells_of_study(tiny_base + "bn_batch = 8\n"); }).find("give its method first") !=
        std::string::npos);
  CHECK(message_of([&] { cells_of_study(pretraining_base + "mixup = 0.2\n"); }).find("not of pretraining") !=
        std::string::npos);
  CHECK(message_of([&] {
          cells_of_study(pretraining_base + "viws = \"tvlars\"\n");
        }).find("did you mean views?") != std::string::npos);
}

TEST_CASE("values are chosen by what all runs measure, or the study is refused") {
  const std::string grid = "[[contender]]\nlabel = \"A\"\noptimizer = \"lars\"\ngrid.lr = [0.1, 0.2]\n";
  const auto refusal = [&](const std::string& text) {
    return message_of([&] { cells_of_study("tuned = \"lr\"\n" + text + grid); });
  };
  CHECK(refusal(pretraining_base) == "(no error)");
  CHECK(refusal(tiny_base) == "(no error)");
  for (const std::string& text :
       {"tuned_by = \"knn_accuracy\"\n" + tiny_base, "tuned_by = \"last_accuracy\"\n" + pretraining_base,
        tiny_base + "method = \"barlow-twins\"\nprojector = [16, 16]\nknn_every = 0\n"}) {
    INFO(text);
    CHECK(unexplained([&] { cells_of_study("tuned = \"lr\"\n" + text + grid); },
                      {"a_lr=0.1 does not measure"}) == "nothing");
  }
}

TEST_CASE("the table of a study of pretraining keeps the tuned value of the best neighbours") {
  const TemporaryFolder folder;
  const Study study = read_study(
      write_text(folder / "s.toml",
                 "tuned = \"lr\"\n" + pretraining_base +
                     "[[contender]]\nlabel = \"A\"\noptimizer = \"lars\"\ngrid.lr = [0.1, 0.2, 0.4]\n"));
  const std::vector<Cell> cells = plan_cells(study);
  CHECK(criterion_of(study, cells) == Criterion::knn_accuracy);
  std::vector<RunResult> results;
  for (const double knn : {0.3, 0.45, 0.4}) {
    const fs::path path = folder / fmt::format("{}", results.size());
    write_pretraining(path, cells[results.size()].recipe, knn);
    results.push_back(read_run_result(path, cells[results.size()].label));
  }
  const StudyTable table = make_study_table(study, cells, results);
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0].values == std::vector<std::string>{"0.2"});
  CHECK(as_markdown(table).starts_with(
      "| contender | lr | kNN % | runs |\n| --- | ---: | ---: | ---: |\n| A | 0.2 | "
      "45.00 | 1 |\n"));
  CHECK(as_latex(table).find("{lrrr}") != std::string::npos);
  CHECK(table.note.find("accuracy of the nearest neighbours") != std::string::npos);
  const std::string csv = runs_as_csv(cells, results);
  CHECK(csv.find("last_accuracy,knn_accuracy,last_test_loss") != std::string::npos);
  CHECK(csv.find(",,0.45,,7,20.0\n") != std::string::npos);
}

}  // namespace lamina::tests
