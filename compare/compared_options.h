// The options of a run that its results depend on, but for the seed: what comparisons group and describe runs
// by.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "compare/comparison.h"

namespace lamina::compare {

// In a text option of a study: the seed of the run.
inline constexpr std::string_view seed_placeholder = "{seed}";

// Names, as in config.json, of every kind of run.
const std::vector<std::string>& compared_options();
// Those that a run of its kind has: supervised, or pretraining.
std::vector<std::string> compared_options_of(const RunResult& run);

// By name, of every kind of run. Runs of programs of one's own also say what they minimise and whether they
// transform images.
const nlohmann::json& option_defaults();

// What a run of a version that did not have the option yet did: the default.
const nlohmann::json& option_of(const RunResult& run, const std::string& name);

// Of the data, which may lie anywhere, what they are called among the runs compared; of initial weights the
// place without the run's own seed.
nlohmann::json comparable_value(const RunResult& run, const std::string& name, const std::string& data);

// An option's value for people: 0.5, resnet20, 1 2 3.
std::string as_text(const nlohmann::json& value);
// Of an object: "eps=1e-05 lambda=0.005".
std::string settings_text(const nlohmann::json& settings);

}  // namespace lamina::compare
