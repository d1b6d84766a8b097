#include "compare/study_run.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/option_name.h"
#include "core/base/table.h"
#include "train/recipe_run.h"

namespace lamina::compare {
namespace fs = std::filesystem;
namespace {

const char* const failure_file = "failure.txt";

// A folder that no study has written in yet.
bool is_unused(const fs::path& path) {
  if (!fs::is_directory(path)) return false;
  const fs::directory_iterator entries(path);
  return std::all_of(begin(entries), end(entries),
                     [](const auto& entry) { return entry.path().extension() == ".tmp"; });
}

fs::path made_directory(fs::path path) {
  std::error_code error;
  check(!fs::exists(path, error) || fs::exists(path / "study.toml", error) || is_unused(path),
        "study directory {}: exists and is not a study's (no study.toml); choose another {}", path.string(),
        option_name("directory"));
  fs::create_directories(path, error);
  check(!error, "study directory {}: cannot be made: {}", path.string(), error.message());
  return path;
}

enum class CellState { absent, stopped, finished, failed };

// Nothing if config.json is missing or torn: the run never got to start.
std::optional<nlohmann::json> config_of(const fs::path& run) {
  try {
    if (train::RunDirectory::holds_run(run)) return train::RunDirectory::open(run).read_config();
  } catch (const Error&) {
    return {};
  }
  return {};
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
  if (fs::exists(run / failure_file)) return CellState::failed;
  return fs::exists(run / "weights.safetensors") ? CellState::finished : CellState::stopped;
}

// Each data set is opened once, for all the runs that use it.
class DataSets {
 public:
  const train::TrainingData& of(const train::ResolvedRecipe& resolved) {
    const train::Recipe& r = resolved.recipe;
    const auto key = std::tuple(r.data, r.limit_train, r.limit_test, r.image_size, r.valid, r.normalise);
    const auto found = opened_.find(key);
    return found != opened_.end() ? found->second
                                  : opened_.emplace(key, train::open_data(resolved)).first->second;
  }

 private:
  std::map<std::tuple<std::string, std::int64_t, std::int64_t, int, double, std::string>, train::TrainingData>
      opened_;
};

std::string describe(const TrainingPosition& position) {
  const auto percent = [](const Metrics& m) { return m.samples > 0 ? 100 * m.mean(0) : 0; };
  return fmt::format("best {:.2f} % after epoch {}, last {:.2f} %, {}", percent(position.best.test),
                     position.best.epoch, percent(position.last.test), format_duration(position.seconds));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

train::RunDirectory start_over(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  check(!error, "{}: cannot be removed to start the run over: {}", path.string(), error.message());
  return train::RunDirectory::create(path);
}

// Trains one run to its end or its failure; false: it was stopped before.
bool run_cell(const Cell& cell, const fs::path& path, bool resume, DataSets& data,
              const StudyRunOptions& options, StudyObserver& observer) {
  train::RunDirectory run = resume ? train::RunDirectory::open(path) : start_over(path);
  run.lock();
  const fs::path failure = run.file(failure_file);
  Observer* const onlooker = observer.start_run(cell);
  std::string result;
  try {
    const train::ResolvedRecipe recipe = train::resolve(cell.recipe, run);
    train::RecipeRun training(make_setup(recipe, data.of(recipe)), std::move(run),
                              options.command ? options.command(cell.recipe) : "");
    if (onlooker != nullptr) training.trainer().observe(*onlooker);
    const TrainingOutcome outcome = training.trainer().run();
    if (!outcome.finished) return false;
    result = describe(outcome.position);
  } catch (const Diverged& error) {
    write_file_atomically(failure, std::string(error.what()) + "\n");
    result = "failed: " + first_line(error.what());
  }
  observer.end_run(cell, result);
  return true;
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

}  // namespace

StudyDirectory::StudyDirectory(fs::path path)
    : path_(made_directory(std::move(path))),
      lock_(path_,
            fmt::format(
                "study directory {}: another process runs a study in it; wait for it, or choose another {}",
                path_.string(), option_name("directory"))) {}

StudyDirectory::~StudyDirectory() {
  std::error_code not_empty;
  fs::remove(path_, not_empty);
}

int run_cells(const Study& study, const std::vector<Cell>& cells, const StudyDirectory& directory,
              const StudyRunOptions& options) {
  const InterruptHandler interrupts;
  const std::vector<Task> tasks = make_tasks(cells, directory, options.retry_failed);
  DataSets data;
  std::vector<double> images;
  for (const Task& task : tasks) {  // which also tells whether the batches fit, before anything runs
    const train::ResolvedRecipe recipe = train::resolve(task.cell->recipe);
    const data::Loader loader(data.of(recipe).set.train, recipe.loader);
    images.push_back(static_cast<double>(recipe.recipe.epochs * loader.samples()));
  }
  write_file_atomically(directory.file("study.toml"), study.text);
  StudyObserver nobody;
  StudyObserver& observer = options.observer != nullptr ? *options.observer : nobody;
  observer.start(images, cells.size() - tasks.size());
  for (const Task& task : tasks) {
    if (InterruptHandler::signal() != 0 ||
        !run_cell(*task.cell, task.path, task.resume, data, options, observer))
      break;
  }
  return InterruptHandler::signal();
}

}  // namespace lamina::compare
