#include "compare/report/figures.h"
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "compare/report/classes.h"
#include "compare/report/curves.h"
#include "compare/report/gnuplot.h"
#include "compare/report/html.h"
#include "compare/report/maps.h"
#include "core/base/error.h"
#include "core/base/option_name.h"

namespace lamina::compare {
namespace {

// The curves as the page shows them: without legends, which it has once for all.
std::string page_picture(const std::string& name) { return name + ".page.tmp"; }

std::string keys(const std::vector<Group>& groups) {
  std::string html = "<div class=\"keys\">";
  for (std::size_t i = 0; i < groups.size(); ++i) html += html_label(i, groups[i].label) + "\n";
  return html + "</div>\n";
}

std::string curve_html(const CurveFigure& figure, const ReportFolder& folder) {
  return "<figure>\n" + inline_svg(folder.path() / page_picture(figure.name), figure.y_label) +
         "\n<figcaption>" + figure.caption + figure_links(folder.name(), figure.name) +
         "</figcaption>\n</figure>\n";
}

std::string curves_html(const std::vector<CurveFigure>& figures, const std::vector<Group>& groups,
                        const ReportFolder& folder) {
  if (figures.empty()) return "<p>No run has finished an epoch.</p>\n";
  std::string html = keys(groups) + "<div class=\"figures\">\n";
  for (const CurveFigure& figure : figures) html += curve_html(figure, folder);
  html += "</div>\n";
  const bool hidden =
      std::any_of(groups.begin(), groups.end(), [](const Group& g) { return g.complete() == 0; });
  html +=
      "<p class=\"note\">Averages are over the complete runs. Learning rates and φ are those of the first "
      "run of each contender; where curves coincide, the last one covers the others.";
  if (hidden) html += " A contender without a complete run is drawn as far as its runs got.";
  return html + "</p>\n";
}

// All contenders' maps, and the names of their files.
struct Maps {
  std::vector<LayerMap> maps;                   // one for each group
  std::vector<std::vector<std::string>> names;  // [quantity][group]; empty: no picture
};

Maps write_maps(const std::vector<Group>& groups, const ReportFolder& folder, bool all_layers) {
  Maps result;
  for (const Group& group : groups) result.maps.push_back(read_layer_map(group, all_layers));
  for (std::size_t quantity = 0; quantity < traced_quantities().size(); ++quantity) {
    const ColourRange range = colour_range(result.maps, quantity);
    std::vector<std::string>& names = result.names.emplace_back(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (!result.maps[i].shows(quantity) || range.empty()) continue;
      names[i] = write_map(result.maps[i], quantity, range, i, groups[i].label, folder);
    }
  }
  return result;
}

std::string maps_introduction(const Maps& maps) {
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

std::string missing_maps(const Maps& maps, const std::vector<Group>& groups) {
  std::map<std::string, std::string> labels;  // of the contenders with one problem
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (maps.maps[i].problem.empty()) continue;
    std::string& list = labels[maps.maps[i].problem];
    list += (list.empty() ? "" : "; ") + escape_html(groups[i].label);
  }
  std::string html;
  for (const auto& [problem, list] : labels) {
    html += fmt::format("<p class=\"note\">No maps of {} ({}).</p>\n", list, escape_html(problem));
  }
  return html;
}

std::string maps_of_quantity(std::size_t quantity, const Maps& maps, const std::vector<Group>& groups,
                             const ReportFolder& folder) {
  const Quantity& q = traced_quantities()[quantity];
  std::string figures;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::string& name = maps.names[quantity][i];
    if (name.empty()) continue;
    figures += "<figure>\n<div class=\"map-title\">" + html_label(i, groups[i].label) + "</div>\n" +
               inline_svg(folder.path() / (name + ".svg"), q.symbol + (" of " + groups[i].label)) +
               "\n<figcaption>" + figure_links(folder.name(), name) + "</figcaption>\n</figure>\n";
  }
  if (figures.empty()) return "";
  return fmt::format(
      "<h3>{}</h3>\n<p class=\"note\">{}. Rows: layers; across: steps.</p>\n<div class=\"figures "
      "maps\">\n{}</div>\n",
      q.symbol, q.meaning, figures);
}

std::string maps_html(const Maps& maps, const std::vector<Group>& groups, const ReportFolder& folder) {
  std::string html;
  for (std::size_t quantity = 0; quantity < maps.names.size(); ++quantity) {
    html += maps_of_quantity(quantity, maps, groups, folder);
  }
  const std::string missing = missing_maps(maps, groups);
  if (!html.empty()) return maps_introduction(maps) + missing + html;
  return fmt::format(
             "<p>Runs trained with <code>{}</code> would show every layer’s norms and trust ratios "
             "here.</p>\n",
             escape_html(option_name("trace"))) +
         missing;
}

std::vector<Drawing> drawings_of(const std::vector<CurveFigure>& curves,
                                 const std::vector<ClassFigure>& classes, const Maps& maps) {
  std::vector<Drawing> drawings;
  for (const CurveFigure& figure : curves) {
    drawings.push_back({figure.name, figure.name + ".svg", true});
    drawings.push_back({figure.name, page_picture(figure.name), false});
  }
  for (const ClassFigure& figure : classes) {
    if (!figure.name.empty()) drawings.push_back({figure.name, figure.name + ".svg", true});
  }
  for (const auto& names : maps.names) {
    for (const std::string& name : names) {
      if (!name.empty()) drawings.push_back({name, name + ".svg", true});
    }
  }
  return drawings;
}

}  // namespace

FiguresHtml make_figures(const std::vector<Group>& groups, const ReportFolder& folder, bool all_layers) {
  const std::vector<CurveFigure> curves = curve_figures(groups);
  for (const CurveFigure& figure : curves) write_curves(figure, groups, folder);
  const std::vector<ClassFigure> classes = write_class_figures(groups, folder);
  const Maps maps = write_maps(groups, folder, all_layers);
  const std::vector<Drawing> drawings = drawings_of(curves, classes, maps);
  draw(folder.path(), drawings);
  FiguresHtml html{.symbols = {},
                   .curves = curves_html(curves, groups, folder),
                   .classes = classes_html(classes, groups, folder),
                   .maps = maps_html(maps, groups, folder)};
  if (!drawings.empty()) html.symbols = svg_symbols(folder.path() / drawings.front().picture);
  return html;
}

}  // namespace lamina::compare
