#include "compare/report/classes.h"

#include <algorithm>
#include <cmath>

#include "compare/report/gnuplot.h"
#include "compare/report/html.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/regular_file.h"
#include "core/base/table.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;
using train::ClassResults;

constexpr std::int64_t most_drawn_classes = 100;  // more cells than pixels would not be told apart
constexpr std::int64_t most_separate_classes =
    32;                                     // whose cells are drawn one by one, so that no viewer blurs them
constexpr std::size_t most_open_rows = 20;  // of a table; a longer one is folded
constexpr std::size_t most_name_characters = 20;  // at an axis
constexpr int side = 320, name_width = 6;         // in points: of the matrix, of a character at an axis

ClassFigure read_classes(const Group& group) {
  ClassFigure figure;
  for (const RunResult& run : group.runs) {
    const fs::path path = run.path / "evaluation.json";
    if (!run.complete || !is_there(path)) continue;
    try {  // what is wrong with the bytes is told on the page; a disk that fails ends the report
      figure.results = train::read_evaluation(path);
    } catch (const ReadError&) {
      throw;
    } catch (const Error& error) {
      figure.problem = error.what();
    }
    return figure;
  }
  figure.problem = "no complete run with an evaluation.json";
  return figure;
}

// The percentage of a class that was taken for another; of no samples, there is none.
double percentage(const ConfusionMatrix& confusion, std::int64_t label, std::int64_t predicted) {
  return 100 * static_cast<double>(confusion.count(label, predicted)) /
         static_cast<double>(confusion.samples(label));
}

std::string confusion_csv(const ClassResults& results) {
  const std::int64_t classes = results.confusion.classes();
  std::string text = "class";
  for (const std::string& name : results.classes) text += "," + csv_text(name);
  for (std::int64_t label = 0; label < classes; ++label) {
    text += "\n" + csv_text(results.classes[static_cast<std::size_t>(label)]);
    for (std::int64_t predicted = 0; predicted < classes; ++predicted) {
      const double share = percentage(results.confusion, label, predicted);
      text += std::isnan(share) ? "," : fmt::format(",{:.5g}", share);
    }
  }
  return text + "\n";
}

// Every class's name where there is room, else every second, third, …
std::string class_tics(const std::vector<std::string>& classes, double cell) {
  const auto stride = static_cast<std::size_t>(std::ceil(11 / cell));
  std::string tics;
  for (std::size_t i = 0; i < classes.size(); i += stride) {
    tics += fmt::format("{}{} {}", tics.empty() ? "" : ", \\\n  ",
                        gnuplot_tic_label(shortened(classes[i], most_name_characters)), i);
  }
  return tics;
}

std::string confusion_script(const std::string& name, const std::string& label, const ClassResults& results) {
  const std::int64_t classes = results.confusion.classes();
  std::size_t longest = 0;
  for (const std::string& c : results.classes) longest = std::max(longest, c.size());
  const int names = static_cast<int>(std::min(longest, most_name_characters)) * name_width + 42;
  const int width = names + side + 90, height = side + names + 8;
  return script_head(name, "Classes of " + label + ", true × predicted, in % of the true", width, height) +
         fmt::format(R"(unset grid
unset key
set margins at screen {left}, at screen {right}, at screen {bottom}, at screen {top}
set label "predicted" at graph 0.5, screen {label_at_bottom} center
set label "true" at screen {label_at_left}, graph 0.5 rotate by 90 center
set cblabel "% of the class" offset 0.5, 0
set xrange [-0.5 : {classes} - 0.5]
set yrange [{classes} - 0.5 : -0.5]
set cbrange [0 : 100]
set cbtics font ",11" scale 0.4
set colorbox user origin {right} + 0.014, {bottom} size 0.03, {top} - {bottom} noborder
{palette}
set xtics scale 0 rotate by 90 right font ",10" ({tics})
set ytics scale 0 font ",10" ({tics})

plot '{name}.csv' matrix every 1:1:1:1 using ($1 - 1):($2 - 1):3 with image{pixels} notitle
unset output
)",
                     fmt::arg("left", static_cast<double>(names) / width),
                     fmt::arg("right", static_cast<double>(names + side) / width),
                     fmt::arg("bottom", static_cast<double>(names) / height),
                     fmt::arg("top", static_cast<double>(names + side) / height),
                     fmt::arg("label_at_left", 12.0 / width), fmt::arg("label_at_bottom", 10.0 / height),
                     fmt::arg("pixels", classes <= most_separate_classes ? " pixels" : ""),
                     fmt::arg("classes", classes), fmt::arg("palette", palette(2)),
                     fmt::arg("tics", class_tics(results.classes, side / static_cast<double>(classes))),
                     fmt::arg("name", name));
}

