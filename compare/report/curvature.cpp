#include "compare/report/curvature.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "compare/compared_options.h"
#include "compare/measured_curvature.h"
#include "compare/report/curvature_map.h"
#include "compare/report/html.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/option_name.h"

namespace lamina::compare {
namespace {

struct MeasuredRun {
  const RunResult* run = nullptr;
  std::vector<CurvatureRow> rows;
};

struct Measured {
  std::vector<std::vector<MeasuredRun>> groups;  // runs of which a mean makes sense; none where it does not
  std::vector<std::string> problems;             // HTML
};

// What is wrong with the bytes is told on the page; a disk that fails ends the report.
std::string read_rows(MeasuredRun& measured) {
  try {
    measured.rows = read_curvature(measured.run->path);
    return "";
  } catch (const ReadError&) {
    throw;
  } catch (const Error& error) {
    return error.what();
  }
}

Measured read_measured(const std::vector<Group>& groups) {
  Measured measured;
  for (const Group& group : groups) {
    std::vector<MeasuredRun>& runs = measured.groups.emplace_back();
    if (const auto ways = group.curvatures(); ways.size() > 1) {
      measured.problems.push_back(fmt::format("{}: its runs were measured in different ways ({})",
                                              escape_html(group.label),
                                              escape_html(fmt::format("{}", fmt::join(ways, "; ")))));
      continue;
    }
    for (const RunResult* run : group.averaged_runs()) {
      if (!is_there(run->path / "curvature.csv")) continue;
      MeasuredRun of_run{.run = run, .rows = {}};
      const std::string problem = read_rows(of_run);
      if (!problem.empty())
        measured.problems.push_back(escape_html(problem));
      else
        runs.push_back(std::move(of_run));
    }
  }
  return measured;
}

using CurvatureValue = std::function<double(const RunResult&, const CurvatureRow&)>;

std::vector<std::vector<Point>> curves_of(const Measured& measured, const CurvatureValue& value_of) {
  std::vector<std::vector<Point>> curves;
  for (const std::vector<MeasuredRun>& runs : measured.groups) {
    std::vector<Series> values;
    for (const auto& [run, rows] : runs) {
      Series& series = values.emplace_back();
      for (const CurvatureRow& row : rows) series.emplace_back(row.epoch, value_of(*run, row));
    }
    curves.push_back(mean_curve(values));
  }
  return curves;
}

// A knob of the run's optimizer that is a number; nothing where it is not known.
std::optional<double> knob(const RunResult& run, const std::string& name) {
  const nlohmann::json knobs =
      run.config.value(nlohmann::json::json_pointer("/resolved/knobs"), nlohmann::json::object());
  if (!knobs.is_object() || !knobs.contains(name) || !knobs[name].is_string()) return {};
  const std::string text = knobs[name].get<std::string>();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
  return whole ? std::optional(value) : std::nullopt;
}

bool has_nesterov(const RunResult& run) {
  return run.config.value(nlohmann::json::json_pointer("/resolved/knobs/nesterov"), nlohmann::json()) ==
         nlohmann::json("true");
}

// Sharpness-aware steps have an edge of their own.
bool is_trained_by_sgd(const RunResult& run) {
  const nlohmann::json optimizer = option_of(run, "optimizer"), sam = option_of(run, "sam");
  if (sam.is_number() && sam != 0) return false;
  const std::string name = optimizer.is_string() ? optimizer.get<std::string>() : "";
  return name.substr(0, name.find(':')) == "sgd";
}

// λ₁ over the value at which gradient descent on a quadratic stops converging (Cohen et al. 2021, sec. 2 and
// app. B): heavy ball 2 (1 + m) / γ, Nesterov 2 (1 + m) / (γ (1 + 2 m)). NaN where the run is none of these.
double edge_ratio(const RunResult& run, const CurvatureRow& row) {
  const std::optional<double> momentum = knob(run, "momentum");
  if (!is_trained_by_sgd(run) || !momentum) return std::nan("");
  const double m = *momentum, rate = row.lr * (1 - knob(run, "dampening").value_or(0));
  return row.lambda_1 * rate * (has_nesterov(run) ? 1 + 2 * m : 1) / (2 * (1 + m));
}

constexpr const char* edge_caption =
    "λ₁ γ / (2 (1 + m)) of contenders trained by SGD, without SAM: γ is the learning rate of the last step "
    "before, m the "
    "momentum; with Nesterov’s, λ₁ γ (1 + 2 m) / (2 (1 + m)). Dashed: 1, the edge of stability, λ₁ = 2 (1 + "
    "m) "
    "/ γ, beyond which full-batch descent on a quadratic diverges (Cohen et al. 2021). It is a guide: "
    "batches "
    "are noisy, and steps are taken with batch norm in training mode. With LARS, LAMB and TVLARS the layers’ "
    "own rates count instead (<code>lr</code> in curvature.safetensors), so they are not drawn.";

std::vector<CurveFigure> figures_of(const Measured& measured, const std::string& caption_end) {
  struct Drawn {
    const char *name, *y_label, *caption;
    CurvatureValue value;
  };
  const auto column = [](double CurvatureRow::*value) -> CurvatureValue {
    return [value](const RunResult&, const CurvatureRow& row) { return row.*value; };
  };
  const std::vector<Drawn> all{
      {"lambda-1", "λ₁", "The largest eigenvalue λ₁ of the Hessian.", column(&CurvatureRow::lambda_1)},
      {"edge-of-stability", "λ₁ γ / (2 (1 + m))", edge_caption, edge_ratio},
      {"trace", "tr(H)",
       "The trace of the Hessian, estimated with random vectors: <code>trace_stderr</code> of curvature.csv "
       "is each estimate’s error.",
       column(&CurvatureRow::trace)},
      {"lambda-min", "smallest eigenvalue", "The smallest eigenvalue of the Hessian.",
       column(&CurvatureRow::lambda_min)},
      {"frobenius", "‖H‖_F", "The Frobenius norm of the Hessian, from the same random vectors as the trace.",
       column(&CurvatureRow::frobenius)}};
  std::vector<CurveFigure> figures;
  for (const Drawn& drawn : all) {
    CurveFigure figure{drawn.name, "epoch", drawn.y_label, drawn.caption, curves_of(measured, drawn.value)};
    const bool has_points = std::any_of(figure.curves.begin(), figure.curves.end(),
                                        [](const std::vector<Point>& curve) { return !curve.empty(); });
    if (!has_points) continue;
    figure.caption += caption_end;
    figure.log_scale_beyond = 10;
    if (drawn.name == std::string("edge-of-stability")) figure.level = 1;
    figures.push_back(std::move(figure));
  }
  return figures;
}

// The contenders that each way of measuring belongs to, in the order of the page.
std::vector<std::pair<std::string, std::vector<std::string>>> ways_of(const std::vector<Group>& groups) {
  std::vector<std::pair<std::string, std::vector<std::string>>> ways;
  for (const Group& group : groups) {
    for (const std::string& way : group.curvatures()) {
      auto found = std::find_if(ways.begin(), ways.end(), [&](const auto& w) { return w.first == way; });
      if (found == ways.end()) found = ways.insert(ways.end(), {way, {}});
      found->second.push_back(escape_html(group.label));
    }
  }
  return ways;
}

}  // namespace

std::string how_curvature_was_measured(const std::vector<Group>& groups) {
  const auto ways = ways_of(groups);
  if (ways.empty()) return "";
  if (ways.size() == 1) return "Measured with " + escape_html(ways.front().first) + ".";
  std::string text = "<b>Measured in different ways, so that levels do not compare</b>:";
  for (const auto& [way, labels] : ways)
    text += fmt::format(" {} with {};", fmt::join(labels, ", "), escape_html(way));
  text.back() = '.';
  return text;
}

CurvatureFigures write_curvature_figures(const std::vector<Group>& groups, const ReportFolder& folder,
                                         bool all_layers) {
  const Measured measured = read_measured(groups);
  CurvatureFigures figures;
  figures.curves = figures_of(measured, band_caption(groups) + " " + how_curvature_was_measured(groups));
  figures.problems = measured.problems;
  for (const CurveFigure& figure : figures.curves) write_curves(figure, groups, folder);
  std::vector<LayerMap> maps;
  for (const Group& group : groups) maps.push_back(read_curvature_map(group, all_layers));
  figures.maps = write_map_figures(std::move(maps), mapped_curvatures(), groups, folder);
  figures.spectra = write_spectra(groups, folder);
  return figures;
}

std::vector<Drawing> drawings_of(const CurvatureFigures& figures) {
  std::vector<Drawing> drawings = drawings_of(figures.curves);
  for (const std::vector<Drawing>& part : {drawings_of(figures.maps), drawings_of(figures.spectra.density)})
    drawings.insert(drawings.end(), part.begin(), part.end());
  return drawings;
}

std::string curvature_html(const CurvatureFigures& figures, const std::vector<Group>& groups,
                           const ReportFolder& folder) {
  std::string html;
  if (!figures.curves.empty()) html += curve_figures_html(figures.curves, groups, folder);
  for (const std::string& problem : figures.problems)
    html += "<p class=\"note\">Not drawn: " + problem + ".</p>\n";
  const std::string maps =
      map_figures_html(figures.maps, groups, folder, "Rows: layers; across: the epochs measured.");
  const bool any = std::any_of(groups.begin(), groups.end(),
                               [](const Group& group) { return !group.curvatures().empty(); });
  if (!maps.empty())
    html += curvature_maps_introduction(figures.maps.maps) + how_curvature_was_measured(groups) + "</p>\n";
  if (any) html += missing_maps(figures.maps, groups) + maps;
  html += spectra_html(figures.spectra, groups, folder);
  if (html.empty()) return "";
  return "<p>H is the Hessian of the training loss over fixed, unaugmented images, of the data alone: "
         "without weight decay.</p>\n" +
         html;
}

}  // namespace lamina::compare
