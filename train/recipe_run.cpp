#include "train/recipe_run.h"

#include <utility>

namespace lamina::train {
namespace {

TrainerOptions trainer_options(const Setup& setup, const std::string& command, Collective* ranks) {
  const Recipe& recipe = setup.recipe.recipe;
  return {.epochs = recipe.epochs,
          .keep = recipe.keep == "best" ? Keep::best : Keep::last,
          .patience = recipe.patience,
          .test_every = recipe.eval_every,
          .checkpoint_every = recipe.checkpoint_every,
          .checkpoint_steps = recipe.checkpoint_steps,
          .keep_checkpoints = recipe.keep_checkpoints,
          .ema = recipe.ema,
          .sharpness_aware = sam_options(recipe),
          .test_workers = recipe.workers,
          .capture = !recipe.eager,
          .ranks = ranks,
          .sync_batch_norm = recipe.sync_batch_norm,
          .weights = setup.info,
          .config = make_config(setup, command, ranks != nullptr ? ranks->size() : 1).dump()};
}

}  // namespace

RecipeRun::RecipeRun(Setup setup, std::optional<RunDirectory> directory, const std::string& command,
                     Collective* ranks)
    : setup_(std::make_unique<Setup>(std::move(setup))) {
  const Recipe& recipe = setup_->recipe.recipe;
  check_parts(recipe, RunRanks(ranks).share_of(setup_->loader).options());
  trainer_ = std::make_unique<Trainer>(*setup_->objective, *setup_->optimizer, setup_->loader,
                                       trainer_options(*setup_, command, ranks));
  if (directory) trainer_->in(std::move(*directory));
  if (recipe.method) {
    observe_features(recipe);
  } else {
    trainer_->validate(setup_->valid).test(setup_->data.test);
  }
  if (recipe.trace) trainer_->observe(*(trace_ = std::make_unique<Trace>()));
  if (recipe.noise_scale) trainer_->observe(*(noise_scale_ = std::make_unique<NoiseScale>()));
}

// There is no loss of test images; what they tell of the features takes its place.
void RecipeRun::observe_features(const Recipe& recipe) {
  const data::Dataset& data = setup_->data;
  if (!measures_features(*setup_)) return;
  knn_ = std::make_unique<OnlineKnn>(
      *setup_->net, data.train, data.test,
      OnlineKnnOptions{.every = recipe.knn_every, .features = {.workers = recipe.workers}});
  trainer_->observe(*knn_);
}

}  // namespace lamina::train
