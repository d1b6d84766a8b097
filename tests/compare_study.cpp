// Studies: their files, the runs they plan, the tables they end in.
#include "catch.h"
#include "compare/compared_options.h"
#include "compare/study_plan.h"
#include "compare/study_table.h"
#include "core/base/error.h"
#include "message_of.h"
#include "study_files.h"

namespace lamina::tests {

using namespace compare;
namespace {

std::vector<Cell> planned(const std::string& text) {
  const TemporaryFolder folder;
  return plan_cells(read_study(write_text(folder / "s.toml", text)));
}

std::vector<std::string> names(const std::vector<Cell>& cells) {
  std::vector<std::string> all;
  all.reserve(cells.size());
  for (const Cell& cell : cells) all.push_back(cell.name);
  return all;
}

// A run of the cell that was tested after each epoch.
RunResult result_of(const Cell& cell, const std::vector<double>& accuracies) {
  RunResult run;
  run.label = cell.label;
  run.config["options"] = to_json(cell.recipe);
  for (const double accuracy : accuracies) {
    EpochRow row;
    row.epoch = static_cast<std::int64_t>(run.epochs.size()) + 1;
    row.test_accuracy = accuracy;
    run.epochs.push_back(row);
  }
  run.complete = !accuracies.empty();
  if (accuracies.empty()) run.failure = "training diverged";
  return run;
}

}  // namespace

TEST_CASE("a study's cells are every combination, under readable names") {
  const std::vector<Cell> cells = planned(tiny_study);
  CHECK(names(cells) == std::vector<std::string>{"tvlars_lr=0.5_seed=1", "tvlars_lr=1_seed=1",
                                                 "sgd-warm-up_seed=1", "tvlars_lr=0.5_seed=2",
                                                 "tvlars_lr=1_seed=2", "sgd-warm-up_seed=2"});
  CHECK(cells[1].label == "TVLARS, lr 1");
  CHECK(cells[1].recipe.lr == 1.0);
  CHECK(cells[1].recipe.batch == 32);
  CHECK(cells[2].recipe.lr == std::nullopt);
  CHECK(cells[2].recipe.warmup_epochs == 1);
  CHECK(cells[5].recipe.seed == 2);
}

TEST_CASE("the weights that a study's runs start from have a whole path") {
  const std::vector<Cell> cells = planned(tiny_base + "init_weights = \"w.safetensors\"\n" + tiny_contenders);
  REQUIRE(!cells.empty());
  CHECK(cells[0].recipe.init_weights == fs::absolute("w.safetensors").string());
}

TEST_CASE("runs go on from another study's runs of their seeds, and belong together") {
  const std::vector<Cell> cells = planned(tiny_base + "init_weights = \"o/runs/{seed}/lars_seed={seed}\"\n" +
                                          "[grid]\nseed = [1, 12]\n" + tiny_contenders);
  REQUIRE(cells.size() == 6);
  CHECK(cells[0].recipe.init_weights == fs::absolute("o/runs/1/lars_seed=1").string());
  CHECK(cells[3].recipe.init_weights == fs::absolute("o/runs/12/lars_seed=12").string());
  CHECK(group_runs({result_of(cells[2], {0.5}), result_of(cells[5], {0.6})}).size() == 2);

  const std::vector<Cell> named = planned(tiny_base + "init_weights = \"o/runs/lars_seed={seed}\"\n" +
                                          "[grid]\nseed = [1, 12]\n" + tiny_contenders);
  REQUIRE(named.size() == 6);
  CHECK(group_runs({result_of(named[2], {0.5}), result_of(named[5], {0.6})}).size() == 1);

  // Both from one seed's weights, and one from another's: not as `named` goes on.
  std::vector<Cell> crossed = named;
  crossed[5].recipe.init_weights = named[2].recipe.init_weights;
  CHECK(group_runs({result_of(crossed[2], {0.5}), result_of(crossed[5], {0.6})}).size() == 2);

  // Seed 1 is not in seed 12.
  crossed[2].recipe.init_weights = named[5].recipe.init_weights;
  CHECK(comparable_value(result_of(crossed[2], {0.5}), "init_weights", "") == *named[5].recipe.init_weights);
}

TEST_CASE("a contender's settings win over the base's, and the grid's over both") {
  const std::vector<Cell> cells = planned(
      tiny_base +
      "optimizer = \"lars\"\nset.momentum = 0.5\nset.trust_coefficient = 0.01\n"
      "[[grid]]\nbatch = 16\nlr = [1, 2]\n[[grid]]\nbatch = 32\nlr = 3\n"
      "[[contender]]\nlabel = \"A\"\nset.momentum = 0.8\n[contender.grid]\nset.trust_coefficient = [1e-3, "
      "0.02]\n");
  CHECK(names(cells) ==
        std::vector<std::string>{
            "a_trust_coefficient=0.001_batch=16_lr=1", "a_trust_coefficient=0.02_batch=16_lr=1",
            "a_trust_coefficient=0.001_batch=16_lr=2", "a_trust_coefficient=0.02_batch=16_lr=2",
            "a_trust_coefficient=0.001_batch=32_lr=3", "a_trust_coefficient=0.02_batch=32_lr=3"});
  CHECK(cells[1].recipe.set == std::vector<std::string>{"momentum=0.8", "trust_coefficient=0.02"});
}

TEST_CASE("a later level replaces an option and the knob of its name alike") {
  const auto settings = [](const std::string& base, const std::string& contender,
                           const train::Recipe& overrides = {}, const std::set<std::string>& given = {}) {
    const TemporaryFolder folder;
    const std::string text = tiny_base + "optimizer = \"lars\"\n" + base + "\n[[contender]]\nlabel = \"A\"\n";
    const train::Recipe recipe =
        plan_cells(read_study(write_text(folder / "s.toml", text + contender + "\n")), overrides, given)
            .front()
            .recipe;
    return std::pair(recipe.lr, recipe.set);
  };
  using Set = std::vector<std::string>;
  CHECK(settings("set.lr = 1", "lr = 2") == std::pair(std::optional(2.0), Set{}));
  CHECK(settings("lr = 1", "set.lr = 2") == std::pair(std::optional<double>(), Set{"lr=2"}));
  train::Recipe option, knob;
  option.lr = 3;
  knob.set = {"lr=3"};
  CHECK(settings("set.lr = 1", "", option, {"lr"}) == std::pair(std::optional(3.0), Set{}));
  CHECK(settings("", "lr = 2", knob, {"set"}) == std::pair(std::optional<double>(), Set{"lr=3"}));
  const char* grid = "[contender.grid]\nset.lr = [1, 2]";
  CHECK(unexplained([&] { settings("", grid, option, {"lr"}); }, {"set.lr is in a grid"}) == "nothing");
  CHECK(unexplained([&] { settings("[grid]\nlr = [1, 2]", "set.lr = 1"); },
                    {"set.lr is in [grid], and the contender \"A\" gives it too"}) == "nothing");
  CHECK(unexplained([&] { settings("[grid]\nlr = [1, 2]\nset.lr = [3]", ""); },
                    {"[grid] set.lr", "another name"}) == "nothing");
}

TEST_CASE("a study without contenders is its base and grid") {
  CHECK(names(planned("title = \"Only LARS\"\n" + tiny_base +
                      "[grid]\noptimizer = [\"lars\", \"lars:timm\"]\n")) ==
        std::vector<std::string>{"only-lars_optimizer=lars", "only-lars_optimizer=lars-timm"});
}

TEST_CASE("what is wrong in a study is found before anything runs") {
  struct Case {
    std::string text;
    std::initializer_list<const char*> message;
  };
  const std::vector<Case> cases{
      {"[base]\nbacth = 3\n", {"s.toml: [base] bacth: no such option; did you mean batch?"}},
      {"[bas]\n", {"bas: no such key; did you mean base?"}},
      {"[base]\nepochs = \"many\"\n", {"[base] epochs: \"many\"; expected a whole number"}},
      {"[base]\nepochs = 1.5\n", {"[base] epochs: 1.5; expected a whole number"}},
      {"[base]\ntrace = 1\n", {"[base] trace: 1; expected true or false"}},
      {"[base]\nlr = true\n", {"[base] lr: true; expected a finite number"}},
      {"[base]\nmodel = [\"resnet8\"]\n", {"[base] model: [\"resnet8\"]; expected text"}},
      {"title = 3\n", {"title: 3; expected text"}},
      {"base = 3\n", {"base: expected a table"}},
      {"[grid]\nseed = []\n", {"[grid] seed: an empty list"}},
      {"[grid]\nseeds = [1]\n", {"[grid] seeds: no such option; did you mean seed?"}},
      {"[grid]\nlr = [1, \"two\"]\n", {"[grid] lr: \"two\"; expected a finite number"}},
      {"[[contender]]\noptimizer = \"sgd\"\n", {"[[contender]] label: missing"}},
      {"[[contender]]\nlabel = \"A\"\noptimiser = \"sgd\"\n",
       {"[[contender]] \"A\" optimiser", "did you mean optimizer?"}},
      {"[[contender]]\nlabel = \"A\"\n[contender.grid]\nlrs = 1\n",
       {"[contender.grid] of \"A\" lrs: no such option; did you mean lr?"}},
      {"a = 1\nb = \n", {"s.toml:2: "}},
      {"[base]\nlr = 1979-05-27\n", {"s.toml:2: a date"}},
      {tiny_base + "set.lambda = 1\n[[contender]]\nlabel = \"A\"\noptimizer = \"lars\"\n",
       {"run a: lars has no knob 'lambda'"}},
      {tiny_base + "optimizer = \"larss\"\n", {"optimizer 'larss' does not exist"}},
      {tiny_base + "optimizer = \"lars:pape\"\n", {"lars has no preset 'pape'"}},
      {tiny_base + "model = \"resnet9\"\n", {"s.toml:11: "}},  // given twice
      {tiny_base + "micro_batch = 64\n", {"micro_batch 64 is larger than batch 32"}},
      {tiny_base + "schedule = \"cosin\"\n", {"cosin"}},
      {tiny_base + "[[contender]]\nlabel = \"A\"\n[[contender]]\nlabel = \"B\"\n",
       {"runs a and b have the same options"}},
      {tiny_base + "[[contender]]\nlabel = \"A\"\n[[contender]]\nlabel = \"a\"\nlr = 3\n",
       {"two runs would be called a"}},
      {tiny_base + "[grid]\nseed = [1, 1]\n", {"have the same options"}},
      {tiny_base + "[grid]\nbatch = [32, 64]\n[[contender]]\nlabel = \"A\"\nbatch = 16\n",
       {"batch is in [grid], and the contender \"A\" gives it too"}},
      {tiny_base + "lr = 0.1\nset.lr = 0.2\n", {"set.lr: the same option is given by another name already"}},
      {"tuned = \"lr\"\n" + tiny_base, {"tuned: lr, but there is no grid"}},
      {"tuned = \"r\"\n" + tiny_base + "[grid]\nlr = [1, 2]\n", {"tuned: r is in no grid; did you mean lr?"}},
      {"tuned = \"lr\"\ntuned_by = \"loss\"\n" + tiny_base + "[grid]\nlr = [1, 2]\n",
       {"tuned_by: \"loss\"", "last_accuracy"}},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK(unexplained([&] { planned(c.text); }, c.message) == "nothing");
    CHECK_THROWS_AS(planned(c.text), UsageError);
  }
}

TEST_CASE("the table has means, deviations and the tuned option's best value") {
  const TemporaryFolder folder;
  const std::string text = tiny_base + "[grid]\nseed = [1, 2]\n[[contender]]\nlabel = \"A|B_1\"\n" +
                           "[contender.grid]\nlr = [1, 2, 3]\n[[contender]]\nlabel = \"C\"\nlr = 4\n";
  const Study plain = read_study(write_text(folder / "plain.toml", text));
  const std::vector<Cell> cells = plan_cells(plain);
  const std::vector<RunResult> results{
      result_of(cells[0], {0.5, 0.3}), result_of(cells[1], {0.2, 0.4}), result_of(cells[2], {0.9, 0.9}),
      result_of(cells[3], {0.1}),      result_of(cells[4], {0.6, 0.4}), result_of(cells[5], {0.2, 0.5}),
      result_of(cells[6], {}),         result_of(cells[7], {0.2}),
  };
  const StudyTable all = make_study_table(plain, cells, results);
  // lr 1: best 0.5 and 0.6, last 0.3 and 0.4; of two values, the deviation is half their distance times √2.
  CHECK(as_markdown(all) ==
        "| contender | lr | best % | last % | runs |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| A\\|B_1 | 1 | 55.00 ± 7.07 | 35.00 ± 7.07 | 2 |\n"
        "| A\\|B_1 | 2 | 45.00 ± 7.07 | 45.00 ± 7.07 | 2 |\n"
        "| A\\|B_1 | 3 | 90.00 | 90.00 | 1, 1 failed |\n"
        "| C | 4 | 15.00 ± 7.07 | 15.00 ± 7.07 | 2 |\n");
  CHECK(as_latex(all).find("  A|B\\_1 & 1 & 55.00 $\\pm$ 7.07 & 35.00 $\\pm$ 7.07 & 2 \\\\\n") !=
        std::string::npos);
  CHECK(runs_as_csv(cells, results).find("\na-b_1_lr=3_seed=2,A|B_1,3,2,failed,,,,,,0.0\n") !=
        std::string::npos);

  const auto chosen = [&](const std::string& by) {
    const Study study = read_study(write_text(folder / "tuned.toml", "tuned = \"lr\"\n" + by + text));
    const StudyTable table = make_study_table(study, cells, results);
    REQUIRE(table.rows.size() == 2);
    CHECK(table.note.find("on the test images") != std::string::npos);
    return table.rows[0].values[0];
  };
  CHECK(chosen("") == "2");  // 3 is better in the one seed that it got through
  CHECK(chosen("tuned_by = \"best_accuracy\"\n") == "1");
}

}  // namespace lamina::tests
