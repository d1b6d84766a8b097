#include "compare/report/curves.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <map>

#include "compare/report/html.h"
#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/rounding.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;
using Curve = std::vector<Point>;

constexpr std::size_t most_points = 500;            // of a schedule: more would not be seen
constexpr std::size_t most_marked_points = 30;      // beyond it the marks run together
constexpr std::size_t most_legend_characters = 50;  // as the figure is wide; the page's tables have the whole
constexpr const char* dash_patterns[] = {"solid", "(14,6)", "(4,6)", "(18,6,4,6)"};

using Value = std::function<double(const RunResult&, const EpochRow&)>;

Curve epoch_curve(const Group& group, const Value& value_of, double scale) {
  std::vector<Series> measured;
  for (const RunResult* run : group.averaged_runs()) {
    Series& series = measured.emplace_back();
    for (const EpochRow& row : run->epochs)
      series.emplace_back(static_cast<double>(row.epoch), scale * value_of(*run, row));
  }
  return mean_curve(measured);
}

CurveFigure figure_of(const std::vector<Group>& groups, const Value& value, double scale,
                      const std::string& name, const std::string& y_label, const std::string& caption) {
  CurveFigure figure{name, "epoch", y_label, caption, {}};
  for (const Group& group : groups) figure.curves.push_back(epoch_curve(group, value, scale));
  return figure;
}

CurveFigure epoch_figure(const std::vector<Group>& groups, double EpochRow::*value, double scale,
                         const std::string& name, const std::string& y_label, const std::string& caption) {
  return figure_of(
      groups, [value](const RunResult&, const EpochRow& row) { return row.*value; }, scale, name, y_label,
      caption);
}

// "quantity-on-diagonal": a column's name may hold what no file's name should.
std::string file_name(std::string quantity) {
  std::replace_if(
      quantity.begin(), quantity.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  return "quantity-" + quantity;
}

// What losses are made of, of every name that some run has.
std::vector<CurveFigure> quantity_figures(const std::vector<Group>& groups, const std::string& band) {
  std::vector<std::string> names;
  for (const Group& group : groups)
    for (const std::string& name : group.representative().quantities)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  std::vector<CurveFigure> figures;
  for (const std::string& name : names) {
    const auto value = [&](const RunResult& run, const EpochRow& row) {
      const auto place = std::find(run.quantities.begin(), run.quantities.end(), name);
      return place == run.quantities.end() ? std::nan("") : row.quantities[place - run.quantities.begin()];
    };
    std::string words = name;
    std::replace(words.begin(), words.end(), '_', ' ');
    figures.push_back(
        figure_of(groups, value, 1, file_name(name), words,
                  "The training loss’s “" + escape_html(words) + "”: mean over each epoch." + band));
  }
  return figures;
}

struct Schedule {
  Curve lr, phi, product;
};

Schedule read_schedule(const Group& group) {
  Schedule schedule;
  const fs::path path = group.representative().path / "steps.csv";
  if (!is_there(path)) return schedule;
  const auto rows = read_csv(path, {"step", "lr", "phi"});
  const std::size_t stride = ceil_div(rows.size(), most_points);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % stride != 0 && i + 1 != rows.size()) continue;
    const double step = rows[i][0], lr = rows[i][1], phi = rows[i][2];
    schedule.lr.push_back({step, {.mean = lr, .count = 1}});
    schedule.phi.push_back({step, {.mean = phi, .count = 1}});
    schedule.product.push_back({step, {.mean = lr * phi, .count = 1}});
  }
  return schedule;
}

bool varies(const Curve& phi) {
  return std::any_of(phi.begin(), phi.end(), [](const Point& point) { return point.y.mean != 1; });
}

std::vector<CurveFigure> schedule_figures(const std::vector<Group>& groups) {
  CurveFigure lr{"learning-rate",
                 "step",
                 "learning rate",
                 "Learning rate of each step: schedule and warm-up, before φ.",
                 {}};
  CurveFigure phi{"phi",
                  "step",
                  "φ",
                  "TVLARS’ φ(t), which multiplies the learning rate; 1 for the other optimizers.",
                  {}};
  CurveFigure product{
      "lr-phi", "step", "learning rate × φ", "Learning rate × φ: what the optimizers effectively used.", {}};
  bool any_phi = false;
  for (const Group& group : groups) {
    const Schedule schedule = read_schedule(group);
    any_phi = any_phi || varies(schedule.phi);
    lr.curves.push_back(schedule.lr);
    phi.curves.push_back(schedule.phi);
    product.curves.push_back(schedule.product);
  }
  if (!any_phi) return {lr};
  return {lr, phi, product};
}

