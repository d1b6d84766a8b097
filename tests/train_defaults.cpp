// What a recipe that names no more than its optimizer comes to, and keeps when it is resumed.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "tiny_training.h"
#include "train/recipe_run.h"

namespace lamina::tests {
namespace {

using train::Recipe;

Recipe recipe_of(const std::string& optimizer) {
  Recipe recipe;
  recipe.data = "synthetic:8x8x3x4";
  recipe.model = "resnet8";
  recipe.optimizer = optimizer;
  recipe.epochs = 4;
  recipe.batch = 16;
  recipe.limit_train = 32;
  recipe.limit_test = 16;
  recipe.threads = 1;
  recipe.workers = 0;
  return recipe;
}

std::string knob(const train::ResolvedRecipe& resolved, const std::string& wanted) {
  for (const auto& [name, value] : train::make_setup(resolved).optimizer->knobs())
    if (name == wanted) return value;
  return "";
}

std::string knob(const Recipe& recipe, const std::string& wanted) {
  return knob(train::resolve(recipe), wanted);
}

TEST_CASE("who names neither a preset nor a learning rate gets defaults for the run") {
  Recipe recipe = recipe_of("tvlars");
  CHECK(knob(recipe, "lr") == "0.03125");  // 0.5 * 16 / 256
  CHECK(knob(recipe, "trust_coefficient") == "0.01");
  CHECK(knob(recipe, "lambda") == "0.625");  // 5 / 8 steps
  CHECK(knob(recipe, "delay_epochs") == "1.6");
  recipe.set = {"trust_coefficient=0.02"};
  CHECK(knob(recipe, "trust_coefficient") == "0.02");
  CHECK(knob(recipe, "lr") == "0.03125");
  CHECK(knob(recipe_of("sgd"), "weight_decay") == "0.0005");
  recipe = recipe_of("sgd");
  recipe.weight_decay = 0.25;
  CHECK(knob(recipe, "weight_decay") == "0.25");
}

TEST_CASE("a preset or a learning rate that is named leaves all knobs to the preset") {
  for (const char* way : {"preset", "lr", "set"}) {
    INFO(way);
    Recipe recipe = recipe_of(way == std::string("preset") ? "lars:paper" : "lars");
    if (way == std::string("lr")) recipe.lr = 1;
    if (way == std::string("set")) recipe.set = {"lr=1"};
    CHECK(knob(recipe, "lr") == "1");
    CHECK(knob(recipe, "trust_coefficient") == "0.001");
  }
}

TEST_CASE("a run goes on with the defaults that it started with") {
  const Directory directory;
  const Recipe recipe = recipe_of("lars");
  {
    train::RecipeRun run(train::make_setup(train::resolve(recipe)),
                         train::RunDirectory::open_or_create(directory.file("run")), "");
    run.trainer().run();
  }
  train::RunDirectory run = train::RunDirectory::open(directory.file("run"));
  CHECK(knob(train::resolve(recipe, run), "trust_coefficient") == "0.01");
  nlohmann::json config = run.read_config();
  config["resolved"]["knobs"]["trust_coefficient"] = "0.001";  // an older version's
  config["resolved"]["knobs"]["lr"] = "1";
  run.write_config(config);
  CHECK(knob(train::resolve(recipe, run), "trust_coefficient") == "0.001");
  CHECK(train::resolve(recipe, run).schedule.lr == 1);
}

}  // namespace
}  // namespace lamina::tests
