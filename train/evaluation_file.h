// An evaluation as JSON: what `lamina eval --json` prints, and evaluation.json of a run directory.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "train/evaluation.h"

namespace lamina::train {

// {"images", "correct", "accuracy", "loss", "top5", "per_class": [{"class", "accuracy", "samples"}, …],
// "confusion": [[…], …]}; the latter are counts, [true][predicted]. The accuracy of a class without samples
// is null; a loss that is not finite as json_number() writes it. `classes`: their names; where there are not
// as many, "0", "1", …
nlohmann::json evaluation_json(const Evaluation& evaluation, const std::vector<std::string>& classes);

// The object with a member, and an element of a member, on each line.
std::string text_by_elements(const nlohmann::json& object);

// What reports make of evaluation.json.
struct ClassResults {
  std::vector<std::string> classes;
  ConfusionMatrix confusion;
};
ClassResults read_evaluation(const std::filesystem::path& path);  // throws Error if it cannot be read

}  // namespace lamina::train
