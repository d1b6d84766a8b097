// Options that say something which then does not count: surely a mistake where somebody has given them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "train/setup.h"

namespace lamina::train {

// Which of the options in `given`, by their names in config.json, do nothing beside the others, a line each;
// empty: none. What has its default value is not held against anybody.
std::string without_effect(const ResolvedRecipe& recipe, const std::set<std::string>& given);
// Throws UsageError with that text, if there is any.
void check_effects(const ResolvedRecipe& recipe, const std::set<std::string>& given);

// What is allowed, but may not be what was meant, and what to do then; one sentence each. Images too small or
// too large for the network's first layers, tests or checkpoints later than the last epoch, modes of a GPU on
// the CPU, statistics over `ranks` processes where there is one.
std::vector<std::string> notes_on(const Setup& setup, int ranks = 1);
std::string note_on_ranks(const Recipe& recipe, int ranks);  // that one alone; empty: there is none

}  // namespace lamina::train
