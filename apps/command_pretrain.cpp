// `lamina pretrain`: self-supervised training, with the options and files of `lamina train`.
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/training_command.h"
#include "train/pretraining.h"

namespace lamina::app {
namespace {

// Each is an option of its own, by which results name it.
void take_official(TrainingCommand& command) {
  train::Recipe& recipe = command.recipe;
  recipe.official_gradient = recipe.official_last_batch = true;
  command.given.insert({"official_gradient", "official_last_batch"});
  if (!train::has_bias_rate(recipe)) return;
  recipe.official_bias_rate = true;
  command.given.insert("official_bias_rate");
}

}  // namespace

void add_pretrain_command(const Command& program) {
  const Command pretrain = program.add(
      "pretrain",
      "Train a backbone without labels, by Barlow Twins, SimCLR or VICReg; writes a run directory");
  auto command = std::make_shared<TrainingCommand>();
  command->recipe = train::pretraining_recipe();
  auto as_official = std::make_shared<bool>(false);
  add_options(pretrain, *command);
  pretrain.option("--as-official", *as_official,
                  "barlow-twins as the official TVLARS code trains it: --official-gradient, "
                  "--official-last-batch and, with lars or tvlars, --official-bias-rate");
  pretrain.runs([pretrain, command, as_official] {
    command->given = given_options(pretrain);
    if (*as_official) take_official(*command);
    return run_training(*command);
  });
}

}  // namespace lamina::app
