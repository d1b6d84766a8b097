// What `lamina features`, `knn` and `linear` share: a frozen backbone, data, and its features of them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "apps/command.h"
#include "train/frozen_evaluation.h"
#include "train/load_model.h"

namespace lamina::app {

struct FeatureCommand {
  std::string name;  // of the command, for messages
  std::string file, data;
  train::ModelOptions model;
  std::int64_t batch = 256, limit_train = 0, limit_test = 0;
  int workers = 2;
  std::optional<int> image_size;
  bool skip_damaged = false, json = false;
  std::optional<std::int64_t> max_pixels;
  std::uint64_t seed = 1;
  bool guesses_statistics = true;  // ImageNet's mean and deviation for a file that names none, and a note
};

// `seed_help`: what the seed is for beside a random backbone.
void add_options(const Command& parser, FeatureCommand& command, const std::string& seed_help = "");

// Throws UsageError for a seed that nothing is drawn from: where it is of random weights alone.
void check_seed(const Command& parser, const FeatureCommand& command);

// Throws UsageError if there are no data to take, Error for a file without a backbone and data that do not
// fit.
train::FeatureSource open_source(const FeatureCommand& command);

train::SplitFeatures features_of(const FeatureCommand& command, train::FeatureSource& source);

// What stands beside every number, and of random weights their seed.
nlohmann::json describe(const FeatureCommand& command, const train::FeatureSource& source);
// "runs/a/weights.safetensors (resnet8, epoch 10) on cifar10"
std::string title(const FeatureCommand& command, const train::FeatureSource& source);

}  // namespace lamina::app