// Of all contenders.
std::vector<Point> points_of(const CurveFigure& figure) {
  std::vector<Point> points;
  for (const Curve& curve : figure.curves) points.insert(points.end(), curve.begin(), curve.end());
  return points;
}

std::pair<double, double> extremes(const CurveFigure& figure) {
  const std::vector<Point> points = points_of(figure);
  const auto [least, most] = std::minmax_element(
      points.begin(), points.end(), [](const Point& a, const Point& b) { return a.y.mean < b.y.mean; });
  return {least->y.mean, most->y.mean};
}

bool needs_log_scale(const CurveFigure& figure) {
  const auto [least, most] = extremes(figure);
  return (least > 0 || figure.least_drawn) && most > figure.log_scale_beyond * least;
}

// Where a band ends that would reach below zero, which a logarithmic axis has no place for.
double least_of_axis(const CurveFigure& figure) {
  return figure.least_drawn.value_or(extremes(figure).first / 2);
}

std::string csv(const CurveFigure& figure, const std::vector<Group>& groups) {
  std::string text = "contender," + figure.x_label + ",mean,std,runs,label\n";
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (const auto& [x, y] : figure.curves[i]) {
      text += fmt::format("{},{},{},{},{},{}\n", i + 1, x, y.mean, y.std, y.count, csv_text(groups[i].label));
    }
  }
  return text;
}

std::string line_styles(std::size_t count) {
  std::string script;
  for (std::size_t i = 0; i < count; ++i) {
    const LineStyle line = line_style(i);
    script += fmt::format("set style line {} lc rgb \"{}\" lw 2 dt {} pt 7 ps 0.35\n", i + 1, line.colour,
                          dash_patterns[line.dash]);
  }
  return script;
}

std::string axes(const CurveFigure& figure) {
  std::string script = fmt::format("set xlabel {} offset 0, 0.4\nset ylabel {} offset 1, 0\n",
                                   gnuplot_string(figure.x_label), gnuplot_string(figure.y_label));
  double last = 0;
  for (const Point& point : points_of(figure)) last = std::max(last, point.x);
  if (figure.x_counts) {
    if (last <= 1) script += "set xrange [0 : 2]\n";
    script += fmt::format("set xtics {}\n", last <= 12 ? 1 : tic_step(last));
  }
  if (needs_log_scale(figure))
    script +=
        fmt::format("set logscale y\nset format y \"%g\"\nset yrange [{:.6g} : *]\n", least_of_axis(figure));
  return script;
}

// A contender's rows of the CSV; the bands of all lie below the lines.
std::string plot(const CurveFigure& figure, const std::vector<Group>& groups) {
  const std::string file = gnuplot_string(figure.name + ".csv");
  const std::string low =
      needs_log_scale(figure)
          ? fmt::format("(column(\"mean\") > column(\"std\") ? column(\"mean\") - column(\"std\") : {:.6g})",
                        least_of_axis(figure))
          : "(column(\"mean\") - column(\"std\"))";
  std::string bands, lines;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Curve& curve = figure.curves[i];
    if (curve.empty()) continue;
    const std::string x =
        fmt::format("(column(\"contender\") == {} ? column(\"{}\") : NaN)", i + 1, figure.x_label);
    if (std::any_of(curve.begin(), curve.end(), [](const Point& point) { return point.y.std > 0; })) {
      bands += fmt::format(
          "  {} using {}:{}:(column(\"mean\") + column(\"std\")) \\\n"
          "    with filledcurves fc rgb \"{}\" fs transparent solid 0.15 noborder notitle, \\\n",
          file, x, low, line_style(i).colour);
    }
    lines += fmt::format("  {} using {}:(column(\"mean\")) with {} ls {} title {}, \\\n", file, x,
                         curve.size() <= most_marked_points ? "linespoints" : "lines", i + 1,
                         gnuplot_string(shortened(groups[i].label, most_legend_characters)));
  }
  if (figure.level)
    lines += fmt::format("  {} with lines lc rgb \"#777777\" lw 1.5 dt (6,5) notitle, \\\n", *figure.level);
  lines.erase(lines.size() - 4);  // the last comma and continuation
  return "plot \\\n" + bands + lines + "\n";
}

// The curves as the page shows them: without legends, which it has once for all.
std::string page_picture(const std::string& name) { return name + ".page.tmp"; }

