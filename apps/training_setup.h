// All that a run trains with, made from its options.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/train_options.h"
#include "core/device.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "layers/resnet.h"
#include "layers/weights.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

namespace lamina {

struct TrainingSetup {
  Device device;
  data::Dataset data;
  data::Loader loader;
  ResNet net;
  std::unique_ptr<Optimizer> optimizer;  // follows `schedule`
  Schedule schedule;
  WeightInfo info;  // of the weight files
};

// Throws UsageError for names and knobs that do not exist (before the data are opened, as far as possible),
// Error for a device or data that are not there.
TrainingSetup make_training_setup(const TrainOptions& options);

// config.json: the options, the command that repeats the run, and what the defaults came to.
nlohmann::json make_config(const TrainOptions& options, const TrainingSetup& setup);

// The lines at the start of a run.
std::string describe(const TrainOptions& options, TrainingSetup& setup);

}  // namespace lamina
