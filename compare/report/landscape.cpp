#include "compare/report/landscape.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compare/report/folder.h"
#include "compare/report/gnuplot.h"
#include "compare/report/html.h"
#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/version.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

constexpr int contour_lines = 16;
constexpr std::size_t most_named_marks = 6;  // of more the first and the last: names hide the picture

// The positive finite losses' extent: axes and colours are logarithmic.
struct LossRange {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  void include(double loss) {
    if (!(loss > 0) || !std::isfinite(loss)) return;
    low = std::min(low, loss);
    high = std::max(high, loss);
  }
};

LossRange range_of(const Landscape& landscape) {
  LossRange range;
  for (const double loss : landscape.losses) range.include(loss);
  for (const LandscapeMark& mark : landscape.marks) range.include(mark.loss);
  check(range.high > 0, "landscape: of its {} losses none is finite and more than 0: nothing to draw",
        landscape.losses.size());
  if (range.low == range.high) range = {range.low / 2, range.high * 2};  // gnuplot needs an extent
  return range;
}

std::string cell(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "NaN"; }

// A line for each point; blocks, which gnuplot's grids are made of, for each row.
std::string grid_csv(const Landscape& landscape) {
  const bool is_plane = landscape.axes.size() == 2;
  const auto place = [](const LandscapeAxis& axis, std::size_t i) {
    return axis.points < 2 ? axis.first
                           : axis.first + (axis.last - axis.first) * static_cast<double>(i) /
                                              static_cast<double>(axis.points - 1);
  };
  const auto columns = static_cast<std::size_t>(landscape.axes[0].points);
  std::string text = is_plane ? "a,b,loss,accuracy\n" : "a,loss,accuracy\n";
  for (std::size_t i = 0; i < landscape.losses.size(); ++i) {
    if (is_plane && i > 0 && i % columns == 0) text += "\n";
    text += fmt::format("{}", place(landscape.axes[0], i % columns));
    if (is_plane) text += fmt::format(",{}", place(landscape.axes[1], i / columns));
    text += "," + cell(landscape.losses[i]) + "," +
            (landscape.accuracies.empty() ? "NaN" : cell(landscape.accuracies[i])) + "\n";
  }
  return text;
}

std::string marks_csv(const Landscape& landscape) {
  std::string text = "a,b,loss,label\n";
  for (const LandscapeMark& mark : landscape.marks)
    text += fmt::format("{},{},{},{}\n", mark.x, mark.y, cell(mark.loss), csv_text(mark.label));
  return text;
}

std::string ways_csv(const Landscape& landscape) {
  std::string text = "way,t,loss\n";
  for (std::size_t i = 0; i < landscape.ways.size(); ++i) {
    const std::vector<double>& losses = landscape.ways[i].losses;
    for (std::size_t k = 0; k < losses.size(); ++k)
      text += fmt::format("{},{},{}\n", i + 1,
                          static_cast<double>(k) / static_cast<double>(losses.size() - 1), cell(losses[k]));
  }
  return text;
}

std::string axis_labels(const Landscape& landscape) {
  std::string script = fmt::format("set xlabel {} offset 0, 0.4\n", gnuplot_string(landscape.axes[0].label));
  if (landscape.axes.size() == 2)
    script += fmt::format("set ylabel {} offset 1, 0\n", gnuplot_string(landscape.axes[1].label));
  return script;
}

// Half a step beyond the points at either end, so that a point is a cell.
std::string cell_range(const LandscapeAxis& axis) {
  const double half = (axis.last - axis.first) / (axis.points - 1) / 2;
  return fmt::format("[{} : {}]", axis.first - half, axis.last + half);
}

// Of planes, heights and colours are logarithms.
std::string plane_style(const LossRange& range) {
  return fmt::format("unset grid\nunset key\nset zrange [{0} : {1}]\nset cbrange [{0} : {1}]\n{2}\n",
                     std::log10(range.low), std::log10(range.high), palette(1));
}

std::string loss_tics(const LossRange& range) {
  return logarithmic_tics(range.low, range.high, TicPlaces::of_logarithms);
}

