// A report's figures: written to its folder, drawn, and set into the page.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/folder.h"

namespace lamina::compare {

struct FiguresHtml {
  std::string symbols;                           // once on the page, before any figure; may be empty
  std::string curves, classes, curvature, maps;  // classes, curvature: empty where no run tells
};

// Throws Error if gnuplot is missing or fails.
FiguresHtml make_figures(const std::vector<Group>& groups, const ReportFolder& folder, bool all_layers);

}  // namespace lamina::compare
