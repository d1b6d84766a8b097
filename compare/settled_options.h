// What the options of runs came to, so that a default is the same whether it was given or not.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lamina::compare {

// `options` of a config.json with what its "resolved" knows of them in their place; "set" becomes all of the
// optimizer's knobs.
nlohmann::json settled_options(const nlohmann::json& config, nlohmann::json options);

// What tells a path from the others: of runs/a/weights.safetensors beside runs/b/weights.safetensors "a". Of
// one alone, its last part.
std::string distinct_part(const std::string& path, const std::vector<std::string>& others);

}  // namespace lamina::compare
