#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "analysis/recipe_curvature.h"
#include "apps/commands.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/study_screen.h"
#include "compare/report/report.h"
#include "compare/study_run.h"
#include "compare/study_table.h"
#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "core/parallel/collective.h"
#include "train/without_effect.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;
using namespace compare;  // what a study is made of

struct StudyCommand {
  std::string file, out, progress = "auto";
  train::Recipe overrides;
  std::set<std::string> given;  // of the overrides
  bool dry_run = false, retry_failed = false, json = false;
};

void print_plan(const std::vector<Cell>& cells) {
  for (const Cell& cell : cells) print_result("{}\n  {}\n", cell.name, command_line(cell.recipe));
  print_result("{} runs\n", cells.size());
}

std::vector<RunResult> read_results(const Study& study, const std::vector<Cell>& cells,
                                    const StudyDirectory& directory) {
  std::vector<RunResult> results;
  results.reserve(cells.size());
  for (const Cell& cell : cells)
    results.push_back(evaluated_as(study, read_run_result(directory.run(cell), cell.label)));
  return results;
}

std::string joined(const std::string& a, const std::string& b) {
  return a + (a.empty() || b.empty() ? "" : "\n\n") + b;
}

StudyTable table_of(const Study& study, const std::vector<Cell>& cells, const StudyDirectory& directory,
                    const std::vector<RunResult>& results) {
  if (!study.baseline) return make_study_table(study, cells, results);
  std::vector<RunResult> baselines = read_baselines(plan_baselines(cells), directory);
  for (RunResult& baseline : baselines) baseline = evaluated_as(study, std::move(baseline));
  return make_study_table(study, cells, results, baselines);
}

void write_study_report(const Study& study, const StudyTable& table, const fs::path& file) {
  std::vector<RunResult> shown;
  for (const StudyRow& row : table.rows)
    shown.insert(shown.end(), row.group.runs.begin(), row.group.runs.end());
  std::vector<Group> baselines;
  for (const StudyRow& row : table.baselines) baselines.push_back(row.group);
  write_report(shown, baselines, file,
               {.title = study.title, .introduction = joined(study.introduction, table.note)});
}

// Every file but the report first: that needs gnuplot.
void write_results(const Study& study, const std::vector<Cell>& cells, const StudyDirectory& directory,
                   bool json) {
  const std::vector<RunResult> results = read_results(study, cells, directory);
  const StudyTable table = table_of(study, cells, directory, results);
  write_file_atomically(directory.file("results.csv"), runs_as_csv(cells, results));
  write_file_atomically(directory.file("table.md"), as_markdown(table));
  write_file_atomically(directory.file("table.tex"), as_latex(table));
  if (json) {
    print_result_json(as_json(table));
  } else {
    print_note(stdout, "\n{}\n", as_text(table));
  }
  write_study_report(study, table, directory.file("report.html"));
  print_note(json ? stderr : stdout,
             "wrote {}/\n      results.csv  table.md  table.tex  report.html  runs/\n",
             directory.path().string());
}

int run_study(const StudyCommand& command) {
  const ProgressMode progress = parse_progress(command.progress);
  const Study study = read_study(command.file);
  const std::vector<Cell> cells = plan_cells(study, command.overrides, command.given);
  if (command.dry_run && command.json)
    fail_usage("study: --json does nothing with --dry-run: there is no table");
  if (command.dry_run) {
    print_plan(cells);
    return 0;
  }
  const fs::path path = command.out.empty() ? fs::path("runs") / study.file.stem() : fs::path(command.out);
  if (collective().rank() > 0) {
    const int signal = run_cells_along(cells, path, collective());
    return signal == 0 ? 0 : 128 + signal;
  }
  for (const Cell& cell : cells) {
    const std::string text = train::note_on_ranks(cell.recipe, collective().size());
    if (text.empty()) continue;
    note("{}", text);
    break;
  }
  const StudyDirectory directory(path);
  const int signal = [&] {
    StudyScreen screen(progress);
    return run_cells(study, cells, directory,
                     {.retry_failed = command.retry_failed,
                      .observer = &screen,
                      .command = command_line,
                      .curvature = analysis::curvature_of,
                      .ranks = &collective()});
  }();
  if (signal != 0 && !is_there(directory.file("study.toml"))) {
    print_note(stderr, "stopped before the first run; nothing is left of the study\n");
    return 128 + signal;
  }
  if (signal != 0) {
    print_note(stderr, "stopped; everything is saved in {}. The same command goes on with it.\n",
               directory.path().string());
    return 128 + signal;
  }
  write_results(study, cells, directory, command.json);
  return 0;
}

}  // namespace

void add_study_command(const Command& program) {
  const Command study = program.add(
      "study",
      "Run what a file describes, and compare; goes on where it was stopped. Options of lamina train, and "
      "pretrain, that are given here hold for all runs and win over the file's; their defaults, for what "
      "neither gives");
  auto command = std::make_shared<StudyCommand>();
  study.argument("FILE", command->file, "the study, in TOML: see docs/studies.md");
  study.option("--out", command->out, "directory of the study; default: runs/ and the file's name", "DIR");
  study.option("--dry-run", command->dry_run, "print the runs and their number; nothing else");
  study.option("--retry-failed", command->retry_failed, "run again, from the start, what diverged");
  study.option("--json", command->json, "the table as one JSON object on standard output, nothing else");
  study.option("--progress", command->progress, "auto, plain or none");
  add_all_options(study, command->overrides);  // for all runs; these win
  study.runs([study, command] {
    command->given = given_options(study);
    return run_study(*command);
  });
}

}  // namespace lamina::app
