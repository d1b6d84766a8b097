// A report's curves: one figure of gnuplot with a line for each contender.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/folder.h"
#include "compare/report/gnuplot.h"

namespace lamina::compare {

struct Point {
  double x = 0;
  Statistic y;  // over the runs
};

// What one run measured: x, by rising x, and the value; NaN where there is none.
using Series = std::vector<std::pair<double, double>>;

// There is a point where every run that was measured then or later was: of runs that were measured at other x
// the mean would jump from one to another.
std::vector<Point> mean_curve(const std::vector<Series>& runs);

struct CurveFigure {
  std::string name;     // of its files: NAME.csv, NAME.gp, NAME.svg
  std::string x_label;  // "epoch" or "step"; heads a column of the CSV too
  std::string y_label;
  std::string caption;                     // HTML
  std::vector<std::vector<Point>> curves;  // one for each group; may be empty
  // The y axis is logarithmic if the largest value is more than so many times the least, and all are positive
  // or least_drawn cuts the others off.
  double log_scale_beyond = std::numeric_limits<double>::infinity();
  std::optional<double> level = {};        // a dashed line at this y
  std::optional<double> least_drawn = {};  // the y axis begins here
  bool x_counts = true;                    // x is a whole number of things
};

// Accuracy and loss, of tests and in training, over the epochs, learning rate and, where a contender has one,
// φ over the steps. Those of which no run knows anything are left out.
std::vector<CurveFigure> curve_figures(const std::vector<Group>& groups);

// What a caption says of lines and bands; empty where there is nothing but single runs.
std::string band_caption(const std::vector<Group>& groups);

// NAME.csv and NAME.gp.
void write_curves(const CurveFigure& figure, const std::vector<Group>& groups, const ReportFolder& folder);

// The pictures that curve_figures_html() and the folder need of each.
std::vector<Drawing> drawings_of(const std::vector<CurveFigure>& figures);

// Once they are drawn: the contenders' colours, then the figures, without legends, in a grid.
std::string curve_figures_html(const std::vector<CurveFigure>& figures, const std::vector<Group>& groups,
                               const ReportFolder& folder);

}  // namespace lamina::compare
