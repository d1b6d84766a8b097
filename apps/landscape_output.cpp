#include "apps/landscape_output.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "analysis/vectors.h"
#include "apps/options.h"
#include "compare/report/landscape.h"
#include "core/base/json_number.h"

namespace lamina::app {
namespace {

using analysis::LandscapePoint;

double direction_norm(const MeasuredLandscape& landscape, std::size_t direction) {
  return analysis::length(landscape.chosen.plane.directions[direction].weights);
}

double cosine(const MeasuredLandscape& landscape) {
  const auto& d = landscape.chosen.plane.directions;
  const double cosine = analysis::inner_product(d[0].weights, d[1].weights) / direction_norm(landscape, 0) /
                        direction_norm(landscape, 1);
  return std::abs(cosine) < 1e-6 ? 0 : cosine;  // rounding, of directions that were made orthogonal
}

// Empty where the accuracy is not measured.
std::vector<double> accuracies_of(const MeasuredLandscape& landscape,
                                  const std::vector<LandscapePoint>& points) {
  std::vector<double> accuracies;
  if (landscape.has_accuracy)
    for (const LandscapePoint& point : points) accuracies.push_back(point.metrics.front());
  return accuracies;
}

std::vector<double> losses_of(const std::vector<LandscapePoint>& points) {
  std::vector<double> losses;
  losses.reserve(points.size());
  for (const LandscapePoint& point : points) losses.push_back(point.loss);
  return losses;
}

std::string size_text(const MeasuredLandscape& landscape) {
  std::vector<int> points;
  for (const analysis::Axis& axis : landscape.axes) points.push_back(axis.points);
  return fmt::format("{} points", fmt::join(points, " × "));
}

// "a from -1 to 1, b from -1 to 1".
std::string range_text(const MeasuredLandscape& landscape) {
  std::string text;
  for (std::size_t i = 0; i < landscape.axes.size(); ++i)
    text += fmt::format("{}{} from {:.4g} to {:.4g}", i == 0 ? "" : ", ", i == 0 ? "a" : "b",
                        landscape.axes[i].first, landscape.axes[i].last);
  return text;
}

std::string statistics_text(const LandscapeCommand& command) {
  const std::string mode = "batch norm in evaluation mode, running statistics ";
  if (command.bn_stats == "kept") return mode + "kept as at the origin (each marked point has its own)";
  if (command.bn_stats == "moved") return mode + "moved along with the weights";
  return mode + fmt::format("estimated anew at each point, from these samples in parts of {}",
                            command.samples.micro_batch);
}

std::vector<double> notes_of(const MeasuredLandscape& landscape, const char* name) {
  const nlohmann::json& notes = landscape.chosen.notes;
  return notes.is_object() && notes.contains(name) ? notes[name].get<std::vector<double>>()
                                                   : std::vector<double>();
}

// What the directions came to, in a line.
std::string directions_text(const MeasuredLandscape& landscape) {
  std::vector<std::string> norms;
  for (std::size_t i = 0; i < landscape.axes.size(); ++i)
    norms.push_back(fmt::format("{:.4g}", direction_norm(landscape, i)));
  std::string text = fmt::format("lengths {}, of the weights {:.4g}", fmt::join(norms, " and "),
                                 analysis::length(landscape.chosen.plane.centre.weights));
  if (landscape.axes.size() == 2) text += fmt::format("; cosine between them {:.4f}", cosine(landscape));
  const std::vector<double> values = notes_of(landscape, "eigenvalues");
  const std::vector<double> residuals = notes_of(landscape, "residuals");
  for (std::size_t i = 0; i < values.size(); ++i)
    text += fmt::format("; eigenvalue {:.5g} ± {:.2g}", values[i], residuals[i]);
  const std::vector<double> explained = notes_of(landscape, "explained");
  for (std::size_t i = 0; i < explained.size(); ++i)
    text += fmt::format("{} {:.1f} %", i == 0 ? "; explained variance" : " and", 100 * explained[i]);
  return text;
}

std::string axis_label(const MeasuredLandscape& landscape, std::size_t axis) {
  const char* name = axis == 0 ? "a" : "b";
  const std::string& plane = landscape.command.plane;
  if (plane == "random") return fmt::format("{}, in lengths of the filters", name);
  const std::vector<double> values = notes_of(landscape, "eigenvalues");
  if (axis < values.size()) return fmt::format("{}, along the eigenvector of {:.4g}", name, values[axis]);
  const std::vector<double> explained = notes_of(landscape, "explained");
  if (axis < explained.size())
    return fmt::format("{}, component {} ({:.1f} % of the variance)", name, axis + 1, 100 * explained[axis]);
  return fmt::format("{}, distance between weights", name);
}

std::string way_label(const MeasuredLandscape& landscape, const MeasuredWay& way) {
  return fmt::format("{} – {}", landscape.labels[way.from], landscape.labels[way.to]);
}

// The last parts of paths, if these tell the runs apart.
std::vector<std::string> short_labels(const std::vector<std::string>& labels) {
  std::vector<std::string> last;
  for (const std::string& label : labels) {
    const std::string name = std::filesystem::path(label).filename().string();
    if (name.empty() || std::find(last.begin(), last.end(), name) != last.end()) return labels;
    last.push_back(name);
  }
  return last;
}

compare::Landscape page_of(const MeasuredLandscape& landscape) {
  const LandscapeCommand& command = landscape.command;
  const std::string seed =
      command.plane == "random" || command.plane == "eigen" ? fmt::format("; seed {}", command.seed) : "";
  const bool trained = command.plane == "pca";
  compare::Landscape page{
      .title = fmt::format("Loss landscape of {}", fmt::join(command.runs, ", ")),
      .caption = fmt::format("{}. {}, {}; {}. Directions: {}; {}{}.", landscape.title, size_text(landscape),
                             range_text(landscape), statistics_text(command), convention_of(command),
                             directions_text(landscape), seed),
      .facts = {{"measured", landscape.title},
                {"plane", command.plane},
                {"directions", convention_of(command)},
                {"their lengths", directions_text(landscape)},
                {"points", size_text(landscape) + ", " + range_text(landscape)},
                {"statistics", statistics_text(command)},
                {"command", command_to_repeat(command)}},
      .axes = {},
      .losses = losses_of(landscape.grid),
      .accuracies = accuracies_of(landscape, landscape.grid),
      .marks = {},
      .joined = trained,
      .ways = {}};
  for (std::size_t i = 0; i < landscape.axes.size(); ++i)
    page.axes.push_back({axis_label(landscape, i), landscape.axes[i].first, landscape.axes[i].last,
                         landscape.axes[i].points});
  const std::vector<std::string> labels = short_labels(landscape.labels);
  for (std::size_t i = 0; i < landscape.own.size(); ++i) {
    const LandscapePoint& point = landscape.own[i];
    page.marks.push_back({labels[i], point.coordinates[0],
                          point.coordinates.size() > 1 ? point.coordinates[1] : 0, point.loss});
  }
  for (const MeasuredWay& way : landscape.ways)
    page.ways.push_back(
        {way_label(landscape, way), losses_of(way.points), way.barrier.height, way.barrier.t});
  return page;
}

nlohmann::json numbers(const std::vector<double>& values) {
  nlohmann::json list = nlohmann::json::array();
  for (const double value : values) list.push_back(json_number(value));
  return list;
}

// Rows of the grid, one for each b; of a line its only one, by itself.
nlohmann::json rows_of(const MeasuredLandscape& landscape, const std::vector<double>& values) {
  if (landscape.axes.size() == 1) return numbers(values);
  nlohmann::json rows = nlohmann::json::array();
  const auto columns = static_cast<std::ptrdiff_t>(landscape.axes[0].points);
  for (auto row = values.begin(); row != values.end(); row += columns)
    rows.push_back(numbers({row, row + columns}));
  return rows;
}

}  // namespace

std::string command_to_repeat(const LandscapeCommand& command) {
  std::string text = "lamina landscape";
  for (const std::string& run : command.runs) text += " " + quoted(run);
  if (!command.data.empty()) text += " --data " + quoted(command.data);
  if (command.samples.samples) text += fmt::format(" --limit {}", *command.samples.samples);
  text += fmt::format(" --plane {} --dimensions {} --size {} --bn-stats {}", command.plane,
                      *command.dimensions, command.size, command.bn_stats);
  if (command.range) text += fmt::format(" --range {}", *command.range);
  if (command.samples.micro_batch != LandscapeCommand().samples.micro_batch)
    text += fmt::format(" --micro-batch {}", command.samples.micro_batch);
  const auto add = [&](const char* flag, const std::optional<std::string>& value) {
    if (value) text += fmt::format(" {} {}", flag, quoted(*value));
  };
  add("--model", command.model.model);
  add("--stem", command.model.stem);
  add("--shortcut", command.model.shortcut);
  if (!command.model.mean.empty()) text += fmt::format(" --mean {}", fmt::join(command.model.mean, ","));
  if (!command.model.std.empty()) text += fmt::format(" --std {}", fmt::join(command.model.std, ","));
  const train::DeviceOptions& device = command.model.device;
  if (device.device != "cpu") text += " --device " + quoted(device.device);
  if (device.precision != train::DeviceOptions().precision)
    text += " --precision " + quoted(device.precision);
  if (device.tf32) text += " --tf32";
  if (!device.deterministic) text += " --no-deterministic";
  if (command.image_size) text += fmt::format(" --image-size {}", *command.image_size);
  if (command.skip_damaged) text += " --skip-damaged";
  if (command.max_pixels) text += fmt::format(" --max-pixels {}", *command.max_pixels);
  if (command.seed != LandscapeCommand().seed) text += fmt::format(" --seed {}", command.seed);
  return text + " -o " + quoted(command.output);
}

std::string text_of(const MeasuredLandscape& landscape) {
  std::vector<double> finite;
  for (const LandscapePoint& point : landscape.grid)
    if (std::isfinite(point.loss)) finite.push_back(point.loss);
  std::sort(finite.begin(), finite.end());
  std::string text = fmt::format(
      "{}:\n{}, {}; {}\ndirections: {}; {}\n", landscape.title, size_text(landscape), range_text(landscape),
      statistics_text(landscape.command), convention_of(landscape.command), directions_text(landscape));
  if (!finite.empty())
    text += fmt::format("loss {:.4g} to {:.4g} over the plane", finite.front(), finite.back());
  if (finite.size() < landscape.grid.size())
    text += fmt::format("; {} points where it is not finite", landscape.grid.size() - finite.size());
  text += "\n";
  for (std::size_t i = 0; i < landscape.own.size(); ++i)
    text += fmt::format("{}: loss {:.4f} at ({:.4g})\n", landscape.labels[i], landscape.own[i].loss,
                        fmt::join(landscape.own[i].coordinates, ", "));
  for (const MeasuredWay& way : landscape.ways)
    text += fmt::format("{}: barrier {:.4g} at t = {:.3g}\n", way_label(landscape, way), way.barrier.height,
                        way.barrier.t);
  return text;
}

nlohmann::json json_of(const MeasuredLandscape& landscape) {
  nlohmann::json json = landscape.surface;
  json["runs"] = landscape.command.runs;
  json["plane"] = landscape.command.plane;
  json["convention"] = convention_of(landscape.command);
  json["bn"] = "eval";
  json["bn_stats"] = landscape.command.bn_stats;
  json["seed"] = landscape.command.seed;
  json["page"] = landscape.command.output;
  json["weight_norm"] = analysis::length(landscape.chosen.plane.centre.weights);
  for (std::size_t i = 0; i < landscape.axes.size(); ++i)
    json["axes"].push_back({{"first", landscape.axes[i].first},
                            {"last", landscape.axes[i].last},
                            {"points", landscape.axes[i].points},
                            {"direction_norm", direction_norm(landscape, i)}});
  if (landscape.axes.size() == 2) json["cosine"] = cosine(landscape);
  for (const char* name : {"eigenvalues", "residuals", "explained"})
    if (const auto values = notes_of(landscape, name); !values.empty()) json[name] = values;
  for (std::size_t i = 0; i < landscape.own.size(); ++i) {
    const LandscapePoint& point = landscape.own[i];
    nlohmann::json own{{"label", landscape.labels[i]},
                       {"coordinates", point.coordinates},
                       {"loss", json_number(point.loss)}};
    if (landscape.has_accuracy) own["accuracy"] = json_number(point.metrics.front());
    json["points"].push_back(own);
  }
  for (const MeasuredWay& way : landscape.ways)
    json["barriers"].push_back({{"from", landscape.labels[way.from]},
                                {"to", landscape.labels[way.to]},
                                {"barrier", json_number(way.barrier.height)},
                                {"t", way.barrier.t},
                                {"loss", numbers(losses_of(way.points))}});
  json["loss"] = rows_of(landscape, losses_of(landscape.grid));
  if (landscape.has_accuracy) json["accuracy"] = rows_of(landscape, accuracies_of(landscape, landscape.grid));
  return json;
}

void write_page(const MeasuredLandscape& landscape) {
  compare::write_landscape(page_of(landscape), landscape.command.output);
}

}  // namespace lamina::app
