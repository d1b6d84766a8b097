#include <algorithm>
#include <memory>

#include "apps/commands.h"
#include "apps/output.h"
#include "compare/comparison.h"
#include "compare/report/report.h"
#include "core/base/directory_entries.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "train/run_directory.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;

struct ReportCommand {
  std::vector<std::string> runs;
  std::string output = "report.html";
  compare::ReportOptions options;
};

// The run directories below a folder, in the order of their paths; links to other folders are not followed. A
// folder that cannot be looked into might hold some: it is an error.
std::vector<fs::path> runs_below(const fs::path& folder) {
  std::vector<fs::path> runs;
  for (const fs::path& path : entries_of(folder)) {
    if (kind_at(path) != fs::file_type::directory) continue;
    if (train::RunDirectory::holds_run(path)) {
      runs.push_back(path);
    } else if (!fs::is_symlink(path)) {
      const std::vector<fs::path> deeper = runs_below(path);
      runs.insert(runs.end(), deeper.begin(), deeper.end());
    }
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

std::vector<fs::path> find_runs(const fs::path& path) {
  check(is_there(path), "report: {}: there is no such run", path.string());
  check(fs::is_directory(path), "report: {}: a file; expected a run directory or a folder of them",
        path.string());
  if (train::RunDirectory::holds_run(path)) return {path};
  std::vector<fs::path> runs = runs_below(path);
  check(!runs.empty(), "report: {}: neither a run directory (no config.json) nor a folder that holds any",
        path.string());
  return runs;
}

struct LabelledPath {
  std::string label, path;
};

// "LABEL=RUN", unless there is something of that whole name.
LabelledPath split_label(const std::string& argument) {
  const std::size_t equals = argument.find('=');
  std::error_code too_long;  // a name of more than 255 bytes, with a long label
  if (equals == std::string::npos || fs::exists(argument, too_long)) return {"", argument};
  return {argument.substr(0, equals), argument.substr(equals + 1)};
}

int run_report(const ReportCommand& command) {
  std::vector<compare::RunResult> runs;
  for (const std::string& argument : command.runs) {
    const auto [label, path] = split_label(argument);
    for (const fs::path& run : find_runs(path)) runs.push_back(compare::read_run_result(run, label));
  }
  compare::write_report(runs, command.output, command.options);
  print_result("wrote {}\n", command.output);
  return 0;
}

}  // namespace

void add_report_command(const Command& program) {
  const Command report = program.add("report", "A page with the tables, curves and maps of runs");
  auto command = std::make_shared<ReportCommand>();
  report.argument("runs", command->runs, "[LABEL=]RUN: run directories, or folders of them");
  report.option("-o,--output", command->output, "the page; its figures go to a folder beside it",
                "FILE.html");
  report.option("--title", command->options.title, "heading of the page");
  report.option("--introduction", command->options.introduction, "a text below the heading");
  report.option("--all-layers", command->options.all_layers,
                "maps: biases and normalisation layers too, not only weights");
  report.runs([command] { return run_report(*command); });
}

}  // namespace lamina::app
