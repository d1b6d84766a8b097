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

std::string percent(const Statistic& s, const char* plus_minus) {
  if (s.count == 0) return "-";
  if (s.count == 1) return fmt::format("{:.2f}", 100 * s.mean);
  return fmt::format("{:.2f}{}{:.2f}", 100 * s.mean, plus_minus, 100 * s.std);
}

// "3", or "2, 1 failed".
std::string count_of(const Group& group) {
  const auto failed = std::count_if(group.runs.begin(), group.runs.end(),
                                    [](const RunResult& run) { return !run.failure.empty(); });
  return fmt::format("{}{}", group.complete(), failed > 0 ? fmt::format(", {} failed", failed) : "");
}

struct Score {
  const char* name;
  Statistic Group::*accuracy;
};

// Of pretraining the nearest neighbours' after the last epoch measured; else the tests'.
std::vector<Score> scores_of(const StudyTable& table) {
  const bool pretrained = std::any_of(table.rows.begin(), table.rows.end(),
                                      [](const StudyRow& row) { return row.group.knn_accuracy.count > 0; });
  if (pretrained) return {{"kNN", &Group::knn_accuracy}};
  return {{"best", &Group::best_accuracy}, {"last", &Group::last_accuracy}};
}

// How λ₁ was measured; empty if it never was.
std::string curvature_of(const StudyTable& table) {
  std::set<std::string> ways;
  for (const StudyRow& row : table.rows) ways.merge(row.group.curvatures());
  if (ways.size() < 2) return ways.empty() ? "" : *ways.begin();
  return fmt::format("in different ways, so that rows do not compare: {}", fmt::join(ways, "; "));
}

std::string lambda_1_cell(const Statistic& s, const char* plus_minus) {
  if (s.count == 0) return "-";
  return s.count == 1 ? fmt::format("{:.4g}", s.mean)
                      : fmt::format("{:.4g}{}{:.2g}", s.mean, plus_minus, s.std);
}

// Below the table, a line each.
Strings notes_of(const StudyTable& table) {
  Strings notes;
  if (const std::string how = curvature_of(table); !how.empty())
    notes.push_back("lambda_1: the largest eigenvalue of the training loss's Hessian, measured last, " + how +
                    ".");
  if (!table.note.empty()) notes.push_back(table.note);
  return notes;
}

Strings headings(const StudyTable& table) {
  Strings cells{"contender"};
  for (const std::string& column : table.columns) cells.push_back(short_name(column));
  for (const Score& score : scores_of(table)) cells.push_back(fmt::format("{} %", score.name));
  if (!curvature_of(table).empty()) cells.emplace_back("lambda_1");
  cells.emplace_back("runs");
  return cells;
}

Strings cells_of(const StudyTable& table, const StudyRow& row, const char* plus_minus) {
  Strings cells{row.contender};
  cells.insert(cells.end(), row.values.begin(), row.values.end());
  for (const Score& score : scores_of(table)) cells.push_back(percent(row.group.*score.accuracy, plus_minus));
  if (!curvature_of(table).empty()) cells.push_back(lambda_1_cell(row.group.lambda_1, plus_minus));
  cells.push_back(count_of(row.group));
  return cells;
}

std::string replaced(const std::string& text, const std::map<char, std::string>& by) {
  std::string result;
  for (const char c : text) result += by.contains(c) ? by.at(c) : std::string(1, c);
  return result;
}

std::string latex_text(const std::string& text) {
  return replaced(text, {{'\\', "\\textbackslash{}"},
                         {'&', "\\&"},
                         {'%', "\\%"},
                         {'$', "\\$"},
                         {'#', "\\#"},
                         {'_', "\\_"},
                         {'{', "\\{"},
                         {'}', "\\}"},
                         {'~', "\\textasciitilde{}"},
                         {'^', "\\textasciicircum{}"}});
}

std::string latex_row(Strings cells) {
  for (std::string& cell : cells) cell = latex_text(cell);
  return fmt::format("  {} \\\\\n", fmt::join(cells, " & "));
}

std::string markdown_row(Strings cells) {
  for (std::string& cell : cells) cell = replaced(cell, {{'|', "\\|"}});
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  return '"' + replaced(text, {{'"', "\"\""}}) + '"';
}

std::string csv_row(Strings cells) {
  for (std::string& cell : cells) cell = csv_cell(cell);
  return fmt::format("{}\n", fmt::join(cells, ","));
}

