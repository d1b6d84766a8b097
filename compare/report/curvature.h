// A report's part on the curvature of the training loss: over the epochs of runs that measured it
// (curvature.csv, curvature.safetensors), and where `lamina sharpness` left a run's sharpness.json.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/curves.h"
#include "compare/report/folder.h"
#include "compare/report/gnuplot.h"
#include "compare/report/map_figures.h"
#include "compare/report/spectra.h"

namespace lamina::compare {

struct CurvatureFigures {
  std::vector<CurveFigure> curves;
  std::vector<std::string> problems;  // HTML: what could not be drawn, and why
  MapFigures maps;                    // layer × epoch
  Spectra spectra;
};

// Writes what is drawn.
CurvatureFigures write_curvature_figures(const std::vector<Group>& groups, const ReportFolder& folder,
                                         bool all_layers);
std::vector<Drawing> drawings_of(const CurvatureFigures& figures);
// When they are drawn; empty if no run tells of its curvature.
std::string curvature_html(const CurvatureFigures& figures, const std::vector<Group>& groups,
                           const ReportFolder& folder);

// How it was measured, of each contender that did; said to be different where it is. HTML; empty for none.
std::string how_curvature_was_measured(const std::vector<Group>& groups);

}  // namespace lamina::compare
