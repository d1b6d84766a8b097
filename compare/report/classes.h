// A report's part on classes: how many of each the final weights recognise, and what they take the others
// for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/folder.h"
#include "train/evaluation_file.h"

namespace lamina::compare {

// Of one contender: what evaluation.json of its first complete run that has one tells.
struct ClassFigure {
  std::optional<train::ClassResults> results;
  std::string problem;  // why there are none
  std::string name;     // of NAME.csv, NAME.gp, NAME.svg; empty: not drawn
};

// One for each group; writes NAME.csv and NAME.gp.
std::vector<ClassFigure> write_class_figures(const std::vector<Group>& groups, const ReportFolder& folder);

// When they are drawn; empty if no contender has any.
std::string classes_html(const std::vector<ClassFigure>& figures, const std::vector<Group>& groups,
                         const ReportFolder& folder);

}  // namespace lamina::compare
