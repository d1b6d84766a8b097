// Training that starts from the weights of another: what of them the model takes.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "layers/weights.h"

namespace lamina::train {

struct InitialWeights {
  std::filesystem::path file;
  MatchedWeights weights;
};

// From a weight file, a checkpoint or a run directory. Throws UsageError if nothing in it fits the module,
// Error if it cannot be read.
InitialWeights load_initial_weights(const std::filesystem::path& run_or_file, Module& module);

// Lines at the start of a run: what was taken, every tensor that was not, notes if the images of that
// training were normalised otherwise than these, with `mean` and `std`, and if the last layer is taken over
// and told other `classes` apart. Further lines start with `indent`.
std::string describe(const InitialWeights& initial, const WeightInfo& images, const std::string& indent);

// For config.json: the file, what it says it is, and what was taken or left.
nlohmann::json to_json(const InitialWeights& initial);

}  // namespace lamina::train