// Seen from above, each point a cell, with room for a scale of colours.
std::string map_style(const Landscape& landscape) {
  return fmt::format(R"(set border 15
set view map
set xrange {}
set yrange {}
set lmargin at screen 0.12
set rmargin at screen 0.83
set bmargin at screen 0.15
set tmargin at screen 0.97
set colorbox noborder
set contour base
set cntrlabel onecolor
)",
                     cell_range(landscape.axes[0]), cell_range(landscape.axes[1]));
}

// Without the ends, where a line would be a dot.
std::string levels(const LossRange& range) {
  const double low = std::log10(range.low), step = (std::log10(range.high) - low) / contour_lines;
  return fmt::format("{}, {}, {}", low + step, step, low + (contour_lines - 0.5) * step);
}

// White rings below the points, whose colours are the map's own.
std::string plot_of_marks(const Landscape& landscape, const std::string& name) {
  if (landscape.marks.empty()) return "";
  const std::string file = gnuplot_string(name + "-marks.csv") + " using (column(\"a\")):(column(\"b\"))";
  std::string plot;
  if (landscape.joined)
    plot += fmt::format(", \\\n  {}:(log10(column(\"loss\"))) with lines lc rgb \"#ffffff\" lw 1.5 nocontour",
                        file);
  plot += fmt::format(
      ", \\\n  {0}:(log10(column(\"loss\"))) with points pt 7 ps 1.1 lc rgb \"#ffffff\" nocontour, \\\n  "
      "{0}:(log10(column(\"loss\"))) with points pt 7 ps 0.8 lc palette nocontour",
      file);
  const std::string named =
      landscape.marks.size() <= most_named_marks
          ? "1"
          : fmt::format("column(0) == 0 || column(0) == {}", landscape.marks.size() - 1);
  plot += fmt::format(
      ", \\\n  '{}-marks.csv' using (({}) ? column(\"a\") : NaN):(column(\"b\")):(log10(column(\"loss\"))):"
      "(stringcolumn(\"label\")) with labels left offset 0.8, 0.5 tc rgb \"#ffffff\" nocontour",
      name, named);
  return plot;
}

std::string contour_script(const Landscape& landscape, const LossRange& range, const std::string& name) {
  return script_head(name, "loss over a plane, contours at equal steps of its logarithm", 560, 480) +
         axis_labels(landscape) + plane_style(range) + map_style(landscape) +
         fmt::format(R"(set cblabel "loss" offset 0.6, 0
set cbtics scale 0.4 ({0})
set cntrparam levels incremental {1}
splot '{2}.csv' using (column("a")):(column("b")):(log10(column("loss"))) with image nocontour, \
  '{2}.csv' using (column("a")):(column("b")):(log10(column("loss"))) with lines lc rgb "#ffffff" lw 0.6 nosurface{3}
unset output
)",
                     loss_tics(range), levels(range), name, plot_of_marks(landscape, name));
}

std::string surface_script(const Landscape& landscape, const LossRange& range, const std::string& name,
                           const std::string& data) {
  const LandscapeAxis &x = landscape.axes[0], &y = landscape.axes[1];
  return script_head(name, "loss over a plane as a surface", 560, 480) + plane_style(range) +
         fmt::format(R"(set border 4095 lw 0.5
set view 55, 35, 1.1, 1
set xrange [{0} : {1}]
set yrange [{2} : {3}]
set xtics {4}
set ytics {5}
set xlabel "a"
set ylabel "b"
set zlabel "loss" rotate parallel
set ztics scale 0.4 ({6})
set xyplane 0
unset colorbox
set pm3d depthorder border lc rgb "#40000000" lw 0.3
splot '{7}.csv' using (column("a")):(column("b")):(log10(column("loss"))) with pm3d
unset output
)",
                     x.first, x.last, y.first, y.last, tic_step(x.last - x.first, 0),
                     tic_step(y.last - y.first, 0), loss_tics(range), data);
}

