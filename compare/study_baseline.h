// What a study's runs start from: backbones that were never trained.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "compare/study_plan.h"

namespace lamina::compare {

// One for all cells whose random weights and images are the same.
struct Baseline {
  std::string name;        // of its folder: "resnet8_seed=1"
  std::string label;       // "random weights"; those that differ in the seed alone have the same
  nlohmann::json options;  // all that it depends on, by name
  const Cell* cell;        // the first of its cells; it must outlive this
};
std::vector<Baseline> plan_baselines(const std::vector<Cell>& cells);

// Which of them is the cell's.
const Baseline& baseline_of(const Cell& cell, const std::vector<Baseline>& baselines);

// The options that untrained features depend on.
const std::vector<std::string>& baseline_options();

}  // namespace lamina::compare
