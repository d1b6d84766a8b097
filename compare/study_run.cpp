#include "compare/study_run.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>

#include "compare/study_data.h"
#include "compare/study_evaluation.h"
#include "core/base/atomic_file.h"
#include "core/base/directory_entries.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/interrupt.h"
#include "core/base/json_number.h"
#include "core/base/note.h"
#include "core/base/option_name.h"
#include "core/base/table.h"
#include "core/base/whole_file.h"
#include "train/recipe_run.h"
#include "train/run_config.h"

namespace lamina::compare {
namespace fs = std::filesystem;
namespace {

const char* const failure_file = "failure.txt";
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

enum class CellState { absent, stopped, finished, failed };

// Nothing if config.json is missing, or is torn and there is no checkpoint: the run never got to start. One
// that cannot be read is an error: what it belongs to must not be started over.
std::optional<nlohmann::json> config_of(const fs::path& run) {
  if (!train::RunDirectory::holds_run(run)) return {};
  const auto directory = train::RunDirectory::open(run);
  const std::string text = read_text(directory.file("config.json"));
  if (directory.checkpoint_steps().empty() && !nlohmann::json::accept(text)) return {};
  return directory.read_config();
}

CellState state_of(const Cell& cell, const fs::path& run) {
  const auto config = config_of(run);
  if (!config) return CellState::absent;
  const std::string source = (run / "config.json").string();
  check(config->contains("options"), "{}: no \"options\": not the configuration of a run", source);
  const std::string differences = train::list_differences(
      to_json(cell.recipe), to_json(train::recipe_from_json(config->at("options"), source)));
  if (!differences.empty()) {
    fail_usage(
        "{}: this run was made with other options than the study says now:{}\nRemove it to have it run "
        "again, or choose another {}",
        run.string(), differences, option_name("directory"));
  }
  if (is_there(run / failure_file)) return CellState::failed;
  // Versions before left a run that was stopped in its final evaluation with its weights alone; pretraining
  // has none. Without a checkpoint to make it from, those weights are all there will be.
  const bool evaluated = cell.recipe.method || is_there(run / "evaluation.json") ||
                         train::RunDirectory::open(run).checkpoint_steps().empty();
  const bool ended = is_there(run / "weights.safetensors") && evaluated;
  return ended ? CellState::finished : CellState::stopped;
}

struct Task {
  const Cell* cell;
  fs::path path;
  bool resume;
};

// What is still to be done.
std::vector<Task> make_tasks(const std::vector<Cell>& cells, const StudyDirectory& directory,
                             bool retry_failed) {
  std::vector<Task> tasks;
  for (const Cell& cell : cells) {
    const fs::path path = directory.run(cell);
    const CellState state = state_of(cell, path);
    if (state == CellState::finished || (state == CellState::failed && !retry_failed)) continue;
    tasks.push_back({&cell, path, state == CellState::stopped});
  }
  return tasks;
}

// Nothing that is there of such a run counts.
bool starts_over(const Cell& cell, const std::vector<Task>& tasks) {
  return std::any_of(tasks.begin(), tasks.end(),
                     [&](const Task& task) { return task.cell == &cell && !task.resume; });
}

// How many steps an epoch of the run has, which its options and its data give; nothing where it does not say.
std::optional<std::int64_t> steps_per_epoch_of(const nlohmann::json& config) {
  const auto steps =
      config.value(nlohmann::json::json_pointer("/resolved/steps_per_epoch"), nlohmann::json());
  return whole_number<std::int64_t>(steps);
}

// In words, what the run has settled that its options do not come to any more.
std::vector<std::string> settled_differences(const Cell& cell, const nlohmann::json& config,
                                             const std::string& source) {
  std::vector<std::string> differences;
  if (const auto steps = steps_per_epoch_of(config))
    differences = train::knob_differences(train::knobs_of_run(config),
                                          optimizer_of(train::resolve(cell.recipe), *steps).knobs());
  const nlohmann::json resolved = config.value("resolved", nlohmann::json::object());
  for (std::string& difference :
       train::pretraining_differences(resolved, cell.recipe, train::data_of_run(config, source).height))
    differences.push_back(std::move(difference));
  return differences;
}

// Throws UsageError naming the runs that equal options of another version made with other knobs, views or
// losses: their results are not those of the rest.
void check_same_settled(const std::vector<Cell>& cells, const StudyDirectory& directory,
                        const std::vector<Task>& tasks) {
  std::string text;
  for (const Cell& cell : cells) {
    if (starts_over(cell, tasks)) continue;
    const fs::path run = directory.run(cell);
    const auto config = config_of(run);
    if (!config) continue;
    const auto differences = settled_differences(cell, *config, (run / "config.json").string());
    if (!differences.empty()) text += fmt::format("\n  {}: {}", cell.name, fmt::join(differences, "; "));
  }
  if (text.empty()) return;
  fail_usage(
      "study directory {}: these runs were made with what the same options do not give now, by another "
      "version's defaults:{}\nRemove them (in {}) to have them run again, or choose another {}",
      directory.path().string(), text, directory.file("runs").string(), option_name("directory"));
}

// Data that are gone cannot be compared. A finished run that had the same name for them is then taken as it
// is; one that had another might be of anything.
std::vector<std::string> differences_of_data(const Cell& cell, const nlohmann::json& config,
                                             const std::string& source, bool needs_images, DataSets& data) {
  const data::DataIdentity there = train::data_of_run(config, source);
  const bool same_name = config.at("options").at("data") == cell.recipe.data;
  std::vector<std::string> differences;
  try {
    differences = data::data_differences(there, data.identity_of(train::resolve(cell.recipe)));
  } catch (const Error& error) {
    if (needs_images || !same_name) throw;
    note("{}: whether its data are the same as now cannot be told: {}", source, error.what());
  }
  if (differences.empty() && there.train.digest.empty() && !same_name)
    note(
        "{}: an earlier version of Lamina made it with {}, and kept no digest of the images; "
        "by number, classes, mean and deviation they may be those of {}",
        source, config["options"]["data"].dump(), cell.recipe.data);
  return differences;
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

// Trains one run to its end or its failure, and says which; nothing: it was stopped before.
std::optional<std::string> run_cell(const Task& task, DataSets& data, const StudyRunOptions& options,
                                    StudyObserver& observer) {
  const Cell& cell = *task.cell;
  train::RunDirectory run = task.resume ? train::RunDirectory::open(task.path) : start_over(task.path);
  run.lock();
  const fs::path failure = run.file(failure_file);
  Observer* const onlooker = observer.start_run(cell);
  try {
    const train::ResolvedRecipe recipe = train::resolve(cell.recipe, run);
    train::RecipeRun training(make_setup(recipe, data.of(recipe)), std::move(run),
                              options.command ? options.command(cell.recipe) : "");
    if (onlooker != nullptr) training.trainer().observe(*onlooker);
    const auto curvature = options.curvature ? options.curvature(training.setup()) : nullptr;
    if (curvature) training.trainer().observe(*curvature);
    const TrainingOutcome outcome = training.trainer().run();
    if (!outcome.finished) return {};
    return describe(outcome.position);
  } catch (const Diverged& error) {
    write_file_atomically(failure, std::string(error.what()) + "\n");
    return "failed: " + first_line(error.what());
  }
}

// Trains and measures what is missing of a cell; false: a signal has stopped it.
bool finish_cell(const Cell& cell, const Task* task, StudyEvaluation& evaluation, DataSets& data,
                 const StudyRunOptions& options, StudyObserver& observer) {
  if (InterruptHandler::signal() != 0) return false;
  std::optional<std::string> trained = "";
  if (task != nullptr) trained = run_cell(*task, data, options, observer);
  if (!trained) return false;
  const auto measured = evaluation.measure_run(cell);
  if (task != nullptr)
    observer.end_run(cell, *trained + (measured && !measured->empty() ? ", " + *measured : ""));
  if (!measured) return false;
  if (task == nullptr && !measured->empty()) observer.evaluated(cell.label, cell, *measured);
  if (evaluation.baselines().empty()) return true;
  const Baseline& baseline = baseline_of(cell, evaluation.baselines());
  const auto of_baseline = evaluation.measure_baseline(baseline);
  if (of_baseline && !of_baseline->empty()) observer.evaluated(baseline.label, cell, *of_baseline);
  return of_baseline.has_value();
}

// Throws UsageError naming a run that is there and was made with other data than the study has now.
void check_same_data(const std::vector<Cell>& cells, const StudyDirectory& directory,
                     const std::vector<Task>& tasks, DataSets& data) {
  for (const Cell& cell : cells) {
    const fs::path path = directory.run(cell);
    const auto config = config_of(path);
    if (!config || starts_over(cell, tasks)) continue;
    const bool needs_images =
        std::any_of(tasks.begin(), tasks.end(), [&](const Task& task) { return task.cell == &cell; });
    const std::vector<std::string> differences =
        differences_of_data(cell, *config, (path / "config.json").string(), needs_images, data);
    if (differences.empty()) continue;
    fail_usage(
        "{}: this run was made with other data than the study has now:\n  {}\nRemove it to have it run "
        "again, or choose another {}",
        path.string(), fmt::join(differences, "\n  "), option_name("directory"));
  }
}

}  // namespace

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
  const std::vector<Task> tasks = make_tasks(cells, directory, options.retry_failed);
  check_same_settled(cells, directory, tasks);
  DataSets data;
  std::vector<double> images;
  for (const Task& task : tasks) {  // which also tells whether the batches fit, before anything runs
    const train::ResolvedRecipe recipe = train::resolve(task.cell->recipe);
    const data::Loader loader(data.of(recipe).set.train, recipe.loader);
    images.push_back(static_cast<double>(recipe.recipe.epochs * loader.samples()));
    check_measurable(study, *task.cell, data.of(recipe).set);
  }
  if (InterruptHandler::signal() != 0) return InterruptHandler::signal();
  check_same_data(cells, directory, tasks, data);
  write_file_atomically(directory.file("study.toml"), study.text);
  StudyObserver nobody;
  StudyObserver& observer = options.observer != nullptr ? *options.observer : nobody;
  observer.start(images, cells.size() - tasks.size());
  StudyEvaluation evaluation(study, cells, directory, data, observer);
  for (const Cell& cell : cells) {
    const auto task =
        std::find_if(tasks.begin(), tasks.end(), [&](const Task& t) { return t.cell == &cell; });
    if (!finish_cell(cell, task == tasks.end() ? nullptr : &*task, evaluation, data, options, observer))
      break;
  }
  return InterruptHandler::signal();
}

}  // namespace lamina::compare
