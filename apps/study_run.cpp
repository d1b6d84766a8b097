#include "apps/study_run.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "apps/interrupt.h"
#include "apps/study_progress.h"
#include "apps/table.h"
#include "apps/train_run.h"
#include "apps/training.h"
#include "core/error.h"
#include "core/safetensors.h"

namespace lamina {
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
        "study directory {}: exists and is not a study's (no study.toml); choose another with --out",
        path.string());
  fs::create_directories(path, error);
  check(!error, "study directory {}: cannot be made: {}", path.string(), error.message());
  return path;
}

enum class CellState { absent, stopped, finished, failed };

// Nothing if config.json is missing or torn: the run never got to start.
std::optional<nlohmann::json> config_of(const fs::path& run) {
  try {
    if (RunDirectory::holds_run(run)) return RunDirectory::open(run).read_config();
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
  const std::string differences =
      list_differences(cell.options, train_options_from_json(config->at("options"), source));
  if (!differences.empty()) {
    fail_usage(
        "{}: this run was made with other options than the study says now:{}\nRemove it to have it run "
        "again, or "
        "choose another directory with --out",
        run.string(), differences);
  }
  if (fs::exists(run / failure_file)) return CellState::failed;
  return fs::exists(run / "weights.safetensors") ? CellState::finished : CellState::stopped;
}

// Each data set is opened once, for all the runs that use it.
class DataSets {
 public:
  const data::Dataset& of(const TrainOptions& options) {
    const auto key = std::tuple(options.data, options.limit_train, options.limit_test, options.image_size);
    const auto found = opened_.find(key);
    return found != opened_.end() ? found->second : opened_.emplace(key, open_data(options)).first->second;
  }

 private:
  std::map<std::tuple<std::string, std::int64_t, std::int64_t, int>, data::Dataset> opened_;
};

std::string describe(const EpochResult& best, const EpochResult& last, double seconds) {
  return fmt::format("best {:.2f} % after epoch {}, last {:.2f} %, {}", 100 * best.test.accuracy(),
                     best.epoch, 100 * last.test.accuracy(), format_duration(seconds));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

RunDirectory start_over(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  check(!error, "{}: cannot be removed to start the run over: {}", path.string(), error.message());
  return RunDirectory::create(path);
}

class CellRunner {
 public:
  CellRunner(DataSets& data, StudyProgress& study, Progress& progress)
      : data_(data), study_(study), progress_(progress) {}

  // Trains one run to its end, its failure or a signal.
  void run(const Cell& cell, const fs::path& path, bool resume) {
    RunDirectory run = resume ? RunDirectory::open(path) : start_over(path);
    run.lock();
    const std::string title = fmt::format("{}, seed {}", cell.label, cell.options.seed);
    study_.start_run(title);
    progress_.set_heading([this](const ProgressState& state) { return study_.heading(state); });
    std::string result;
    try {
      TrainingSetup setup = make_training_setup(cell.options, data_.of(cell.options));
      const auto [signal, position] = train_run(cell.options, setup, run, resume, progress_);
      if (signal != 0) return;
      result = describe(position.best, position.last, position.seconds);
    } catch (const Diverged& error) {
      write_file_atomically(run.file(failure_file), std::string(error.what()) + "\n");
      result = "failed: " + first_line(error.what());
    }
    progress_.print(fmt::format("{} {}: {}", study_.number(), title, result));
    study_.finish_run();
  }

 private:
  DataSets& data_;
  StudyProgress& study_;
  Progress& progress_;
};

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
            fmt::format("study directory {}: another process runs a study in it; wait for it, or choose "
                        "another with --out",
                        path_.string())) {}

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
    const TrainOptions& o = task.cell->options;
    images.push_back(static_cast<double>(o.epochs * make_loader(o, data.of(o)).samples()));
  }
  write_file_atomically(directory.file("study.toml"), study.text);
  StudyProgress study_progress(images, cells.size() - tasks.size());
  Progress progress(options.progress);
  CellRunner runner(data, study_progress, progress);
  for (const Task& task : tasks) {
    if (InterruptHandler::signal() == 0) runner.run(*task.cell, task.path, task.resume);
  }
  return InterruptHandler::signal();
}

}  // namespace lamina
