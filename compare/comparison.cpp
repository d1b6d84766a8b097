#include "compare/comparison.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "compare/compared_options.h"
#include "compare/measured_curvature.h"
#include "compare/on_one_line.h"
#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/json_number.h"
#include "core/base/whole_file.h"
#include "train/frozen_options.h"
#include "train/recipe.h"
#include "train/run_directory.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

std::string read_failure(const fs::path& path) {
  if (!is_there(path)) return "";
  std::string text = read_text(path);
  return text.erase(text.find_last_not_of(" \n") + 1);
}

// "on_diagonal" for a column "train_on_diagonal".
std::vector<std::string> quantities_in(const fs::path& epochs) {
  constexpr std::string_view prefix = "train_";
  std::vector<std::string> names;
  if (!is_there(epochs)) return names;
  for (const std::string& column : csv_columns(epochs))
    if (column.starts_with(prefix) && column != "train_loss" && column != "train_accuracy")
      names.push_back(column.substr(prefix.size()));
  return names;
}

std::vector<EpochRow> read_epochs(const fs::path& path, const std::vector<std::string>& quantities) {
  if (!is_there(path)) return {};
  std::vector<std::string> optional{"train_accuracy", "test_accuracy", "valid_accuracy",
                                    "valid_loss",     "knn_accuracy",  "lambda_1"};
  for (const std::string& name : quantities) optional.push_back("train_" + name);
  std::vector<EpochRow> epochs;
  for (const auto& row :
       read_csv(path, {"epoch", "train_loss", "test_loss", "seconds", "images_per_s"}, optional)) {
    epochs.push_back({.epoch = static_cast<std::int64_t>(row[0]),
                      .train_loss = row[1],
                      .train_accuracy = row[5],
                      .test_loss = row[2],
                      .test_accuracy = row[6],
                      .seconds = row[3],
                      .images_per_s = row[4],
                      .valid_accuracy = row[7],
                      .valid_loss = row[8],
                      .knn_accuracy = row[9],
                      .lambda_1 = row[10],
                      .quantities = {row.begin() + 11, row.end()}});
  }
  return epochs;
}

// NaN if it never was.
double last_measured(const std::vector<EpochRow>& epochs, double EpochRow::*value) {
  const auto row = std::find_if(epochs.rbegin(), epochs.rend(),
                                [&](const EpochRow& epoch) { return !std::isnan(epoch.*value); });
  return row == epochs.rend() ? std::nan("") : (*row).*value;
}

}  // namespace

std::uint64_t RunResult::seed() const { return option_of(*this, "seed").get<std::uint64_t>(); }

bool RunResult::validated() const {
  return std::any_of(epochs.begin(), epochs.end(),
                     [](const EpochRow& row) { return !std::isnan(row.valid_accuracy); });
}

const EpochRow* RunResult::best() const {
  const auto chosen_by = validated() ? &EpochRow::valid_accuracy : &EpochRow::test_accuracy;
  const EpochRow* best = nullptr;
  for (const EpochRow& row : epochs) {
    if (std::isnan(row.test_accuracy) || std::isnan(row.*chosen_by)) continue;
    if (best == nullptr || row.*chosen_by > best->*chosen_by) best = &row;
  }
  return best;
}

const EpochRow* RunResult::last() const {
  const auto tested = [](const EpochRow& row) { return !std::isnan(row.test_accuracy); };
  const auto row = std::find_if(epochs.rbegin(), epochs.rend(), tested);
  return row == epochs.rend() ? nullptr : &*row;
}

double RunResult::knn_accuracy() const {
  if (evaluations.contains("knn")) return evaluated_accuracy("knn");
  return last_measured(epochs, &EpochRow::knn_accuracy);
}

std::string lambda_1_text(const Statistic& s, const char* plus_minus) {
  return s.count == 1 ? fmt::format("{:.4g}", s.mean)
                      : fmt::format("{:.4g}{}{:.2g}", s.mean, plus_minus, s.std);
}

double RunResult::lambda_1() const { return last_measured(epochs, &EpochRow::lambda_1); }

