#include "compare/report/spectra.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "compare/report/html.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"

namespace lamina::compare {
namespace {

constexpr int grid_points = 601, widths_of_range = 100;  // of the density: points drawn; σ = range / widths
constexpr std::size_t most_listed_eigenvalues = 5;

void read_runs(const std::vector<Group>& groups, Spectra& spectra) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (const RunResult& run : groups[i].runs) {
      const auto path = run.path / "sharpness.json";
      if (!is_there(path)) continue;
      try {  // what is wrong with the bytes is told on the page; a disk that fails ends the report
        spectra.runs.push_back({.contender = i, .run = &run, .found = read_sharpness(path)});
      } catch (const ReadError&) {
        throw;
      } catch (const Error& error) {
        spectra.problems.emplace_back(error.what());
      }
    }
  }
}

// Of each contender the first complete run that has a density, else the first that has one.
std::vector<const RunSpectrum*> drawn_spectra(const Spectra& spectra, const std::vector<Group>& groups) {
  std::vector<const RunSpectrum*> drawn(groups.size());
  for (const RunSpectrum& spectrum : spectra.runs) {
    const RunSpectrum*& chosen = drawn[spectrum.contender];
    if (!spectrum.found.density.empty() &&
        (chosen == nullptr || (!chosen->run->complete && spectrum.run->complete)))
      chosen = &spectrum;
  }
  std::erase(drawn, nullptr);
  return drawn;
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  double width() const { return high - low; }
};

Range range_of(const std::vector<const RunSpectrum*>& drawn) {
  Range range;
  for (const RunSpectrum* spectrum : drawn) {
    for (const auto& [value, weight] : spectrum->found.density) {
      range.low = std::min(range.low, value);
      range.high = std::max(range.high, value);
    }
  }
  if (!(range.width() > 0)) range = {range.low - 0.5, range.high + 0.5};
  return range;
}

// Σ τᵢ N(x; θᵢ, σ²)
double density_at(double x, const SharpnessFile& found, double sigma) {
  double sum = 0;
  for (const auto& [value, weight] : found.density) {
    const double z = (x - value) / sigma;
    sum += weight * std::exp(-z * z / 2);
  }
  return sum / (sigma * std::sqrt(2 * std::numbers::pi));
}

std::vector<Point> density_curve(const SharpnessFile& found, const Range& range, double sigma) {
  std::vector<Point> curve;
  const double first = range.low - 3 * sigma, step = (range.width() + 6 * sigma) / (grid_points - 1);
  for (int i = 0; i < grid_points; ++i) {
    const double x = first + step * i;
    curve.push_back({x, {.mean = density_at(x, found, sigma), .count = 1}});
  }
  return curve;
}

// A hundredth of the peak that a single eigenvalue makes on average; what a random start has of one may well
// be a tenth of that. What lies lower is the tails of the Gaussians.
double least_density(const std::vector<const RunSpectrum*>& drawn, double sigma) {
  std::int64_t parameters = 1;
  for (const RunSpectrum* spectrum : drawn)
    parameters = std::max(parameters, spectrum->found.parameters.value_or(1'000'000));
  return 0.01 / (static_cast<double>(parameters) * sigma * std::sqrt(2 * std::numbers::pi));
}

std::string how_measured(const std::vector<const RunSpectrum*>& drawn, const std::vector<Group>& groups) {
  const auto way = [](const RunSpectrum* spectrum) {
    return spectrum->found.way + (spectrum->found.split == "test" ? " of the test images" : "");
  };
  const bool alike = std::all_of(drawn.begin(), drawn.end(),
                                 [&](const RunSpectrum* s) { return way(s) == way(drawn.front()); });
  if (alike) return "Measured with " + escape_html(way(drawn.front())) + ".";
  std::vector<std::string> ways;
  for (const RunSpectrum* spectrum : drawn)
    ways.push_back(escape_html(groups[spectrum->contender].label + " with " + way(spectrum)));
  return fmt::format("<b>Measured in different ways, so that they do not compare</b>: {}.",
                     fmt::join(ways, "; "));
}

CurveFigure density_figure(const std::vector<const RunSpectrum*>& drawn, const std::vector<Group>& groups) {
  const Range range = range_of(drawn);
  const double sigma = range.width() / widths_of_range;
  CurveFigure figure{"density", "eigenvalue", "density of eigenvalues", "", {}};
  figure.caption = fmt::format(
      "Density of all eigenvalues by stochastic Lanczos quadrature, of the first complete run with a "
      "sharpness.json: each node is a Gaussian with σ = {:.3g}, a hundredth of the range. The axis ends at a "
      "hundredth of the peak that a single eigenvalue makes on average. {}",
      sigma, how_measured(drawn, groups));
  figure.curves.resize(groups.size());
  for (const RunSpectrum* spectrum : drawn)
    figure.curves[spectrum->contender] = density_curve(spectrum->found, range, sigma);
  figure.log_scale_beyond = 0;
  figure.least_drawn = least_density(drawn, sigma);
  figure.x_counts = false;
  return figure;
}

std::string with_error(double value, double error) {
  if (std::isnan(value)) return no_value;
  return std::isnan(error) ? fmt::format("{:.4g}", value) : fmt::format("{:.4g} ± {:.2g}", value, error);
}

std::string largest(const SharpnessFile& found) {
  std::string text;
  for (std::size_t i = 0; i < std::min(found.eigenvalues.size(), most_listed_eigenvalues); ++i)
    text += (i == 0 ? "" : "<br>") + with_error(found.eigenvalues[i], found.residuals[i]);
  return text + (found.converged ? "" : "<br>(not converged)");
}

std::string spectrum_table(const Spectra& spectra, const std::vector<Group>& groups) {
  HtmlTable table{
      {"Run", "Contender", "Epoch", "Measured with", "Largest eigenvalues", "Smallest", "Trace", "‖H‖_F"},
      {1, 3}};
  for (const auto& [contender, run, found] : spectra.runs) {
    table.rows.push_back({"<code>" + escape_html(run->path.string()) + "</code>",
                          html_label(contender, groups[contender].label),
                          found.epoch ? std::to_string(*found.epoch) : no_value,
                          escape_html(found.way + (found.split.empty() ? "" : " (" + found.split + ")")),
                          largest(found), with_error(found.smallest, found.smallest_residual),
                          with_error(found.trace, found.trace_error),
                          with_error(found.frobenius, std::nan(""))});
  }
  return table.str() +
         "<p class=\"note\">Eigenvalues ± their residuals ‖Hy − λy‖, within which there is an eigenvalue; "
         "the "
         "trace ± its standard error over random vectors.</p>\n";
}

}  // namespace

Spectra write_spectra(const std::vector<Group>& groups, const ReportFolder& folder) {
  Spectra spectra;
  read_runs(groups, spectra);
  const std::vector<const RunSpectrum*> drawn = drawn_spectra(spectra, groups);
  if (drawn.empty()) return spectra;
  spectra.density.push_back(density_figure(drawn, groups));
  write_curves(spectra.density.front(), groups, folder);
  return spectra;
}

std::string spectra_html(const Spectra& spectra, const std::vector<Group>& groups,
                         const ReportFolder& folder) {
  std::string html;
  for (const std::string& problem : spectra.problems)
    html += "<p class=\"note\">Not shown: " + escape_html(problem) + ".</p>\n";
  if (!spectra.density.empty()) html += curve_figures_html(spectra.density, groups, folder);
  if (!spectra.runs.empty()) html += spectrum_table(spectra, groups);
  return html.empty() ? "" : "<h3>Spectra</h3>\n" + html;
}

}  // namespace lamina::compare