Strings csv_results(const RunResult& run, bool knn, bool curvature) {
  const EpochRow *best = run.best(), *last = run.last();
  double seconds = 0;
  for (const EpochRow& row : run.epochs) seconds += row.seconds;
  Strings cells{run.failure.empty() ? (run.complete ? "done" : "unfinished") : "failed"};
  cells.push_back(best == nullptr ? "" : fmt::format("{}", best->test_accuracy));
  cells.push_back(best == nullptr ? "" : fmt::format("{}", best->epoch));
  cells.push_back(last == nullptr ? "" : fmt::format("{}", last->test_accuracy));
  if (knn) cells.push_back(std::isnan(run.knn_accuracy()) ? "" : fmt::format("{}", run.knn_accuracy()));
  if (curvature) cells.push_back(std::isnan(run.lambda_1()) ? "" : fmt::format("{}", run.lambda_1()));
  cells.push_back(last == nullptr ? "" : fmt::format("{}", last->test_loss));
  cells.push_back(run.epochs.empty() ? "" : fmt::format("{}", run.epochs.back().train_loss));
  cells.push_back(fmt::format("{:.1f}", seconds));
  return cells;
}

}  // namespace

StudyTable make_study_table(const Study& study, const std::vector<Cell>& cells,
                            const std::vector<RunResult>& results) {
  StudyTable table{.columns = varied_options(cells), .rows = {}, .note = {}};
  table.rows = all_rows(table.columns, cells, results);
  if (study.tuned.empty()) return table;
  const Criterion criterion = criterion_of(study, cells);
  table.rows = best_rows(table.rows, table.columns, study.tuned, criterion);
  table.note = selection_note(study, criterion);
  return table;
}

std::string as_text(const StudyTable& table) {
  Table text(headings(table));
  for (const StudyRow& row : table.rows) text.add(cells_of(table, row, " ± "));
  std::string notes;
  for (const std::string& note : notes_of(table)) notes += "\n" + note + "\n";
  return text.str() + notes;
}

std::string as_markdown(const StudyTable& table) {
  const Strings header = headings(table);
  Strings rule(header.size(), "---:");
  rule.front() = "---";
  std::string text = markdown_row(header) + markdown_row(rule);
  for (const StudyRow& row : table.rows) text += markdown_row(cells_of(table, row, " ± "));
  for (const std::string& note : notes_of(table)) text += "\n" + note + "\n";
  return text;
}

std::string as_latex(const StudyTable& table) {
  const std::size_t columns = headings(table).size() - 1;
  std::string text = fmt::format("% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{l{}}}\n  \\toprule\n",
                                 std::string(columns, 'r'));
  text += latex_row(headings(table)) + "  \\midrule\n";
  for (const StudyRow& row : table.rows) {
    std::string line = latex_row(cells_of(table, row, " ± "));
    for (std::size_t at = 0; (at = line.find(" ± ", at)) != std::string::npos;) {
      line.replace(at, std::string(" ± ").size(), " $\\pm$ ");
    }
    text += line;
  }
  text += "  \\bottomrule\n\\end{tabular}\n";
  for (const std::string& note : notes_of(table)) text += "% " + note + "\n";
  return text;
}

std::string runs_as_csv(const std::vector<Cell>& cells, const std::vector<RunResult>& results) {
  const Strings columns = varied_options(cells);
  Strings header{"run", "contender"};
  for (const std::string& column : columns) header.push_back(short_name(column));
  const bool pretrained = std::any_of(cells.begin(), cells.end(),
                                      [](const Cell& cell) { return cell.recipe.method.has_value(); });
  const bool curvature = std::any_of(cells.begin(), cells.end(),
                                     [](const Cell& cell) { return cell.recipe.sharpness_every > 0; });
  for (const char* name : {"seed", "state", "best_accuracy", "best_epoch", "last_accuracy"})
    header.emplace_back(name);
  if (pretrained) header.emplace_back("knn_accuracy");
  if (curvature) header.emplace_back("lambda_1");
  for (const char* name : {"last_test_loss", "last_train_loss", "seconds"}) header.emplace_back(name);
  std::string text = csv_row(header);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    Strings row{cells[i].name, cells[i].contender};
    for (std::string& value : values_of(cells[i], columns)) row.push_back(std::move(value));
    row.push_back(std::to_string(cells[i].recipe.seed));
    for (std::string& value : csv_results(results[i], pretrained, curvature)) row.push_back(std::move(value));
    text += csv_row(row);
  }
  return text;
}

}  // namespace lamina::compare
