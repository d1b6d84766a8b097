// The runs of a study.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "compare/study.h"
#include "train/recipe.h"

namespace lamina::compare {

struct Cell {
  std::string name;       // of its run directory: "tvlars_lr=2_batch=512_seed=1"
  std::string contender;  // its label
  std::string label;      // "TVLARS, lr 2, batch 512": those that differ in the seed alone have the same
  std::vector<std::pair<std::string, std::string>> point;  // the options varied for it, as text; no seed
  train::Recipe recipe;
};

// In the order in which they run: every combination of [grid]; in each of them every contender; for each of
// those every combination of its own grid. `given`: the names of the options in `overrides` that hold for all
// runs and win. Throws UsageError naming the cell whose options make no sense or are another's too, so that
// nothing has been trained yet when it turns out.
std::vector<Cell> plan_cells(const Study& study, const train::Recipe& overrides = {},
                             const std::set<std::string>& given = {});

// What chooses among the values of Study::tuned. Throws UsageError naming a run that does not measure it.
Criterion criterion_of(const Study& study, const std::vector<Cell>& cells);
const char* describe(Criterion criterion);  // "last accuracy"

// For file names: "lars-warm-up" for "LARS + warm-up".
std::string file_name_part(const std::string& text);

// "lambda" for "set.lambda".
std::string short_name(const std::string& setting);

}  // namespace lamina::compare
