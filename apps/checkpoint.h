// A training run at one moment, as one safetensors file: the model's parameters and buffers under PyTorch's
// names and layouts, the optimizer's state as state.<slot>.<name>, and in the metadata the model's
// description (layers/weights.h), the position and the configuration. `lamina eval` and `lamina predict` read
// it like any weight file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/run_directory.h"
#include "core/safetensors.h"
#include "layers/module.h"
#include "layers/weights.h"
#include "optim/optimizer.h"

namespace lamina {

// Sums over samples, so that parts of an epoch add up exactly however it was interrupted.
struct Metrics {
  double loss_sum = 0;
  std::int64_t correct = 0, samples = 0;

  double loss() const { return samples > 0 ? loss_sum / static_cast<double>(samples) : 0; }
  double accuracy() const {
    return samples > 0 ? static_cast<double>(correct) / static_cast<double>(samples) : 0;
  }
  void add(const Metrics& other);
};

struct EpochResult {
  std::int64_t epoch = 0;  // from 1; 0: none yet
  Metrics train, test;     // test without samples: not tested
  double seconds = 0;
};

struct Position {
  std::int64_t step = 0;                  // optimizer steps taken
  std::int64_t epoch = 0;                 // being trained, from 0
  std::int64_t batch = 0;                 // the next one of this epoch
  Metrics metrics;                        // of this epoch so far
  double epoch_seconds = 0, seconds = 0;  // spent training: in this epoch, in all
  EpochResult best, last;                 // of the tested epochs
};

struct Checkpoint {
  std::filesystem::path path;
  TensorFile file;
  Position position;
  nlohmann::json config;  // config.json of its run
};

// Writes it durably and removes all but the newest two. Throws Error if that fails; those already there are
// then untouched.
void save_checkpoint(const RunDirectory& run, const Module& net, const WeightInfo& info,
                     const Optimizer& optimizer, const Position& position, const nlohmann::json& config);

// Throws Error if the file is damaged or is not a checkpoint of a training run.
Checkpoint read_checkpoint(const std::filesystem::path& path);

// The newest that can be read; what is wrong with newer ones is said on standard error. Nothing if there are
// none; throws Error if there are some and none can be read.
std::optional<Checkpoint> read_newest_checkpoint(const RunDirectory& run);

// Sets the model and the optimizer, or throws Error (another model, another optimizer).
void restore(const Checkpoint& checkpoint, Module& net, Optimizer& optimizer);

// The file without the optimizer's state: what load_weights() wants.
TensorFile weights_of(const TensorFile& file);

}  // namespace lamina
