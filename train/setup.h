// All that a run trains with. A recipe is resolved into values once, before any data are opened; the run is
// built from those values and the data.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/device.h"
#include "core/parallel/collective.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "layers/resnet.h"
#include "layers/weights.h"
#include "optim/presets.h"
#include "optim/schedule.h"
#include "train/device_options.h"
#include "train/initial_weights.h"
#include "train/objective.h"
#include "train/pretraining.h"
#include "train/recipe.h"
#include "train/run_directory.h"

namespace lamina::train {

// A recipe with every name looked up and every value checked. What only the data can tell is still missing:
// the model's classes and channels, and how many steps an epoch has.
struct ResolvedRecipe {
  Recipe recipe;
  DeviceOptions device;
  data::OpenOptions open;
  data::LoaderOptions loader;
  ResNetOptions net;
  KnobSettings knobs;  // what is set over the preset, or of a run that goes on, every knob
  OptimizerChoice optimizer;
  ScheduleOptions schedule;
  std::optional<Pretraining> pretraining = {};   // unset: supervised
  std::optional<std::string> init_weights = {};  // where the weights come from; unset: drawn, or a checkpoint
  nlohmann::json initial_weights = {};           // of a run that goes on: what was taken at its start
};

// Throws UsageError for options that make no sense: names and knobs that do not exist, values that contradict
// one another.
ResolvedRecipe resolve(const Recipe& recipe);
// Of the run that is there: with the knobs that it has settled, unless it is to have other epochs. Once it
// has a checkpoint, the file that it started from is not needed again.
ResolvedRecipe resolve(const Recipe& recipe, const RunDirectory& run);

// `recipe.optimizer` once the data have told how many steps an epoch has.
OptimizerChoice optimizer_of(const ResolvedRecipe& recipe, std::int64_t steps_per_epoch);

// `train` without the images that the recipe holds out, and those.
struct TrainingData {
  data::Dataset set;
  data::Split valid;  // empty if none are held out
};
// Throws Error for data that are not there; UsageError where fewer are there than are to be held out.
TrainingData open_data(const ResolvedRecipe& recipe);

struct Setup {
  ResolvedRecipe recipe;
  Device device;
  data::Dataset data;
  data::Split valid;
  data::Loader loader;
  std::unique_ptr<ResNet> net;
  std::unique_ptr<Objective> objective;
  std::unique_ptr<Optimizer> optimizer;  // follows `schedule`
  Schedule schedule;
  WeightInfo info;  // of the weight files
  std::optional<InitialWeights> initial_weights;
};

// Throws UsageError if the weights to start from do not fit at all, Error for a device or data that are not
// there. `ranks`: those that all call this for one run, of which each machine holds the data once
// (train/host_data.h). `data`: what open_data() gave for this recipe, or for one that differs in nothing that
// concerns the data.
Setup make_setup(const ResolvedRecipe& recipe, Collective* ranks = nullptr);
Setup make_setup(ResolvedRecipe recipe, TrainingData data);

// On the device, where batches are made of them, if as much of its memory is left for the training; else
// where they are.
Tensor place_images(const Tensor& images, Device device);

// Whether a run that is pretrained measures its features: if it is to, and has test images of several
// classes.
bool measures_features(const Setup& setup);

// config.json: the options, the command that repeats the run, and what the defaults came to.
nlohmann::json make_config(const Setup& setup, const std::string& command, int ranks = 1);

// The lines at the start of a run.
std::string describe(Setup& setup, int ranks = 1);

}  // namespace lamina::train
