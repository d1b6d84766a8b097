// Options that say something which then does not count: surely a mistake where somebody has given them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "train/setup.h"

namespace lamina::train {

// Throws UsageError listing those of the options in `given`, by their names in config.json, that do nothing
// beside the others. What has its default value is not held against anybody.
void check_effects(const ResolvedRecipe& recipe, const std::set<std::string>& given);

// What is allowed, but may not be what was meant, and what to do then; one sentence each. Images too small or
// too large for the network's first layers, tests or checkpoints later than the last epoch, modes of a GPU on
// the CPU.
std::vector<std::string> notes_on(const Setup& setup);

}  // namespace lamina::train
