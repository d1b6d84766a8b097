// What config.json says of a run that a program of one's own has put together.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "train/checkpoint.h"
#include "train/observer.h"
#include "train/run_directory.h"
#include "train/trainer.h"

namespace lamina::train {

// "options": what results depend on, under the names that a Recipe has for it, so that reports and
// resumptions can compare; "resolved": what follows from that, and what the images are. `valid_images`: of
// the validation split. Reads every pixel of the loader's split and of `test`, which may be empty.
nlohmann::json describe_run(const TrainingRun& run, const TrainerOptions& options, std::int64_t valid_images,
                            const data::Split& test);

// What the data of a run are, from its config.json; of a run of an earlier version, the little that it says
// of them. Throws Error naming `source` if that is damaged.
data::DataIdentity data_of_run(const nlohmann::json& config, const std::string& source);

// Throws Error, listing the differences, if the directory's config.json is of other options than `config`, or
// of other data.
void check_same_recipe(const RunDirectory& directory, const nlohmann::json& config);
// The same for a checkpoint in it.
void check_same_run(const Checkpoint& checkpoint, const nlohmann::json& config);

}  // namespace lamina::train
