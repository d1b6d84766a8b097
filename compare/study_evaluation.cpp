#include "compare/study_evaluation.h"

#include <algorithm>
#include <exception>

#include "compare/study_tasks.h"
#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/interrupt.h"
#include "core/base/made_folders.h"
#include "core/base/whole_file.h"
#include "train/frozen_evaluation.h"
#include "train/frozen_state.h"

namespace lamina::compare {
namespace fs = std::filesystem;
namespace {

struct Stopped final : std::exception {};

void stop_if_asked() {
  if (InterruptHandler::signal() != 0) throw Stopped();
}

// A file that is no JSON is of a disk that failed, and is made again.
bool is_current(const fs::path& file, const nlohmann::json& identity) {
  if (!is_there(file)) return false;
  const nlohmann::json kept = nlohmann::json::parse(read_text(file), nullptr, /*allow_exceptions=*/false);
  return kept.is_object() &&
         std::all_of(identity.items().begin(), identity.items().end(), [&](const auto& item) {
           return kept.value(item.key(), nlohmann::json()) == item.value();
         });
}

nlohmann::json with_settings(nlohmann::json identity, const train::FrozenEvaluation& evaluation) {
  identity["settings"] = train::settings_of(evaluation.options);
  return identity;
}

std::string describe_result(const train::FrozenEvaluation& evaluation, const nlohmann::json& result) {
  return fmt::format("{} {:.2f} %{}", evaluation.title, 100 * result.at(evaluation.accuracy).get<double>(),
                     result.value("converged", true) ? "" : " (not converged)");
}

}  // namespace

StudyEvaluation::StudyEvaluation(const Study& study, const std::vector<Cell>& cells,
                                 const StudyDirectory& directory, DataSets& data, StudyObserver& observer)
    : study_(study), directory_(directory), data_(data), observer_(observer) {
  if (study.baseline) baselines_ = plan_baselines(cells);
}

std::optional<std::string> StudyEvaluation::measure_run(const Cell& cell) {
  const fs::path path = directory_.run(cell);
  const bool is_whole = is_there(path / "weights.safetensors") && !is_there(path / failure_file);
  if (study_.evaluations.empty() || !is_whole) return "";
  train::RunDirectory run = train::RunDirectory::open(path);
  const train::ResolvedRecipe recipe = train::resolve(cell.recipe, run);
  train::ModelOptions options;
  options.device = recipe.device;
  train::Backbone backbone = train::load_backbone(path, options);
  const nlohmann::json identity{{"weights", train::digest_of(backbone.net.state())}};
  const auto missing = missing_in(path, identity);
  if (missing.empty()) return "";
  run.lock();
  run.remove_half_written();  // by a study that was killed
  return measure(missing, train::feature_source(std::move(backbone), data_.of(recipe).set), cell, path,
                 identity);
}

std::optional<std::string> StudyEvaluation::measure_baseline(const Baseline& baseline) {
  const fs::path path = directory_.baseline(baseline.name);
  const train::ResolvedRecipe recipe = train::resolve(baseline.cell->recipe);
  nlohmann::json options = baseline.options;
  options.erase("data");  // where they lie: what they are counts
  const nlohmann::json identity{{"options", options}, {"data_identity", to_json(data_.identity_of(recipe))}};
  const auto missing = missing_in(path, identity);
  if (missing.empty()) return "";
  const MadeFolders made(path);  // goes again if nothing comes of it
  remove_temporaries(path, [](std::string_view) { return true; });
  return measure(missing, train::untrained_source(recipe, data_.of(recipe).set), *baseline.cell, path,
                 identity);
}

std::vector<train::FrozenEvaluation> StudyEvaluation::missing_in(const fs::path& folder,
                                                                 const nlohmann::json& identity) const {
  std::vector<train::FrozenEvaluation> missing;
  for (const train::FrozenEvaluation& evaluation : study_.evaluations)
    if (!is_current(folder / evaluation.file, with_settings(identity, evaluation)))
      missing.push_back(evaluation);
  return missing;
}

std::optional<std::string> StudyEvaluation::measure(const std::vector<train::FrozenEvaluation>& missing,
                                                    train::FeatureSource source, const Cell& cell,
                                                    const fs::path& folder, const nlohmann::json& identity) {
  train::FrozenMeasurement measurement(std::move(source),
                                       {.workers = cell.recipe.workers, .on_batch = stop_if_asked});
  std::string text;
  for (const train::FrozenEvaluation& evaluation : missing) {
    observer_.evaluating(evaluation.title);
    try {
      nlohmann::json result = measurement.measure(evaluation);
      result.update(identity);
      write_file_atomically(folder / evaluation.file, result.dump(2) + "\n");
      text += (text.empty() ? "" : ", ") + describe_result(evaluation, result);
    } catch (const Stopped&) {
      return {};
    } catch (const Error& error) {
      fail("{}: evaluation {}: {}\nWhat was trained is whole; the same command goes on from here",
           folder.string(), evaluation.name, error.what());
    }
  }
  return text;
}

void check_measurable(const Study& study, const Cell& cell, const data::Dataset& data) {
  const bool is_measurable = data.train.size() >= 10 && data.test.size() > 0 && data.classes.size() > 1;
  if (!study.evaluations.empty() && !is_measurable)
    fail_usage(
        "run {}: {} training and {} test images of {} classes; to evaluate features takes at least 10, one, "
        "and two",
        cell.name, data.train.size(), data.test.size(), data.classes.size());
}

}  // namespace lamina::compare
