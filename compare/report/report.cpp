#include "compare/report/report.h"

#include "compare/comparison.h"

#include <algorithm>
#include <set>

#include "compare/report/configurations.h"
#include "compare/report/figures.h"
#include "compare/report/folder.h"
#include "compare/report/html.h"
#include "compare/report/result_tables.h"
#include "compare/report/summary.h"
#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/version.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

std::vector<RunResult> without_repetitions(const std::vector<RunResult>& runs) {
  std::set<fs::path> seen;
  std::vector<RunResult> kept;
  for (const RunResult& run : runs) {
    if (seen.insert(fs::weakly_canonical(run.path)).second) kept.push_back(run);
  }
  return kept;
}

std::string paragraphs(const std::string& text) {
  std::string html;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find("\n\n", begin), text.size());
    html += "<p>" + escape_html(text.substr(begin, end - begin)) + "</p>\n";
    begin = text.find_first_not_of('\n', end);
  }
  return html;
}

std::string section(const std::string& title, const std::string& html) {
  return html.empty() ? "" : "<section>\n<h2>" + title + "</h2>\n" + html + "</section>\n";
}

std::string footer(const ReportFolder& folder) {
  return fmt::format(
      "<footer>Made by Lamina {}. The data, the gnuplot script and the picture of "
      "every figure are in <a href=\"{}/\">{}</a>; a script makes the figure as PDF or PNG too.</footer>\n",
      escape_html(version()), relative_url(folder.name()), escape_html(folder.name()));
}

}  // namespace

void write_report(const std::vector<RunResult>& runs, const fs::path& output, const ReportOptions& options) {
  write_report(runs, {}, output, options);
}

void write_report(const std::vector<RunResult>& all_runs, const std::vector<Group>& baselines,
                  const fs::path& output, const ReportOptions& options) {
  const std::vector<RunResult> runs = without_repetitions(all_runs);
  check(!runs.empty(), "report: there are no runs to report on");
  const std::vector<Group> groups = group_runs(runs);
  const InterruptHandler interrupts;  // Ctrl-C is an error like any other: what is half made goes
  ReportFolder folder(output);
  folder.write("comparison.csv", comparison_csv(groups, baselines));
  const FiguresHtml figures = make_figures(groups, folder, options.all_layers);
  const std::string body =
      figures.symbols + "<h1>" + escape_html(options.title) + "</h1>\n" +
      summary_paragraph(groups, baselines) + paragraphs(options.introduction) +
      section("Comparison", comparison_table(groups, baselines)) + section("Curves", figures.curves) +
      section("Classes", figures.classes) + section("Curvature", figures.curvature) +
      section("Layers over training", figures.maps) + section("Configurations", configurations(groups)) +
      section("Runs", run_table(groups)) + footer(folder);
  folder.publish(html_page(options.title, body));
}

void report_on(const std::vector<fs::path>& paths, const fs::path& output, const ReportOptions& options) {
  std::vector<RunResult> runs;
  runs.reserve(paths.size());
  for (const fs::path& path : paths) runs.push_back(read_run_result(path));
  write_report(runs, output, options);
}

}  // namespace lamina::compare