std::string accuracy_script(const Landscape& landscape, const std::string& name, const std::string& data) {
  return script_head(name, "accuracy over a plane", 560, 480) + axis_labels(landscape) +
         map_style(landscape) +
         fmt::format(R"gp(unset grid
unset key
set cbrange [0 : 100]
set cblabel "accuracy (%)" offset 0.6, 0
set cbtics scale 0.4 20
{0}
set cntrparam levels incremental 10, 10, 90
splot '{1}.csv' using (column("a")):(column("b")):(100 * column("accuracy")) with image nocontour, \
  '{1}.csv' using (column("a")):(column("b")):(100 * column("accuracy")) with lines lc rgb "#ffffff" lw 0.6 nosurface
unset output
)gp",
                     palette(1), data);
}

// Loss on the left, accuracy on the right.
std::string line_script(const Landscape& landscape, const LossRange& range, const std::string& name) {
  const bool both = !landscape.accuracies.empty();
  std::string script = script_head(name, "loss and accuracy along a line", 560, 360, both ? 2 : 0) +
                       axis_labels(landscape) + "set ylabel \"loss\" offset 1, 0\n";
  if (range.high > 50 * range.low) script += "set logscale y\nset format y \"%g\"\n";
  script +=
      fmt::format("set xrange [{} : {}]\n", landscape.axes[0].first, landscape.axes[0].last) +
      (both
           ? "set border 11\nset ytics nomirror\nset y2label \"accuracy (%)\" offset -1, 0\nset y2range [0 : "
             "100]\nset y2tics scale 0.6 textcolor rgb \"#333333\"\nset key below left Left reverse samplen "
             "2 font \",11\"\nif (!legend) set key off\n"
           : "unset key\n");
  script += fmt::format(
      "plot '{}.csv' using (column(\"a\")):(column(\"loss\")) with lines lc rgb \"{}\" lw 2 "
      "title \"loss\"",
      name, line_style(0).colour);
  if (both)
    script += fmt::format(
        ", \\\n  '{}.csv' using (column(\"a\")):(100 * column(\"accuracy\")) axes x1y2 with "
        "lines lc rgb \"{}\" lw 2 dt (7, 3) title \"accuracy\"",
        name, line_style(1).colour);
  if (!landscape.marks.empty())
    script += fmt::format(
        ", \\\n  '{0}-marks.csv' using (column(\"a\")):(column(\"loss\")) with points pt 7 ps 0.8 lc rgb "
        "\"{1}\" notitle",
        name, line_style(0).colour);
  return script + "\nunset output\n";
}

std::string ways_script(const Landscape& landscape, const std::string& name) {
  std::string script =
      script_head(name, "loss on the straight way between two runs", 560, 330, landscape.ways.size()) +
      "set xlabel \"t, from the first to the second\" offset 0, 0.4\n"
      "set ylabel \"loss\" offset 1, 0\n"
      "if (legend) set key below left Left reverse maxcols 1 samplen 2 font \",11\"; else set "
      "key off\nplot ";
  for (std::size_t i = 0; i < landscape.ways.size(); ++i)
    script += fmt::format(
        "{}'{}.csv' using (column(\"way\") == {} ? column(\"t\") : NaN):(column(\"loss\")) with lines lc rgb "
        "\"{}\" "
        "lw 2 title {}",
        i == 0 ? "" : ", \\\n  ", name, i + 1, line_style(i).colour,
        gnuplot_string(shortened(landscape.ways[i].label, 60)));
  return script + "\nunset output\n";
}

struct LandscapeFigure {
  std::string name, description, caption;  // the caption is HTML
};

