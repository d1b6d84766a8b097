#include "compare/study_table.h"
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "compare/toml_file.h"
#include "core/base/error.h"
#include "core/base/table.h"

namespace lamina::compare {
namespace {

using Strings = std::vector<std::string>;

bool contains(const Strings& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// The options that some cell varies, in the order of their first appearance.
Strings varied_options(const std::vector<Cell>& cells) {
  Strings names;
  for (const Cell& cell : cells) {
    for (const auto& [name, value] : cell.point) {
      if (!contains(names, name)) names.push_back(name);
    }
  }
  return names;
}

// What a cell's options say, or "-" where they leave it to the preset.
std::string value_of(const Cell& cell, const std::string& name) {
  if (name.starts_with("set.")) {
    const std::string setting = short_name(name) + "=";
    for (const std::string& text : cell.recipe.set) {
      if (text.starts_with(setting)) return text.substr(setting.size());
    }
    return "-";
  }
  const nlohmann::json value = to_json(cell.recipe)[name];
  return value.is_null() ? "-" : plain_text(value);
}

Strings values_of(const Cell& cell, const Strings& names) {
  Strings values;
  for (const std::string& name : names) values.push_back(value_of(cell, name));
  return values;
}

std::vector<StudyRow> all_rows(const Strings& columns, const std::vector<Cell>& cells,
                               const std::vector<RunResult>& results) {
  std::vector<StudyRow> rows;
  std::map<std::string, bool> seen;
  for (const Cell& cell : cells) {
    if (!seen.emplace(cell.label, true).second) continue;
    std::vector<RunResult> seeds;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (cells[i].label == cell.label) seeds.push_back(results[i]);
    }
    for (Group& group : group_runs(seeds)) {
      rows.push_back({cell.contender, values_of(cell, columns), std::move(group)});
    }
  }
  return rows;
}

// Of random weights: a column is theirs where they depend on its option.
std::vector<StudyRow> baseline_rows(const Strings& columns, const std::vector<RunResult>& baselines) {
  std::vector<StudyRow> rows;
  for (const RunResult& baseline : baselines) {
    auto row = std::find_if(rows.begin(), rows.end(),
                            [&](const StudyRow& other) { return other.contender == baseline.label; });
    if (row == rows.end()) {
      StudyRow made{.contender = baseline.label, .values = {}, .group = {}};
      made.group.label = baseline.label;
      const nlohmann::json& options = baseline.config.at("options");
      for (const std::string& column : columns)
        made.values.push_back(
            options.contains(column) && !options[column].is_null() ? plain_text(options[column]) : "-");
      row = rows.insert(rows.end(), std::move(made));
    }
    row->group.runs.push_back(baseline);
  }
  for (StudyRow& row : rows) average(row.group);
  return rows;
}

// Rows that agree in this compete.
Strings competition(const StudyRow& row, const Strings& columns, const Strings& tuned) {
  Strings key{row.contender};
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!contains(tuned, columns[i])) key.push_back(row.values[i]);
  }
  return key;
}

Statistic Group::*accuracy_by(Criterion criterion) {
  switch (criterion) {
    case Criterion::best_accuracy:
      return &Group::best_accuracy;
    case Criterion::last_accuracy:
      return &Group::last_accuracy;
    case Criterion::linear_accuracy:
      return &Group::linear_accuracy;
    case Criterion::linear_as_official_accuracy:
      return &Group::linear_as_official_accuracy;
    case Criterion::knn_accuracy:
      break;
  }
  return &Group::knn_accuracy;
}

bool is_better(const Group& a, const Group& b, Criterion criterion) {
  const bool a_whole = a.complete() == a.runs.size(), b_whole = b.complete() == b.runs.size();
  if (a_whole != b_whole) return a_whole;
  const auto score = accuracy_by(criterion);
  const auto value = [&](const Group& group) { return (group.*score).count > 0 ? (group.*score).mean : -1; };
  return value(a) > value(b);
}

std::vector<StudyRow> best_rows(const std::vector<StudyRow>& rows, const Strings& columns,
                                const Strings& tuned, Criterion criterion) {
  std::vector<StudyRow> best;
  std::map<Strings, std::size_t> places;
  for (const StudyRow& row : rows) {
    const auto [place, is_new] = places.emplace(competition(row, columns, tuned), best.size());
    if (is_new) {
      best.push_back(row);
    } else if (is_better(row.group, best[place->second].group, criterion)) {
      best[place->second] = row;
    }
  }
  return best;
}

