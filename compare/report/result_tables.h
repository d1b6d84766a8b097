// A report's tables of contenders and of runs.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"

namespace lamina::compare {

// HTML. `baselines`: what was never trained, which has rows below the others.
std::string comparison_table(const std::vector<Group>& groups, const std::vector<Group>& baselines = {});
std::string run_table(const std::vector<Group>& groups);  // a row per run

// The comparison as CSV; accuracies in 0 … 1, seconds of training.
std::string comparison_csv(const std::vector<Group>& groups, const std::vector<Group>& baselines = {});

}  // namespace lamina::compare