std::vector<LandscapeFigure> write_figures(const Landscape& landscape, const ReportFolder& folder) {
  const LossRange range = range_of(landscape);
  std::vector<LandscapeFigure> figures;
  const auto add = [&](const std::string& name, const std::string& script, const char* description,
                       const std::string& caption) {
    folder.write(name + ".gp", script);
    figures.push_back({name, description, caption});
  };
  const bool is_plane = landscape.axes.size() == 2;
  const std::string data = is_plane ? "loss-contours" : "loss-line";
  folder.write(data + ".csv", grid_csv(landscape));
  if (!landscape.marks.empty()) folder.write(data + "-marks.csv", marks_csv(landscape));
  const std::string marked =
      landscape.marks.empty() ? "" : " Points have the colour of their own loss, wherever the plane lies.";
  if (is_plane) {
    add(data, contour_script(landscape, range, data), "Contours of the loss over a plane",
        "Loss; lines and colours at equal steps of its logarithm." + marked);
    add("loss-surface", surface_script(landscape, range, "loss-surface", data),
        "The loss over a plane as a surface", "The same as a surface, its height logarithmic.");
    folder.write("loss-surface.csv", grid_csv(landscape));
    if (!landscape.accuracies.empty()) {
      add("accuracy", accuracy_script(landscape, "accuracy", data), "The accuracy over a plane",
          "Accuracy; a line every 10 %.");
      folder.write("accuracy.csv", grid_csv(landscape));
    }
  } else {
    add(data, line_script(landscape, range, data), "The loss and the accuracy along a line",
        landscape.accuracies.empty() ? "Loss along the line." : "Loss, left, and accuracy, right.");
  }
  if (!landscape.ways.empty()) {
    folder.write("ways.csv", ways_csv(landscape));
    add("ways", ways_script(landscape, "ways"), "Losses on the ways between runs",
        "Loss on the straight way between two runs.");
  }
  return figures;
}

std::string barriers_html(const Landscape& landscape) {
  if (landscape.ways.empty()) return "";
  HtmlTable table{.header = {"way", "loss at its ends", "barrier", "at t"}, .rows = {}};
  for (const LandscapeWay& way : landscape.ways)
    table.rows.push_back({escape_html(way.label),
                          fmt::format("{:.4g}, {:.4g}", way.losses.front(), way.losses.back()),
                          fmt::format("{:.4g}", way.barrier), fmt::format("{:.3g}", way.barrier_at)});
  return "<h2>Loss barriers</h2>\n<p>How far the loss on the straight way between two runs rises above the "
         "line between the losses at its ends.</p>\n" +
         table.str();
}

std::string facts_html(const Landscape& landscape) {
  HtmlTable table{.header = {"", ""}, .text_columns = {1}, .rows = {}};
  for (const auto& [name, value] : landscape.facts)
    table.rows.push_back({escape_html(name), escape_html(value)});
  return "<h2>What is drawn</h2>\n" + table.str();
}

}  // namespace

void check_landscape_output(const std::filesystem::path& output) { const ReportFolder folder(output); }

void write_landscape(const Landscape& landscape, const fs::path& output) {
  const InterruptHandler interrupts;  // Ctrl-C is an error like any other: what is half made goes
  ReportFolder folder(output);
  const std::vector<LandscapeFigure> figures = write_figures(landscape, folder);
  std::vector<Drawing> drawings;
  for (const LandscapeFigure& figure : figures) drawings.push_back({figure.name, figure.name + ".svg", true});
  draw(folder.path(), drawings);
  std::string body = svg_symbols(folder.path() / drawings.front().picture) + "<h1>" +
                     escape_html(landscape.title) + "</h1>\n<div class=\"figures\">\n";
  for (const LandscapeFigure& figure : figures)
    body += "<figure>\n" + inline_svg(folder.path() / (figure.name + ".svg"), figure.description) +
            "\n<figcaption>" + figure.caption + figure_links(folder.name(), figure.name) +
            "</figcaption>\n</figure>\n";
  body += "</div>\n<p class=\"note\">" + escape_html(landscape.caption) + "</p>\n" +
          barriers_html(landscape) + facts_html(landscape) +
          fmt::format(
              "<footer>Made by Lamina {}. The data, the gnuplot script and the picture of every figure are "
              "in <a href=\"{}/\">{}</a>.</footer>\n",
              escape_html(version()), relative_url(folder.name()), escape_html(folder.name()));
  folder.publish(html_page(landscape.title, body));
}

}  // namespace lamina::compare
