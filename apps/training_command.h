// What `lamina train` and `lamina pretrain` share: their options beside a recipe's, and a run from its start,
// or from where it was stopped, to its end.
#pragma once

#include <set>
#include <string>

#include "apps/command.h"
#include "train/recipe.h"

namespace lamina::app {

struct TrainingCommand {
  train::Recipe recipe;
  std::set<std::string> given;  // options of the recipe, by their names in config.json
  std::string out, config;      // config: already read, see config_file.h
  bool resume = false, watch = false, verbose = false;
  std::string progress = "auto";
};

void add_options(const Command& parser, TrainingCommand& command);
int run_training(TrainingCommand command);  // returns the exit status

}  // namespace lamina::app
