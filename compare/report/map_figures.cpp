#include "compare/report/map_figures.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "compare/report/html.h"

namespace lamina::compare {
namespace {

std::string maps_of_quantity(std::size_t quantity, const MapFigures& maps, const std::vector<Group>& groups,
                             const ReportFolder& folder, const std::string& axes) {
  const Quantity& q = maps.quantities[quantity];
  std::string figures;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::string& name = maps.names[quantity][i];
    if (name.empty()) continue;
    figures += "<figure>\n<div class=\"map-title\">" + html_label(i, groups[i].label) + "</div>\n" +
               inline_svg(folder.path() / (name + ".svg"), q.symbol + (" of " + groups[i].label)) +
               "\n<figcaption>" + figure_links(folder.name(), name) + "</figcaption>\n</figure>\n";
  }
  if (figures.empty()) return "";
  return fmt::format("<h3>{}</h3>\n<p class=\"note\">{}. {}</p>\n<div class=\"figures maps\">\n{}</div>\n",
                     q.symbol, q.meaning, axes, figures);
}

}  // namespace

MapFigures write_map_figures(std::vector<LayerMap> maps, const std::vector<Quantity>& quantities,
                             const std::vector<Group>& groups, const ReportFolder& folder) {
  MapFigures result{.maps = std::move(maps), .quantities = quantities, .names = {}};
  for (std::size_t quantity = 0; quantity < quantities.size(); ++quantity) {
    const ColourRange range = colour_range(result.maps, quantity);
    std::vector<std::string>& names = result.names.emplace_back(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (!result.maps[i].shows(quantity) || range.empty()) continue;
      names[i] = write_map(result.maps[i], quantity, quantities[quantity], range, i, groups[i].label, folder);
    }
  }
  return result;
}

std::vector<Drawing> drawings_of(const MapFigures& figures) {
  std::vector<Drawing> drawings;
  for (const auto& names : figures.names) {
    for (const std::string& name : names) {
      if (!name.empty()) drawings.push_back({name, name + ".svg", true});
    }
  }
  return drawings;
}

std::string map_figures_html(const MapFigures& figures, const std::vector<Group>& groups,
                             const ReportFolder& folder, const std::string& axes) {
  std::string html;
  for (std::size_t quantity = 0; quantity < figures.names.size(); ++quantity)
    html += maps_of_quantity(quantity, figures, groups, folder, axes);
  return html;
}

std::string missing_maps(const MapFigures& figures, const std::vector<Group>& groups) {
  std::map<std::string, std::string> labels;  // of the contenders with one problem
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (figures.maps[i].problem.empty()) continue;
    std::string& list = labels[figures.maps[i].problem];
    list += (list.empty() ? "" : "; ") + escape_html(groups[i].label);
  }
  std::string html;
  for (const auto& [problem, list] : labels) {
    html += fmt::format("<p class=\"note\">No maps of {} ({}).</p>\n", list, escape_html(problem));
  }
  return html;
}

}  // namespace lamina::compare
