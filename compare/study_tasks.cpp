#include "compare/study_tasks.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/json_number.h"
#include "core/base/note.h"
#include "core/base/option_name.h"
#include "core/base/whole_file.h"
#include "train/run_config.h"

namespace lamina::compare {
namespace fs = std::filesystem;
namespace {

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

}  // namespace

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

}  // namespace lamina::compare