double RunResult::evaluated_accuracy(const std::string& evaluation) const {
  for (const train::FrozenEvaluation& known : train::frozen_evaluations())
    if (known.name == evaluation && evaluations.contains(evaluation))
      return evaluations.at(evaluation).at(known.accuracy).get<double>();
  return std::nan("");
}

nlohmann::json read_evaluations_in(const fs::path& folder) {
  nlohmann::json evaluations = nlohmann::json::object();
  for (const train::FrozenEvaluation& known : train::frozen_evaluations()) {
    const fs::path file = folder / known.file;
    if (!is_there(file)) continue;
    const nlohmann::json json = nlohmann::json::parse(read_text(file), nullptr, /*allow_exceptions=*/false);
    check(json.is_object() && json.value(known.accuracy, nlohmann::json()).is_number(),
          "{}: holds no evaluation (\"{}\"); remove it, and its study measures it again", file.string(),
          known.accuracy);
    evaluations[known.name] = json;
  }
  return evaluations;
}

RunResult read_run_result(const fs::path& run, std::string label) {
  const train::RunDirectory directory = train::RunDirectory::open(run);
  const std::string source = directory.file("config.json").string();
  RunResult result;
  result.path = run;
  result.label = on_one_line(std::move(label));
  result.config = directory.read_config();
  check(result.config.contains("options") && result.config["options"].is_object(),
        "{}: no \"options\": not the configuration of a run", source);
  for (const char* name : {"seed", "epochs"}) {
    check(whole_number<std::uint64_t>(option_of(result, name)).has_value(),
          "{}: \"{}\" is {}, expected a whole number", source, name, as_text(option_of(result, name)));
  }
  check(option_of(result, "set").is_array(), "{}: \"set\" is not an array", source);
  result.quantities = quantities_in(directory.file("epochs.csv"));
  result.epochs = read_epochs(directory.file("epochs.csv"), result.quantities);
  result.evaluations = read_evaluations_in(run);
  if (is_there(directory.file("curvature.csv")) || !std::isnan(result.lambda_1()))
    result.curvature = curvature_of_run(run);
  result.failure = read_failure(directory.file("failure.txt"));
  const auto epochs = option_of(result, "epochs").get<std::uint64_t>();
  // The final weights are there before the last epoch of a run that was out of patience.
  const bool ended = is_there(directory.file("weights.safetensors"));
  result.complete = result.failure.empty() && !result.epochs.empty() &&
                    (ended || std::cmp_greater_equal(result.epochs.back().epoch, epochs));
  return result;
}

std::size_t Group::complete() const {
  return static_cast<std::size_t>(
      std::count_if(runs.begin(), runs.end(), [](const RunResult& run) { return run.complete; }));
}

const RunResult& Group::representative() const {
  const auto found =
      std::find_if(runs.begin(), runs.end(), [](const RunResult& run) { return run.complete; });
  return found == runs.end() ? runs.front() : *found;
}

std::vector<const RunResult*> Group::averaged_runs() const {
  std::vector<const RunResult*> averaged;
  for (const RunResult& run : runs)
    if (run.complete || complete() == 0) averaged.push_back(&run);
  return averaged;
}

const RunResult* Group::first_with(const std::string& file) const {
  const RunResult* first = nullptr;
  for (const RunResult& run : runs) {
    const bool better = first == nullptr || (run.complete && !first->complete);
    if (better && is_there(run.path / file)) first = &run;
  }
  return first;
}

std::set<std::string> Group::curvatures() const {
  std::set<std::string> ways;
  for (const RunResult* run : averaged_runs())
    if (!run->curvature.empty()) ways.insert(run->curvature);
  return ways;
}

std::string describe_runs(const Group& group) {
  const std::size_t all = group.runs.size(), complete = group.complete();
  if (complete == all) return std::to_string(all);
  std::string failure;
  std::size_t failed = 0;
  for (const RunResult& run : group.runs) {
    if (run.failure.empty()) continue;
    ++failed;
    if (failure.empty()) failure = run.failure.substr(0, run.failure.find('\n'));
  }
  std::string text = fmt::format("{} of {}", complete, all);
  if (all - complete > failed) text += fmt::format(", {} unfinished", all - complete - failed);
  if (failed > 0) text += fmt::format(", {} failed: {}", failed, failure);
  return text;
}

}  // namespace lamina::compare
