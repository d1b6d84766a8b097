// What a study file says of evaluations, and what its baselines are.
#include "catch.h"
#include "compare/comparison.h"
#include "compare/study_baseline.h"
#include "compare/study_plan.h"
#include "core/base/error.h"
#include "message_of.h"
#include "study_files.h"

namespace lamina::tests {

using namespace compare;
namespace {

Study study_of(const std::string& text) {
  const TemporaryFolder folder;
  return read_study(write_text(folder / "s.toml", text));
}

}  // namespace

TEST_CASE("a study file names what is measured of features, with its options") {
  const Study study = study_of(tiny_base +
                               "[evaluate]\nlinear_as_official = {one_shard = false}\nknn = {k = 20}\n"
                               "linear = true\nbaseline = true\n");
  CHECK(study.baseline);
  REQUIRE(study.evaluations.size() == 3);  // in the order of what they cost
  CHECK(study.evaluations[0].name == "knn");
  CHECK(train::settings_of(study.evaluations[0].options) == nlohmann::json{{"k", 20}, {"temperature", 0.1}});
  CHECK(train::settings_of(study.evaluations[1].options)["l2"].is_null());
  CHECK(train::settings_of(study.evaluations[2].options)["one_shard"] == false);
  CHECK(train::settings_of(study.evaluations[2].options)["training_mode"] == true);
  CHECK(study_of(tiny_base + "[evaluate]\nknn = false\n").evaluations.empty());
}

TEST_CASE("what is wrong under [evaluate] is refused, with the nearest name that there is") {
  const std::pair<const char*, std::initializer_list<const char*>> cases[] = {
      {"knnn = true", {"[evaluate] knnn: no such key; did you mean knn?"}},
      {"knn = 3", {"[evaluate] knn: 3; expected true, false or a table"}},
      {"knn = {kk = 3}", {"[evaluate] knn.kk: no such option of knn; did you mean k?"}},
      {"knn = {k = 0}", {"[evaluate] knn.k 0: expected a whole number of at least 1"}},
      {"knn = {k = 1.5}", {"[evaluate] knn.k 1.5: expected a whole number"}},
      {"knn = {k = \"all\"}", {"knn.k: \"all\"; expected a whole number"}},
      {"knn = {temperature = 0}", {"knn.temperature 0: expected"}},
      {"linear = {l2 = -1}", {"linear.l2 -1: expected"}},
      {"linear_as_official = {one_shard = 1}", {"linear_as_official.one_shard: 1; expected true or false"}},
      {"baseline = 1\nknn = true", {"[evaluate] baseline: 1; expected true or false"}},
      {"baseline = true", {"[evaluate] baseline: nothing is evaluated"}},
  };
  for (const auto& [text, parts] : cases) {
    INFO(text);
    CHECK(unexplained([&, &line = text] { study_of(tiny_base + "[evaluate]\n" + line + "\n"); }, parts) ==
          "nothing");
  }
  const std::string tuned =
      "tuned = \"lr\"\ntuned_by = \"linear_accuracy\"\n" + tiny_base + "[grid]\nlr = [0.1, 0.2]\n";
  CHECK(unexplained([&] { plan_cells(study_of(tuned + "[evaluate]\nknn = true\n")); },
                    {"accuracy of the linear probe", "does not measure", "[evaluate]"}) == "nothing");
  CHECK(plan_cells(study_of(tuned + "[evaluate]\nlinear = true\n")).size() == 2);
}

TEST_CASE("cells that start from the same weights on the same images have one baseline") {
  const Study study =
      study_of(tiny_base + "[grid]\nseed = [1, 2]\nmodel = [\"resnet8\", \"resnet14\"]\n" + tiny_contenders);
  const std::vector<Cell> cells = plan_cells(study);
  const std::vector<Baseline> baselines = plan_baselines(cells);
  REQUIRE(baselines.size() == 4);
  CHECK(baselines[0].name == "resnet8_seed=1");
  CHECK(baselines[0].label == "random weights, model resnet8");
  CHECK(baselines[3].name == "resnet14_seed=2");
  for (const Cell& cell : cells) {
    const Baseline& baseline = baseline_of(cell, baselines);
    CHECK(baseline.options["seed"] == cell.recipe.seed);
    CHECK(baseline.options["model"] == cell.recipe.model);
  }
  const std::vector<Baseline> by_init = plan_baselines(
      plan_cells(study_of(tiny_base + "[grid]\ninit = [\"xavier_normal\", \"kaiming_normal\"]\n")));
  REQUIRE(by_init.size() == 2);
  CHECK(by_init[0].name == "resnet8_init=xavier_normal_seed=1");
}

TEST_CASE("an evaluation that cannot be read is an error that names its file") {
  const TemporaryFolder folder;
  write_text(folder / "linear.json", "{\"top1\": \"high\"}");
  CHECK(unexplained([&] { read_evaluations_in(folder.path()); }, {"linear.json", "top1", "remove it"}) ==
        "nothing");
}

}  // namespace lamina::tests
