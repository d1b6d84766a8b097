#include "compare/study_run.h"

#include <algorithm>
#include <array>
#include <optional>

#include "compare/study_data.h"
#include "compare/study_evaluation.h"
#include "compare/study_tasks.h"
#include "core/base/atomic_file.h"
#include "core/base/directory_entries.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/interrupt.h"
#include "core/base/option_name.h"
#include "core/base/table.h"
#include "train/recipe_run.h"

namespace lamina::compare {
namespace fs = std::filesystem;
namespace {

constexpr std::array<std::string_view, 5> own_files{"study.toml", "results.csv", "table.md", "table.tex",
                                                    "report.html"};

// A folder that no study has written in yet.
bool is_unused(const fs::path& path) {
  if (kind_at(path) != fs::file_type::directory) return false;
  const std::vector<fs::path> files = entries_of(path);
  return std::all_of(files.begin(), files.end(), [](const fs::path& file) {
    return !target_of_temporary(file.filename().string()).empty();
  });
}

fs::path run_in(const fs::path& study, const Cell& cell) { return study / "runs" / cell.name; }

MadeFolders make_study_folder(const fs::path& path) {
  check(!is_there(path) || is_there(path / "study.toml") || is_unused(path),
        "study directory {}: exists and is not a study's (no study.toml); choose another {}", path.string(),
        option_name("directory"));
  try {
    return MadeFolders(path);
  } catch (const Error& failure) {
    fail("study directory {}", failure.what());
  }
}

std::string describe(const TrainingPosition& position) {
  const auto percent = [](const Metrics& m) { return m.samples > 0 ? 100 * m.mean(0) : 0; };
  const std::string time = format_duration(position.seconds);
  if (position.best.test.samples == 0)
    return fmt::format("loss {:.4f}, {}", position.last.train.loss(), time);
  return fmt::format("best {:.2f} % after epoch {}, last {:.2f} %, {}", percent(position.best.test),
                     position.best.epoch, percent(position.last.test), time);
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// Nothing but the run's own files goes.
train::RunDirectory start_over(const fs::path& path) {
  train::RunDirectory::remove_run(path);
  return train::RunDirectory::create(path);
}

// The settings are those of the run that is there, which every rank reads; its directory is rank 0's.
train::RecipeRun make_run(const Task& task, DataSets& data, const StudyRunOptions& options) {
  if (!train::RunRanks(options.ranks).leads()) {
    const train::Recipe& own = task.cell->recipe;
    const train::ResolvedRecipe recipe =
        task.resume ? train::resolve(own, train::RunDirectory::open(task.path)) : train::resolve(own);
    return {make_setup(recipe, data.on_host(recipe, options.ranks)), {}, "", options.ranks};
  }
  train::RunDirectory run = task.resume ? train::RunDirectory::open(task.path) : start_over(task.path);
  run.lock();
  const train::ResolvedRecipe recipe = train::resolve(task.cell->recipe, run);
  return {make_setup(recipe, data.on_host(recipe, options.ranks)), std::move(run),
          options.command ? options.command(task.cell->recipe) : "", options.ranks};
}

// Trains one run to its end or its failure, and says which; nothing: it was stopped before.
std::optional<std::string> run_cell(const Task& task, DataSets& data, const StudyRunOptions& options,
                                    StudyObserver& observer) {
  const bool leads = train::RunRanks(options.ranks).leads();
  Observer* const onlooker = observer.start_run(*task.cell);
  try {
    train::RecipeRun training = make_run(task, data, options);
    if (onlooker != nullptr) training.trainer().observe(*onlooker);
    const auto curvature = options.curvature ? options.curvature(training.setup()) : nullptr;
    if (curvature) training.trainer().observe(*curvature);
    const TrainingOutcome outcome = training.trainer().run();
    if (!outcome.finished) return {};
    return describe(outcome.position);
  } catch (const Diverged& error) {
    if (leads) write_file_atomically(task.path / failure_file, std::string(error.what()) + "\n");
    return "failed: " + first_line(error.what());
  }
}

// Trains and measures what is missing of a cell, as far as no signal stops it.
void finish_cell(const Cell& cell, const Task* task, StudyEvaluation& evaluation, DataSets& data,
                 const StudyRunOptions& options, StudyObserver& observer) {
  std::optional<std::string> trained = "";
  if (task != nullptr) trained = run_cell(*task, data, options, observer);
  if (!trained) return;
  const auto measured = evaluation.measure_run(cell);
  if (task != nullptr)
    observer.end_run(cell, *trained + (measured && !measured->empty() ? ", " + *measured : ""));
  if (!measured) return;
  if (task == nullptr && !measured->empty()) observer.evaluated(cell.label, cell, *measured);
  if (evaluation.baselines().empty()) return;
  const Baseline& baseline = baseline_of(cell, evaluation.baselines());
  const auto of_baseline = evaluation.measure_baseline(baseline);
  if (of_baseline && !of_baseline->empty()) observer.evaluated(baseline.label, cell, *of_baseline);
}

// The ranks go through the cells together, and stop before the same one. Returns the signal that stops them,
// or 0.
int go_through(const std::vector<Cell>& cells, const std::vector<Task>& tasks, const train::RunRanks& ranks,
               const std::function<void(const Cell&, const Task*)>& finish) {
  for (const Cell& cell : cells) {
    if (ranks.first_of(InterruptHandler::signal()) != 0) break;
    const auto task =
        std::find_if(tasks.begin(), tasks.end(), [&](const Task& t) { return t.cell == &cell; });
    finish(cell, task == tasks.end() ? nullptr : &*task);
  }
  return ranks.first_of(InterruptHandler::signal());
}

// Those of rank 0, on all.
std::vector<Task> hand_out(const std::vector<Task>& tasks, const std::vector<Cell>& cells,
                           const fs::path& study, const train::RunRanks& ranks) {
  nlohmann::json own = nlohmann::json::array();
  for (const Task& task : tasks) own.push_back({{"cell", task.cell - cells.data()}, {"resume", task.resume}});
  std::vector<Task> all;
  for (const nlohmann::json& task : ranks.hand_out(own)) {
    const Cell& cell = cells.at(task.at("cell"));
    all.push_back({&cell, run_in(study, cell), task.at("resume")});
  }
  return all;
}

void check_same_study(const std::vector<Cell>& cells, const train::RunRanks& ranks) {
  nlohmann::json runs = nlohmann::json::array();
  for (const Cell& cell : cells) runs.push_back(cell.name);
  ranks.check_alike({{"runs", runs}});
}

}  // namespace

fs::path StudyDirectory::run(const Cell& cell) const { return run_in(path_, cell); }

StudyDirectory::StudyDirectory(fs::path path)
    : made_(make_study_folder(path)),
      path_(std::move(path)),
      lock_(path_,
            fmt::format(
                "study directory {}: another process runs a study in it; wait for it, or choose another {}",
                path_.string(), option_name("directory"))) {
  remove_temporaries(path_, [](std::string_view target) {  // of a study that was killed
    return std::find(own_files.begin(), own_files.end(), target) != own_files.end();
  });
}

int run_cells(const Study& study, const std::vector<Cell>& cells, const StudyDirectory& directory,
              const StudyRunOptions& options) {
  const InterruptHandler interrupts;
  const train::RunRanks ranks(options.ranks);
  check_same_study(cells, ranks);
  const std::vector<Task> tasks = make_tasks(cells, directory, options.retry_failed);
  check_same_settled(cells, directory, tasks);
  DataSets data;
  std::vector<double> images;
  for (const Task& task : tasks) {  // which also tells whether the batches fit, before anything runs
    const train::ResolvedRecipe recipe = train::resolve(task.cell->recipe);
    const data::Loader loader = ranks.share_of(data::Loader(data.of(recipe).set.train, recipe.loader));
    train::check_parts(recipe.recipe, loader.options());
    images.push_back(static_cast<double>(recipe.recipe.epochs * loader.samples()));
    check_measurable(study, *task.cell, data.of(recipe).set);
  }
  if (const int signal = ranks.first_of(InterruptHandler::signal()); signal != 0) return signal;
  check_same_data(cells, directory, tasks, data);
  write_file_atomically(directory.file("study.toml"), study.text);
  hand_out(tasks, cells, directory.path(), ranks);
  StudyObserver nobody;
  StudyObserver& observer = options.observer != nullptr ? *options.observer : nobody;
  observer.start(images, cells.size() - tasks.size());
  StudyEvaluation evaluation(study, cells, directory, data, observer);
  return go_through(cells, tasks, ranks, [&](const Cell& cell, const Task* task) {
    finish_cell(cell, task, evaluation, data, options, observer);
  });
}

int run_cells_along(const std::vector<Cell>& cells, const fs::path& directory, Collective& others) {
  const InterruptHandler interrupts;
  const train::RunRanks ranks(&others);
  check_same_study(cells, ranks);
  if (const int signal = ranks.first_of(InterruptHandler::signal()); signal != 0) return signal;
  DataSets data;
  StudyObserver nobody;
  return go_through(cells, hand_out({}, cells, directory, ranks), ranks, [&](const Cell&, const Task* task) {
    if (task != nullptr) run_cell(*task, data, {.ranks = &others}, nobody);
  });
}

}  // namespace lamina::compare
