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

// Throws UsageError for options that make no sense: names and knobs that do not exist, values that contradict
// one another. Opens no data.
void check_setup(const TrainOptions& options);

data::Dataset open_data(const TrainOptions& options);
data::Loader make_loader(const TrainOptions& options, const data::Dataset& data);

// As check_setup(), and throws Error for a device or data that are not there. `data`: what open_data() gave
// for these options, or for ones that differ in nothing that concerns the data.
TrainingSetup make_training_setup(const TrainOptions& options);
TrainingSetup make_training_setup(const TrainOptions& options, data::Dataset data);

// On the device, where batches are made of them, if as much of its memory is left for the training; else
// where they are.
Tensor place_images(const Tensor& images, Device device);

// config.json: the options, the command that repeats the run, and what the defaults came to.
nlohmann::json make_config(const TrainOptions& options, const TrainingSetup& setup);

// The lines at the start of a run.
std::string describe(const TrainOptions& options, TrainingSetup& setup);

}  // namespace lamina
