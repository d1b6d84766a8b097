// A run made from a recipe: what programs and studies train.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "train/noise_scale.h"
#include "train/online_knn.h"
#include "train/run_directory.h"
#include "train/setup.h"
#include "train/trace.h"
#include "train/trainer.h"

namespace lamina::train {

class RecipeRun {
 public:
  // `command`: what repeats the run, for config.json. The directory is open and locked; a run in it goes on.
  // None: on another rank than the first of those that train together.
  RecipeRun(Setup setup, std::optional<RunDirectory> directory, const std::string& command,
            Collective* ranks = nullptr);

  Trainer& trainer() { return *trainer_; }  // to add observers to, and to run
  Setup& setup() { return *setup_; }

 private:
  void observe_features(const Recipe& recipe);

  std::unique_ptr<Setup> setup_;  // stays in place when this is moved
  std::unique_ptr<Trace> trace_;
  std::unique_ptr<NoiseScale> noise_scale_;
  std::unique_ptr<OnlineKnn> knn_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace lamina::train
