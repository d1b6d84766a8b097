// A training run at one moment, as one safetensors file: the model's parameters and buffers under PyTorch's
// names and layouts, the optimizer's state as state.<slot>.<name>, and in the metadata the model's
// description (layers/weights.h), the position and the configuration. `lamina eval` and `lamina predict` read
// it like any weight file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/files/safetensors.h"
#include "layers/module.h"
#include "layers/weights.h"
#include "optim/optimizer.h"
#include "train/metrics.h"
#include "train/run_directory.h"
#include "train/weight_average.h"

namespace lamina::train {

struct Checkpoint {
  std::filesystem::path path;
  TensorFile file;
  TrainingPosition position;
  nlohmann::json config;  // config.json of its run
};

// Writes it durably. Throws Error if that fails; those already there are then untouched. With an `average`
// (null: none) of the weights the file has that, and the module's own weights with the optimizer's state.
void save_checkpoint(const RunDirectory& run, const Module& module, const WeightInfo& info,
                     const Optimizer& optimizer, const WeightAverage* average,
                     const TrainingPosition& position, const std::string& config);

// Throws Error if the file is damaged or is not a checkpoint of a training run.
Checkpoint read_checkpoint(const std::filesystem::path& path);
Checkpoint checkpoint_from(TensorFile file, const std::filesystem::path& path);  // read from there

// The newest that can be read; what is wrong with newer ones is said on standard error. Nothing if there are
// none; throws Error if there are some and none can be read.
std::optional<Checkpoint> read_newest_checkpoint(const RunDirectory& run);

// Sets the model, the optimizer and the average, if there is one, or throws Error (another model, another
// optimizer).
void restore(const Checkpoint& checkpoint, Module& module, Optimizer& optimizer, WeightAverage* average);

// The file without the optimizer's state: what load_weights() wants.
TensorFile weights_of(const TensorFile& file);

}  // namespace lamina::train
