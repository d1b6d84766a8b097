// A report's curves: one figure of gnuplot with a line for each contender.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/folder.h"

namespace lamina::compare {

struct Point {
  double x = 0;
  Statistic y;  // over the runs
};

struct CurveFigure {
  std::string name;     // of its files: NAME.csv, NAME.gp, NAME.svg
  std::string x_label;  // "epoch" or "step"; heads a column of the CSV too
  std::string y_label;
  std::string caption;                     // HTML
  std::vector<std::vector<Point>> curves;  // one for each group; may be empty
};

// Accuracy and loss, of tests and in training, over the epochs, learning rate and, where a contender has one,
// φ over the steps. Those of which no run knows anything are left out.
std::vector<CurveFigure> curve_figures(const std::vector<Group>& groups);

// NAME.csv and NAME.gp.
void write_curves(const CurveFigure& figure, const std::vector<Group>& groups, const ReportFolder& folder);

}  // namespace lamina::compare
