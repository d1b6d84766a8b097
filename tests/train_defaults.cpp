// What a recipe that names no more than its optimizer comes to, and keeps when it is resumed.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/recipe_run.h"

namespace lamina::tests {
namespace {

using train::Recipe;

Recipe recipe_with(const std::string& optimizer) {
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
  Recipe recipe = recipe_with("tvlars");
  CHECK(knob(recipe, "lr") == "0.03125");  // 0.5 * 16 / 256
  CHECK(knob(recipe, "trust_coefficient") == "0.01");
  CHECK(knob(recipe, "lambda") == "0.625");  // 5 / 8 steps
  CHECK(knob(recipe, "delay_epochs") == "1.6");
  recipe.set = {"trust_coefficient=0.02"};
  CHECK(knob(recipe, "trust_coefficient") == "0.02");
  CHECK(knob(recipe, "lr") == "0.03125");
  CHECK(knob(recipe_with("sgd"), "weight_decay") == "0.0005");
  recipe = recipe_with("sgd");
  recipe.weight_decay = 0.25;
  CHECK(knob(recipe, "weight_decay") == "0.25");
}

TEST_CASE("a preset or a learning rate that is named leaves all knobs to the preset") {
  for (const char* way : {"preset", "lr", "set"}) {
    INFO(way);
    Recipe recipe = recipe_with(way == std::string("preset") ? "lars:paper" : "lars");
    if (way == std::string("lr")) recipe.lr = 1;
    if (way == std::string("set")) recipe.set = {"lr=1"};
    CHECK(knob(recipe, "lr") == "1");
    CHECK(knob(recipe, "trust_coefficient") == "0.001");
  }
}

TEST_CASE("a run goes on with the defaults that it started with") {
  const Directory directory;
  const Recipe recipe = recipe_with("lars");
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

TEST_CASE("a run whose knobs depend on its length is not made longer, by default or as they were set") {
  const Directory directory;
  const auto train = [&](const char* name, Recipe recipe, std::int64_t epochs) {
    recipe.epochs = epochs;
    train::RunDirectory run = train::RunDirectory::open_or_create(directory.file(name));
    const train::ResolvedRecipe resolved = train::resolve(recipe, run);
    train::RecipeRun(train::make_setup(resolved), std::move(run), "").trainer().run();
  };
  const auto refused = [&](const char* name, const Recipe& recipe, std::initializer_list<const char*> what) {
    train(name, recipe, 2);
    const auto before = results_in(directory.file(name));
    const std::string differences = unexplained([&] { train(name, recipe, 4); }, what);
    CHECK(results_in(directory.file(name)) == before);
    return differences;
  };
  CHECK(refused("default", recipe_with("tvlars"),
                {"epochs 2, which cannot be trained for 4", "lambda: 1.25 there, 0.625 here",
                 "delay_epochs: 0.8 there, 1.6 here", "init_weights"}) == "nothing");
  Recipe set = recipe_with("tvlars");
  set.lr = 0.5;
  set.set = {"delay_epochs=0.5*E"};
  CHECK(refused("set", set, {"delay_epochs: 1 there, 2 here"}) == "nothing");

  Recipe fixed = recipe_with("tvlars");
  fixed.set = {"lambda=0.5", "delay_epochs=1"};
  fixed.group = {"fc.*:lr=0.5"};
  train("whole", fixed, 4);
  train("longer", fixed, 2);
  train("longer", fixed, 2);  // goes on, to its end, with its groups
  train("longer", fixed, 4);
  CHECK(differing(directory.file("whole"), directory.file("longer")).empty());
}

TEST_CASE("a run that was given a size for images that have their own goes on, as it began") {
  const Directory directory;
  Recipe recipe = recipe_with("sgd");
  train::RunDirectory run = train::RunDirectory::open_or_create(directory.file("run"));
  recipe.image_size = 16;
  CHECK(unexplained([&] { train::make_setup(train::resolve(recipe)); }, {"images have a fixed size"}) ==
        "nothing");
  CHECK(train::make_setup(train::resolve(recipe, run)).data.train.height() == 8);
}

TEST_CASE("a recipe takes what the loader and the decoder take, and no more") {
  Recipe recipe = recipe_with("sgd");
  recipe.workers = data::most_workers;
  recipe.image_size = data::most_image_size;
  CHECK_NOTHROW(train::check_recipe(recipe));
  recipe.workers = data::most_workers + 1;
  CHECK(unexplained([&] { train::check_recipe(recipe); }, {"workers 257", "at most 256"}) == "nothing");
  recipe.workers = 0;
  recipe.image_size = data::most_image_size + 1;
  CHECK(unexplained([&] { train::check_recipe(recipe); }, {"image_size 8193", "at most 8192"}) == "nothing");
}

}  // namespace
}  // namespace lamina::tests
