// Maps of some quantities for all contenders: written to the report's folder, drawn, and set into the page.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/folder.h"
#include "compare/report/gnuplot.h"
#include "compare/report/maps.h"

namespace lamina::compare {

struct MapFigures {
  std::vector<LayerMap> maps;  // one for each group
  std::vector<Quantity> quantities;
  std::vector<std::vector<std::string>> names;  // [quantity][group]; empty: no picture
};

// NAME.csv and NAME.gp of each map that shows something.
MapFigures write_map_figures(std::vector<LayerMap> maps, const std::vector<Quantity>& quantities,
                             const std::vector<Group>& groups, const ReportFolder& folder);

std::vector<Drawing> drawings_of(const MapFigures& figures);

// When they are drawn, a part for each quantity; `axes` says what rows and columns are. Empty if there is
// none.
std::string map_figures_html(const MapFigures& figures, const std::vector<Group>& groups,
                             const ReportFolder& folder, const std::string& axes);

// The contenders without maps, and why.
std::string missing_maps(const MapFigures& figures, const std::vector<Group>& groups);

}  // namespace lamina::compare
