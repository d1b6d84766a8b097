// Recipes of self-supervised training: what their methods come to, and what is refused.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/base/error.h"
#include "message_of.h"
#include "train/pretraining.h"
#include "train/setup.h"

namespace lamina::tests {

using namespace train;
namespace {

Recipe recipe_of(const std::string& method) {
  Recipe recipe;
  recipe.data = "synthetic:8x8x3x4";
  recipe.model = "resnet8";
  recipe.optimizer = "lars";
  recipe.batch = 32;
  recipe.limit_train = 96;
  recipe.limit_test = 32;
  recipe.method = method;
  return recipe;
}

std::string excluded_scale(const ResolvedRecipe& recipe) {
  for (const auto& [knob, value] : recipe.optimizer.knobs())
    if (knob == "excluded_lr_scale") return value;
  return "";
}

}  // namespace

TEST_CASE("a method has its views, projector and loss unless others are given") {
  const struct {
    const char *method, *views;
    std::vector<int> widths;
    bool hidden_bias, last_bias, hidden_batch_norm;
  } rows[] = {{"barlow-twins", "solo-learn-barlow", {2048, 2048, 2048}, false, false, true},
              {"simclr", "solo-learn-simclr", {2048, 256}, true, true, false},
              {"vicreg", "solo-learn-vicreg", {2048, 2048, 2048}, true, false, true}};
  for (const auto& row : rows) {
    const Setup setup = make_setup(resolve(recipe_of(row.method)));
    const ProjectorOptions& projector = *setup.net->options().projector;
    CHECK(setup.objective->name() == row.method);
    CHECK(setup.loader.options().recipe->name == row.views);
    CHECK(setup.loader.options().views == 2);
    CHECK(setup.loader.options().drop_last);
    CHECK(projector.widths == row.widths);
    CHECK(projector.hidden_bias == row.hidden_bias);
    CHECK(projector.last_bias == row.last_bias);
    CHECK(projector.hidden_batch_norm == row.hidden_batch_norm);
    CHECK(setup.info.classes.empty());
  }
  Recipe given = recipe_of("barlow-twins");
  given.views = "tvlars";
  given.projector = {8, 4};
  given.set_loss = {"lambda=0.5", "scale=2 lambda=0.25"};
  const Pretraining pretraining = resolve_pretraining(given);
  CHECK(pretraining.views->name == "tvlars");
  CHECK(pretraining.projector.widths == std::vector<int>{8, 4});
  CHECK(std::get<BarlowTwinsOptions>(pretraining.loss).lambda == 0.25);
  CHECK(std::get<BarlowTwinsOptions>(pretraining.loss).scale == 2);
}

TEST_CASE("a pretraining goes on with the views, projector and loss that it started with") {
  const Recipe recipe = recipe_of("vicreg");
  const nlohmann::json saved{{"views", "lightly-simclr"},
                             {"projector", {4, 3}},
                             {"loss", {{"gamma", 0.5}, {"sum_variances", true}}}};
  const Pretraining pretraining = resolve_pretraining(with_resolved(recipe, saved));
  CHECK(pretraining.views->name == "lightly-simclr");
  CHECK(pretraining.projector.widths == std::vector<int>{4, 3});
  CHECK(std::get<VicRegOptions>(pretraining.loss).gamma == 0.5);
  CHECK(std::get<VicRegOptions>(pretraining.loss).sum_variances);
  const Pretraining again = resolve_pretraining(with_resolved(recipe, to_json(pretraining)));
  CHECK(to_json(again) == to_json(pretraining));
  const Pretraining unknown = resolve_pretraining(with_resolved(recipe, nlohmann::json::object()));
  CHECK(to_json(unknown) == to_json(resolve_pretraining(recipe)));
  const nlohmann::json damaged{{"projector", nlohmann::json::array({std::int64_t{1} << 40})}};
  CHECK(message_of([&] { with_resolved(recipe, damaged); }).find("expected a whole number") !=
        std::string::npos);
}

TEST_CASE(
    "Barlow Twins' biases have a rate of their own under lars and tvlars, unless it is official or set") {
  Recipe recipe = recipe_of("barlow-twins");
  CHECK(excluded_scale(resolve(recipe)) == "0.024");
  recipe.optimizer = "tvlars:official";
  CHECK(excluded_scale(resolve(recipe)) == "0.024");
  recipe.official_bias_rate = true;
  CHECK(excluded_scale(resolve(recipe)) == "1");
  recipe.official_bias_rate = false;
  recipe.set = {"excluded_lr_scale=0.5"};
  CHECK(excluded_scale(resolve(recipe)) == "0.5");
  recipe.set.clear();
  recipe.optimizer = "lamb";
  CHECK(excluded_scale(resolve(recipe)) == "1");
  CHECK(excluded_scale(resolve(recipe_of("simclr"))) == "1");
  recipe = recipe_of("simclr");
  recipe.method.reset();
  CHECK(excluded_scale(resolve(recipe)) == "1");
}

TEST_CASE("what the official code does is a loss of its own, and is named") {
  Recipe recipe = recipe_of("barlow-twins");
  recipe.batch = 40;
  CHECK(make_setup(resolve(recipe)).loader.batches() == 2);
  recipe.official_last_batch = recipe.official_gradient = true;
  const Setup setup = make_setup(resolve(recipe));
  CHECK(setup.loader.batches() == 3);
  const auto options = setup.objective->options();
  const auto has = [&](const char* name, const char* value) {
    return std::find(options.begin(), options.end(), std::pair<std::string, std::string>(name, value)) !=
           options.end();
  };
  CHECK(has("nominal_batch", "40"));
  CHECK(has("gradient_scale", "0.25"));
}

TEST_CASE("a recipe has the options of its kind, and refuses the other's") {
  const nlohmann::json pretrained = to_json(recipe_of("simclr")), supervised = to_json(Recipe());
  for (const char* name : {"views", "projector", "bn_batch", "knn_every"}) {
    CHECK(pretrained.contains(name));
    CHECK(!supervised.contains(name));
  }
  for (const char* name : {"augment", "label_smoothing", "mixup", "valid", "eval_every", "noise_scale"}) {
    CHECK(!pretrained.contains(name));
    CHECK(supervised.contains(name));
  }
  CHECK(to_json(recipe_from_json(pretrained, "test")) == pretrained);
  CHECK(!recipe_from_json({{"data", "cifar10"}}, "an older run").method);
  CHECK(!recipe_from_json({{"data", "cifar10"}, {"method", nullptr}}, "test").method);

  Recipe recipe;
  CHECK(message_of([&] { set_option(recipe, "views", "tvlars"); }) ==
        "views: an option of pretraining; give its method first");
  set_option(recipe, "method", "simclr");
  set_option(recipe, "views", "tvlars");
  CHECK(recipe.views == "tvlars");
  CHECK(message_of([&] { set_option(recipe, "mixup", 0.2); }) ==
        "mixup: an option of supervised training, not of pretraining");
  CHECK(list_differences(pretrained, supervised).find("method: \"simclr\" here, unset there") !=
        std::string::npos);
}

}  // namespace lamina::tests
