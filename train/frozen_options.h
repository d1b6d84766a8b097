// How a frozen backbone is measured, by names and values: what studies say and keep of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "train/knn.h"
#include "train/linear_probe.h"
#include "train/official_probe.h"

namespace lamina::train {

using FrozenOptions = std::variant<KnnOptions, LinearProbeOptions, OfficialProbeOptions>;

struct FrozenEvaluation {
  std::string name;      // "knn", "linear", "linear_as_official"
  std::string title;     // in tables: "kNN", "linear", "linear as official"
  std::string accuracy;  // which member of its result that is: "accuracy", "top1"
  std::string file;      // of a run directory that keeps the result
  FrozenOptions options = {};
};

// Each once, with its defaults; those that cost least come first.
const std::vector<FrozenEvaluation>& frozen_evaluations();

// Sets the option `name`. Throws UsageError, which begins with the name, if there is none (with the nearest
// that is there), for a value of the wrong type and a number out of range.
void set_option(FrozenEvaluation& evaluation, const std::string& name, const nlohmann::json& value);

// All that the options say of the result.
nlohmann::json settings_of(const FrozenOptions& options);

}  // namespace lamina::train
