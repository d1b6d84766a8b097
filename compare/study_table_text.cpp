// A study's table as text, and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "compare/study_table.h"
#include "core/base/table.h"

namespace lamina::compare {
namespace {

using Strings = std::vector<std::string>;

std::string percent(const Statistic& s, const char* plus_minus) {
  if (s.count == 0) return "-";
  if (s.count == 1) return fmt::format("{:.2f}", 100 * s.mean);
  return fmt::format("{:.2f}{}{:.2f}", 100 * s.mean, plus_minus, 100 * s.std);
}

std::int64_t failed_runs(const Group& group) {
  return std::count_if(group.runs.begin(), group.runs.end(),
                       [](const RunResult& run) { return !run.failure.empty(); });
}

// "3", or "2, 1 failed".
std::string count_of(const Group& group) {
  const std::int64_t failed = failed_runs(group);
  return fmt::format("{}{}", group.complete(), failed > 0 ? fmt::format(", {} failed", failed) : "");
}

struct Score {
  const char *title, *name;  // in the table's head, and as JSON
  Statistic Group::*accuracy;
};

// The tests' accuracies, unless there are others alone, and what of the others some row has.
std::vector<Score> scores_of(const StudyTable& table) {
  const auto measured = [&](Statistic Group::*accuracy) {
    const auto has = [&](const StudyRow& row) { return (row.group.*accuracy).count > 0; };
    return std::any_of(table.rows.begin(), table.rows.end(), has);
  };
  std::vector<Score> scores;
  for (const Score& score :
       {Score{"kNN", "knn_accuracy", &Group::knn_accuracy},
        Score{"linear", "linear_accuracy", &Group::linear_accuracy},
        Score{"linear as official", "linear_as_official_accuracy", &Group::linear_as_official_accuracy}})
    if (measured(score.accuracy)) scores.push_back(score);
  if (scores.empty() || measured(&Group::best_accuracy))
    scores.insert(scores.begin(), {Score{"best", "best_accuracy", &Group::best_accuracy},
                                   Score{"last", "last_accuracy", &Group::last_accuracy}});
  return scores;
}

std::vector<StudyRow> all_rows_of(const StudyTable& table) {
  std::vector<StudyRow> rows = table.rows;
  rows.insert(rows.end(), table.baselines.begin(), table.baselines.end());
  return rows;
}

// How λ₁ was measured; empty if it never was.
std::string curvature_of(const StudyTable& table) {
  std::set<std::string> ways;
  for (const StudyRow& row : table.rows) ways.merge(row.group.curvatures());
  if (ways.size() < 2) return ways.empty() ? "" : *ways.begin();
  return fmt::format("in different ways, so that rows do not compare: {}", fmt::join(ways, "; "));
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

std::string notes_below(const StudyTable& table) {
  std::string text;
  for (const std::string& note : notes_of(table)) text += "\n" + note + "\n";
  return text;
}

Strings headings(const StudyTable& table) {
  Strings cells{"contender"};
  for (const std::string& column : table.columns) cells.push_back(short_name(column));
  for (const Score& score : scores_of(table)) cells.push_back(fmt::format("{} %", score.title));
  if (!curvature_of(table).empty()) cells.emplace_back("lambda_1");
  cells.emplace_back("runs");
  return cells;
}

Strings cells_of(const StudyTable& table, const StudyRow& row, const char* plus_minus) {
  Strings cells{row.contender};
  cells.insert(cells.end(), row.values.begin(), row.values.end());
  for (const Score& score : scores_of(table)) cells.push_back(percent(row.group.*score.accuracy, plus_minus));
  if (!curvature_of(table).empty())
    cells.push_back(row.group.lambda_1.count > 0 ? lambda_1_text(row.group.lambda_1, plus_minus) : "-");
  cells.push_back(count_of(row.group));
  return cells;
}

nlohmann::json row_json(const StudyTable& table, const StudyRow& row) {
  nlohmann::json options = nlohmann::json::object();
  for (std::size_t i = 0; i < table.columns.size(); ++i) options[table.columns[i]] = row.values[i];
  nlohmann::json json{{"contender", row.contender},
                      {"options", options},
                      {"runs", row.group.complete()},
                      {"failed", failed_runs(row.group)}};
  for (const Score& score : scores_of(table)) {
    const Statistic& s = row.group.*score.accuracy;
    if (s.count > 0) json[score.name] = {{"mean", s.mean}, {"std", s.std}, {"count", s.count}};
  }
  if (const Statistic& s = row.group.lambda_1; s.count > 0)
    json["lambda_1"] = {{"mean", s.mean}, {"std", s.std}, {"count", s.count}};
  return json;
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

}  // namespace

std::string as_text(const StudyTable& table) {
  Table text(headings(table));
  for (const StudyRow& row : all_rows_of(table)) text.add(cells_of(table, row, " ± "));
  return text.str() + notes_below(table);
}

std::string as_markdown(const StudyTable& table) {
  const Strings header = headings(table);
  Strings rule(header.size(), "---:");
  rule.front() = "---";
  std::string text = markdown_row(header) + markdown_row(rule);
  for (const StudyRow& row : all_rows_of(table)) text += markdown_row(cells_of(table, row, " ± "));
  return text + notes_below(table);
}

std::string as_latex(const StudyTable& table) {
  const std::size_t columns = headings(table).size() - 1;
  std::string text = fmt::format("% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{l{}}}\n  \\toprule\n",
                                 std::string(columns, 'r'));
  text += latex_row(headings(table)) + "  \\midrule\n";
  for (const StudyRow& row : all_rows_of(table)) {
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

nlohmann::json as_json(const StudyTable& table) {
  const auto rows_json = [&](const std::vector<StudyRow>& rows) {
    nlohmann::json json = nlohmann::json::array();
    for (const StudyRow& row : rows) json.push_back(row_json(table, row));
    return json;
  };
  return {{"columns", table.columns},
          {"rows", rows_json(table.rows)},
          {"baselines", rows_json(table.baselines)},
          {"curvature", curvature_of(table)},
          {"note", table.note}};
}

}  // namespace lamina::compare