std::string pictures_html(const std::vector<ClassFigure>& figures, const std::vector<Group>& groups,
                          const ReportFolder& folder) {
  std::string html;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::string& name = figures[i].name;
    if (name.empty()) continue;
    html += "<figure>\n<div class=\"map-title\">" + html_label(i, groups[i].label) + "</div>\n" +
            inline_svg(folder.path() / (name + ".svg"), "Confusion matrix of " + groups[i].label) +
            "\n<figcaption>" + figure_links(folder.name(), name) + "</figcaption>\n</figure>\n";
  }
  if (html.empty()) return "";
  return "<p class=\"note\">Rows: true classes; across: what their images were taken for, in % of the class. "
         "The colours are finest for small shares.</p>\n<div class=\"figures maps\">\n" +
         html + "</div>\n";
}

// "ship, 8.1"
std::string most_confused_html(const ClassResults& results, std::int64_t label) {
  const std::int64_t with = results.confusion.most_confused_with(label);
  if (with < 0) return no_value;
  return fmt::format("{}, {:.1f}", escape_html(results.classes[static_cast<std::size_t>(with)]),
                     percentage(results.confusion, label, with));
}

// Of the contenders `of`, which tell the same classes apart.
std::string class_table(const std::vector<std::size_t>& of, const std::vector<ClassFigure>& figures,
                        const std::vector<Group>& groups) {
  const ClassResults& first = *figures[of.front()].results;
  HtmlTable table{{"Class", "Test images"}};
  for (const std::size_t i : of) {
    table.header.push_back(html_label(i, groups[i].label) + " accuracy, %");
    table.header.emplace_back("most often taken for, %");
    table.text_columns.push_back(table.header.size() - 1);
  }
  for (std::size_t c = 0; c < first.classes.size(); ++c) {
    const auto label = static_cast<std::int64_t>(c);
    std::vector<std::string> row{escape_html(first.classes[c]), format_count(first.confusion.samples(label))};
    for (const std::size_t i : of) {
      const ClassResults& results = *figures[i].results;
      const double accuracy = 100 * results.confusion.accuracy(label);
      row.push_back(std::isnan(accuracy) ? no_value : fmt::format("{:.2f}", accuracy));
      row.push_back(most_confused_html(results, label));
    }
    table.rows.push_back(std::move(row));
  }
  if (table.rows.size() <= most_open_rows) return table.str();
  return fmt::format("<details><summary>Accuracy of each of {} classes</summary>\n{}</details>\n",
                     table.rows.size(), table.str());
}

// A table for each list of classes and numbers of images that contenders were tested on.
std::string class_tables(const std::vector<ClassFigure>& figures, const std::vector<Group>& groups) {
  const auto tested_on_the_same = [](const ClassResults& a, const ClassResults& b) {
    if (a.classes != b.classes) return false;
    for (std::int64_t c = 0; c < a.confusion.classes(); ++c)
      if (a.confusion.samples(c) != b.confusion.samples(c)) return false;
    return true;
  };
  std::vector<std::vector<std::size_t>> tables;
  for (std::size_t i = 0; i < figures.size(); ++i) {
    if (!figures[i].results) continue;
    const auto table = std::find_if(tables.begin(), tables.end(), [&](const auto& of) {
      return tested_on_the_same(*figures[of.front()].results, *figures[i].results);
    });
    if (table == tables.end()) {
      tables.push_back({i});
    } else {
      table->push_back(i);
    }
  }
  std::string html;
  for (const auto& of : tables) html += class_table(of, figures, groups);
  return html;
}

}  // namespace

std::vector<ClassFigure> write_class_figures(const std::vector<Group>& groups, const ReportFolder& folder) {
  std::vector<ClassFigure> figures;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    ClassFigure& figure = figures.emplace_back(read_classes(groups[i]));
    if (!figure.results || figure.results->confusion.classes() > most_drawn_classes) continue;
    figure.name = fmt::format("confusion-{}", i + 1);
    folder.write(figure.name + ".csv", confusion_csv(*figure.results));
    folder.write(figure.name + ".gp", confusion_script(figure.name, groups[i].label, *figure.results));
  }
  return figures;
}

std::string classes_html(const std::vector<ClassFigure>& figures, const std::vector<Group>& groups,
                         const ReportFolder& folder) {
  std::string missing;
  bool any = false, undrawn = false;
  for (std::size_t i = 0; i < figures.size(); ++i) {
    any = any || figures[i].results;
    undrawn = undrawn || (figures[i].results && figures[i].name.empty());
    if (figures[i].results) continue;
    missing += fmt::format("<p class=\"note\">Nothing of {} ({}).</p>\n", escape_html(groups[i].label),
                           escape_html(figures[i].problem));
  }
  if (!any) return "";
  if (undrawn)
    missing += fmt::format("<p class=\"note\">More than {} classes are not drawn.</p>\n", most_drawn_classes);
  return "<p>How the final weights do on the test images of each class: those of each contender’s first "
         "complete run.</p>\n" +
         missing + pictures_html(figures, groups, folder) + class_tables(figures, groups);
}

}  // namespace lamina::compare
