#include "compare/report/figures.h"
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "compare/report/classes.h"
#include "compare/report/curvature.h"
#include "compare/report/curves.h"
#include "compare/report/gnuplot.h"
#include "compare/report/html.h"
#include "compare/report/map_figures.h"
#include "core/base/error.h"
#include "core/base/option_name.h"

namespace lamina::compare {
namespace {

std::string curves_html(const std::vector<CurveFigure>& figures, const std::vector<Group>& groups,
                        const ReportFolder& folder) {
  if (figures.empty()) return "<p>No run has finished an epoch.</p>\n";
  std::string html = curve_figures_html(figures, groups, folder);
  const bool hidden =
      std::any_of(groups.begin(), groups.end(), [](const Group& g) { return g.complete() == 0; });
  html +=
      "<p class=\"note\">Averages are over the complete runs. Learning rates and φ are those of the first "
      "run of each contender; where curves coincide, the last one covers the others.";
  if (hidden) html += " A contender without a complete run is drawn as far as its runs got.";
  return html + "</p>\n";
}

std::string maps_introduction(const MapFigures& maps) {
  std::set<std::string> averaged;
  bool weights_only = false;
  for (const LayerMap& map : maps.maps) {
    if (map.values.empty()) continue;
    weights_only = weights_only || map.weights_only;
    const std::int64_t steps = map.last_step - map.first_step + 1;
    if (steps > map.columns) averaged.insert(fmt::format("{} steps to {} columns", steps, map.columns));
  }
  std::string html =
      "<p>A row is a layer, the first at the top; time runs to the right, in optimizer steps. Colours are "
      "logarithmic and the same for all contenders of a quantity; blank is zero or not finite. Shown is the "
      "first traced run of each contender.";
  if (weights_only) {
    html += fmt::format(" Only weights are shown; <code>{}</code> adds biases and normalisation.",
                        escape_html(option_name("all_layers")));
  }
  if (!averaged.empty()) {
    html += fmt::format(" Neighbouring steps are averaged: {}.", fmt::join(averaged, ", "));
  }
  return html + "</p>\n";
}

std::string maps_html(const MapFigures& maps, const std::vector<Group>& groups, const ReportFolder& folder) {
  const std::string html = map_figures_html(maps, groups, folder, "Rows: layers; across: steps.");
  const std::string missing = missing_maps(maps, groups);
  if (!html.empty()) return maps_introduction(maps) + missing + html;
  return fmt::format(
             "<p>Runs trained with <code>{}</code> would show every layer’s norms and trust ratios "
             "here.</p>\n",
             escape_html(option_name("trace"))) +
         missing;
}

std::vector<Drawing> drawings_of(const std::vector<ClassFigure>& figures) {
  std::vector<Drawing> drawings;
  for (const ClassFigure& figure : figures) {
    if (!figure.name.empty()) drawings.push_back({figure.name, figure.name + ".svg", true});
  }
  return drawings;
}

MapFigures write_trace_maps(const std::vector<Group>& groups, const ReportFolder& folder, bool all_layers) {
  std::vector<LayerMap> maps;
  for (const Group& group : groups) maps.push_back(read_layer_map(group, all_layers));
  return write_map_figures(std::move(maps), traced_quantities(), groups, folder);
}

}  // namespace

FiguresHtml make_figures(const std::vector<Group>& groups, const ReportFolder& folder, bool all_layers) {
  const std::vector<CurveFigure> curves = curve_figures(groups);
  for (const CurveFigure& figure : curves) write_curves(figure, groups, folder);
  const std::vector<ClassFigure> classes = write_class_figures(groups, folder);
  const CurvatureFigures curvature = write_curvature_figures(groups, folder, all_layers);
  const MapFigures maps = write_trace_maps(groups, folder, all_layers);
  std::vector<Drawing> drawings;
  for (const std::vector<Drawing>& part :
       {drawings_of(curves), drawings_of(classes), drawings_of(curvature), drawings_of(maps)})
    drawings.insert(drawings.end(), part.begin(), part.end());
  draw(folder.path(), drawings);
  FiguresHtml html{.symbols = {},
                   .curves = curves_html(curves, groups, folder),
                   .classes = classes_html(classes, groups, folder),
                   .curvature = curvature_html(curvature, groups, folder),
                   .maps = maps_html(maps, groups, folder)};
  if (!drawings.empty()) html.symbols = svg_symbols(folder.path() / drawings.front().picture);
  return html;
}

}  // namespace lamina::compare