std::string curve_html(const CurveFigure& figure, const ReportFolder& folder) {
  return "<figure>\n" + inline_svg(folder.path() / page_picture(figure.name), figure.y_label) +
         "\n<figcaption>" + figure.caption + figure_links(folder.name(), figure.name) +
         "</figcaption>\n</figure>\n";
}

}  // namespace

Curve mean_curve(const std::vector<Series>& runs) {
  std::map<double, std::vector<double>> values;
  std::vector<double> last;  // x, of each run
  for (const Series& series : runs) {
    last.push_back(-std::numeric_limits<double>::infinity());
    for (const auto& [x, value] : series) {
      if (!std::isfinite(value)) continue;
      values[x].push_back(value);
      last.back() = x;
    }
  }
  Curve curve;
  for (const auto& [x, of_runs] : values) {
    const auto due = std::count_if(last.begin(), last.end(), [at = x](double l) { return l >= at; });
    if (std::ssize(of_runs) == due) curve.push_back({x, statistic(of_runs)});
  }
  return curve;
}

std::string band_caption(const std::vector<Group>& groups) {
  const bool spread =
      std::any_of(groups.begin(), groups.end(), [](const Group& g) { return g.complete() > 1; });
  return spread ? " Line: mean over the seeds; band: ± their standard deviation." : "";
}

std::vector<CurveFigure> curve_figures(const std::vector<Group>& groups) {
  const std::string band = band_caption(groups);
  std::vector<CurveFigure> figures{
      epoch_figure(groups, &EpochRow::test_accuracy, 100, "test-accuracy", "test accuracy (%)",
                   "Test accuracy after each epoch, in %." + band),
      epoch_figure(groups, &EpochRow::knn_accuracy, 100, "knn-accuracy", "kNN accuracy (%)",
                   "Test images classified by their nearest training images, by the features, in %." + band),
      epoch_figure(groups, &EpochRow::test_loss, 1, "test-loss", "test loss",
                   "Test loss after each epoch." + band),
      epoch_figure(groups, &EpochRow::valid_accuracy, 100, "valid-accuracy", "validation accuracy (%)",
                   "Accuracy on the held-out training images after each epoch, in %." + band),
      epoch_figure(groups, &EpochRow::valid_loss, 1, "valid-loss", "validation loss",
                   "Loss on the held-out training images after each epoch." + band),
      epoch_figure(
          groups, &EpochRow::train_accuracy, 100, "train-accuracy", "training accuracy (%)",
          "Training accuracy, in %: mean over each epoch, augmented, while the weights move." + band),
      epoch_figure(groups, &EpochRow::train_loss, 1, "train-loss", "training loss",
                   "Training loss: mean over each epoch, while the weights move." + band)};
  for (const CurveFigure& figure : quantity_figures(groups, band)) figures.push_back(figure);
  for (const CurveFigure& figure : schedule_figures(groups)) figures.push_back(figure);
  for (CurveFigure& figure : figures)  // a diverging loss would press all others to the axis
    if (figure.name.ends_with("loss")) figure.log_scale_beyond = 50;
  std::erase_if(figures, [](const CurveFigure& figure) { return points_of(figure).empty(); });
  return figures;
}

void write_curves(const CurveFigure& figure, const std::vector<Group>& groups, const ReportFolder& folder) {
  folder.write(figure.name + ".csv", csv(figure, groups));
  folder.write(figure.name + ".gp",
               script_head(figure.name, figure.y_label + " over the " + figure.x_label + "s", 460, 300,
                           groups.size()) +
                   line_styles(groups.size()) + axes(figure) +
                   "if (legend) set key below left Left reverse maxcols 1 samplen 2 font \",11\"; else set "
                   "key off\n\n" +
                   plot(figure, groups) + "unset output\n");
}

std::vector<Drawing> drawings_of(const std::vector<CurveFigure>& figures) {
  std::vector<Drawing> drawings;
  for (const CurveFigure& figure : figures) {
    drawings.push_back({figure.name, figure.name + ".svg", true});
    drawings.push_back({figure.name, page_picture(figure.name), false});
  }
  return drawings;
}

std::string curve_figures_html(const std::vector<CurveFigure>& figures, const std::vector<Group>& groups,
                               const ReportFolder& folder) {
  std::string html = "<div class=\"keys\">";
  for (std::size_t i = 0; i < groups.size(); ++i) html += html_label(i, groups[i].label) + "\n";
  html += "</div>\n<div class=\"figures\">\n";
  for (const CurveFigure& figure : figures) html += curve_html(figure, folder);
  return html + "</div>\n";
}

}  // namespace lamina::compare
