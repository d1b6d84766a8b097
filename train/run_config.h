// What config.json says of a run that a program of one's own has put together.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "optim/presets.h"
#include "train/checkpoint.h"
#include "train/observer.h"
#include "train/run_directory.h"
#include "train/trainer.h"

namespace lamina::train {

// Either may be empty.
struct MeasuredOn {
  const data::Split &valid, &test;
};

// "options": what results depend on, under the names that a Recipe has for it, so that reports and
// resumptions can compare; "resolved": what follows from that, and what the images are. Reads every pixel of
// the loader's split and of those measured on.
nlohmann::json describe_run(const TrainingRun& run, const TrainerOptions& options,
                            const MeasuredOn& measured);

// Whose kernels compute on a device: instruction_set() of the CPU's, which round each in their own way, or
// the device.
std::string kernels_on(Device device);

// What the data of a run are, from its config.json; of a run of an earlier version, the little that it says
// of them. Throws Error naming `source` if that is damaged.
data::DataIdentity data_of_run(const nlohmann::json& config, const std::string& source);

// The optimizer's knobs as a run has settled them, of its config.json; none where that does not say.
KnobSettings knobs_of_run(const nlohmann::json& config);

// In words, "lr: 0.5 there, 1 here", the knobs that both have and that differ.
std::vector<std::string> knob_differences(const KnobSettings& there, const KnobSettings& here);

// Throws Error, listing the differences, if the directory's config.json is of other options than `config`, or
// of other data.
void check_same_recipe(const RunDirectory& directory, const nlohmann::json& config);
// The same for a checkpoint in it. Notes it if that was computed with other kernels.
void check_same_run(const Checkpoint& checkpoint, const nlohmann::json& config);

}  // namespace lamina::train