std::string selection_note(const Study& study, Criterion criterion) {
  Strings names;
  for (const std::string& name : study.tuned) names.push_back(short_name(name));
  return fmt::format(
      "For each contender, {} {} chosen by the mean {} on the test images, which flatters the result; "
      "results.csv has every run.",
      fmt::join(names, ", "), names.size() > 1 ? "were" : "was", describe(criterion));
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string csv_row(Strings cells) {
  for (std::string& cell : cells) cell = csv_cell(cell);
  return fmt::format("{}\n", fmt::join(cells, ","));
}

// The accuracies that runs_as_csv() has columns of beside those of tests.
Strings csv_scores(const std::vector<Cell>& cells, const std::vector<RunResult>& results) {
  const bool pretrained = std::any_of(cells.begin(), cells.end(),
                                      [](const Cell& cell) { return cell.recipe.method.has_value(); });
  Strings names;
  for (const train::FrozenEvaluation& evaluation : train::frozen_evaluations()) {
    const bool is_there = std::any_of(results.begin(), results.end(), [&](const RunResult& run) {
      return run.evaluations.contains(evaluation.name);
    });
    if (is_there || (evaluation.name == "knn" && pretrained)) names.push_back(evaluation.name);
  }
  return names;
}

Strings csv_results(const RunResult& run, const Strings& scores, bool curvature) {
  const EpochRow *best = run.best(), *last = run.last();
  double seconds = 0;
  for (const EpochRow& row : run.epochs) seconds += row.seconds;
  Strings cells{run.failure.empty() ? (run.complete ? "done" : "unfinished") : "failed"};
  cells.push_back(best == nullptr ? "" : fmt::format("{}", best->test_accuracy));
  cells.push_back(best == nullptr ? "" : fmt::format("{}", best->epoch));
  cells.push_back(last == nullptr ? "" : fmt::format("{}", last->test_accuracy));
  for (const std::string& name : scores) {
    const double accuracy = name == "knn" ? run.knn_accuracy() : run.evaluated_accuracy(name);
    cells.push_back(std::isnan(accuracy) ? "" : fmt::format("{}", accuracy));
  }
  if (curvature) cells.push_back(std::isnan(run.lambda_1()) ? "" : fmt::format("{}", run.lambda_1()));
  cells.push_back(last == nullptr ? "" : fmt::format("{}", last->test_loss));
  cells.push_back(run.epochs.empty() ? "" : fmt::format("{}", run.epochs.back().train_loss));
  cells.push_back(fmt::format("{:.1f}", seconds));
  return cells;
}

}  // namespace

std::vector<RunResult> read_baselines(const std::vector<Baseline>& baselines,
                                      const StudyDirectory& directory) {
  std::vector<RunResult> results;
  for (const Baseline& baseline : baselines) {
    RunResult result;
    result.path = directory.baseline(baseline.name);
    result.label = baseline.label;
    result.config = {{"options", baseline.options}};
    result.evaluations = read_evaluations_in(result.path);
    result.complete = true;
    results.push_back(std::move(result));
  }
  return results;
}

RunResult evaluated_as(const Study& study, RunResult result) {
  nlohmann::json kept = nlohmann::json::object();
  for (const train::FrozenEvaluation& evaluation : study.evaluations)
    if (result.evaluations.contains(evaluation.name))
      kept[evaluation.name] = result.evaluations[evaluation.name];
  result.evaluations = std::move(kept);
  return result;
}

StudyTable make_study_table(const Study& study, const std::vector<Cell>& cells,
                            const std::vector<RunResult>& results, const std::vector<RunResult>& baselines) {
  StudyTable table{.columns = varied_options(cells), .rows = {}, .note = {}};
  table.rows = all_rows(table.columns, cells, results);
  table.baselines = baseline_rows(table.columns, baselines);
  if (study.tuned.empty()) return table;
  const Criterion criterion = criterion_of(study, cells);
  table.rows = best_rows(table.rows, table.columns, study.tuned, criterion);
  table.note = selection_note(study, criterion);
  return table;
}

std::string runs_as_csv(const std::vector<Cell>& cells, const std::vector<RunResult>& results) {
  const Strings columns = varied_options(cells);
  Strings header{"run", "contender"};
  for (const std::string& column : columns) header.push_back(short_name(column));
  const Strings scores = csv_scores(cells, results);
  const bool curvature = std::any_of(cells.begin(), cells.end(),
                                     [](const Cell& cell) { return cell.recipe.sharpness_every > 0; });
  for (const char* name : {"seed", "state", "best_accuracy", "best_epoch", "last_accuracy"})
    header.emplace_back(name);
  for (const std::string& name : scores) header.push_back(name + "_accuracy");
  if (curvature) header.emplace_back("lambda_1");
  for (const char* name : {"last_test_loss", "last_train_loss", "seconds"}) header.emplace_back(name);
  std::string text = csv_row(header);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    Strings row{cells[i].name, cells[i].contender};
    for (std::string& value : values_of(cells[i], columns)) row.push_back(std::move(value));
    row.push_back(std::to_string(cells[i].recipe.seed));
    for (std::string& value : csv_results(results[i], scores, curvature)) row.push_back(std::move(value));
    text += csv_row(row);
  }
  return text;
}

}  // namespace lamina::compare
