// Runs of programs of one's own in comparisons and reports.
#include <cmath>

#include "catch.h"
#include "compare/comparison.h"
#include "compare/report/report.h"
#include "program.h"
#include "tiny_training.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

// A squared error, without an accuracy.
void train_squares(const fs::path& directory, double lr, bool test) {
  PixelLinear net(1);
  OwnObjective objective(net, [&](const data::Part& part) {
    const Tensor scores = reshape(net(part.images()), {part.size()});
    return part.mean(square(scores - cast(part.labels, DType::f32)));
  });
  Sgd optimizer(net.parameters(), {.lr = lr});
  const data::Loader loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3});
  Trace trace;
  Trainer trainer(objective, optimizer, loader, {.epochs = 2, .directory = directory});
  if (test) trainer.test(tiny_images().test);
  trainer.observe(trace).run();
}

}  // namespace

TEST_CASE("a run of an objective without an accuracy can be read") {
  const TemporaryFolder folder;
  train_squares(folder / "run", 1e-3, true);
  const compare::RunResult run = compare::read_run_result(folder / "run");
  CHECK(run.complete);
  CHECK(run.failure.empty());
  CHECK(run.seed() == 3);
  REQUIRE(run.epochs.size() == 2);
  CHECK(run.epochs[1].train_loss < run.epochs[0].train_loss);
  CHECK(std::isfinite(run.epochs[1].test_loss));
  CHECK(std::isnan(run.epochs[1].test_accuracy));
  CHECK(run.best() == nullptr);
  CHECK(run.last() == nullptr);
  CHECK(!run.validated());

  train_squares(folder / "other", 2e-3, false);
  const auto groups = compare::group_runs({run, compare::read_run_result(folder / "other")});
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].label.find("lr=0.001") != std::string::npos);
  CHECK(groups[0].complete() == 1);
  CHECK(groups[0].best_accuracy.count == 0);
  CHECK(groups[0].last_train_loss.mean == run.epochs[1].train_loss);
}

TEST_CASE("a report is made of runs whose objective has no accuracy, and beside runs that have one") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  train_squares(folder / "tested", 1e-3, true);
  train_squares(folder / "untested", 2e-3, false);
  TinyParts parts;
  Trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 2, .directory = folder / "classified"})
      .test(tiny_images().test)
      .run();
  compare::report_on({folder / "tested", folder / "untested"}, folder / "report.html");
  const std::string page = read_file(folder / "report.html");
  CHECK(page.find("</html>") != std::string::npos);
  CHECK(page.find("lr=0.002") != std::string::npos);
  CHECK(page.find("No complete run has a test accuracy") != std::string::npos);
  CHECK(page.find("nan") == std::string::npos);

  compare::report_on({folder / "tested", folder / "classified"}, folder / "both.html");
  CHECK(read_file(folder / "both.html").find("Test accuracy of") == std::string::npos);
  CHECK(fs::exists(folder / "both-files" / "test-accuracy.csv"));
}

}  // namespace lamina::tests
