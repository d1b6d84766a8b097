// The options of runs that their results depend on, as config.json has them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lamina::compare {

// Of every kind of run; also what programs of one's own say: what they minimise, and whether they transform
// images.
const nlohmann::json& option_defaults();

// What a run of a version that did not have the option yet did: the default.
const nlohmann::json& option_or_default(const nlohmann::json& options, const std::string& name);

// The names of those that results depend on, but for the seed.
const std::vector<std::string>& compared_options();
// Those of them that a run of these options has: supervised ones or those of pretraining.
std::vector<std::string> compared_options_of(const nlohmann::json& options);

// "0.1", "12 18" for a list.
std::string option_text(const nlohmann::json& value);

}  // namespace lamina::compare
