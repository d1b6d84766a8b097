#include "compare/report/result_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compare/report/curvature.h"
#include "compare/report/feature_scores.h"
#include "compare/report/folder.h"
#include "compare/report/html.h"
#include "compare/report/ranking.h"
#include "core/base/table.h"

namespace lamina::compare {
namespace {

std::string best_epoch(const Statistic& s) {
  if (s.count == 0) return no_value;
  return s.count == 1 || s.std == 0 ? fmt::format("{:.0f}", s.mean)
                                    : fmt::format("{:.1f} ± {:.1f}", s.mean, s.std);
}

std::string how_best_was_chosen(const std::vector<Group>& groups) {
  if (!any_has(groups, &Group::best_accuracy)) return "";
  const auto validated = [](const Group& group) { return group.representative().validated(); };
  if (std::all_of(groups.begin(), groups.end(), validated))
    return "The best epoch was chosen on images held out of the training.";
  return std::string(std::any_of(groups.begin(), groups.end(), validated)
                         ? "Where no images were held out, the best"
                         : "The best") +
         " epoch was chosen by the test accuracy itself, which flatters it a little; the last epoch’s is "
         "free of that.";
}

void append(std::vector<std::string>& cells, const std::vector<std::string>& more) {
  cells.insert(cells.end(), more.begin(), more.end());
}

std::string duration(const Statistic& s) { return s.count == 0 ? no_value : format_duration(s.mean); }

std::string what_lambda_1_is(const std::vector<Group>& groups) {
  const std::string how = how_curvature_was_measured(groups);
  if (how.empty()) return "";
  return " λ₁: the largest eigenvalue of the training loss’s Hessian, after the last epoch measured. " + how;
}

std::string table_notes(const std::vector<Group>& groups) {
  return "<p class=\"note\">Means over the complete runs, ± the sample standard deviation over their "
         "seeds. " +
         how_best_was_chosen(groups) + how_features_were_measured(groups) + what_lambda_1_is(groups) +
         " The training loss is the mean over the last epoch while the weights moved; the time is that of "
         "training alone, without tests.</p>\n";
}

// Also of runs that are not complete, which have no part in averages.
bool any_tested(const std::vector<Group>& groups) {
  return std::any_of(groups.begin(), groups.end(), [](const Group& group) {
    return std::any_of(group.runs.begin(), group.runs.end(),
                       [](const RunResult& run) { return run.last() != nullptr; });
  });
}

// For a CSV cell: nothing where there is nothing.
std::string csv_cells(const Statistic& s) { return s.count == 0 ? "," : fmt::format("{},{}", s.mean, s.std); }

}  // namespace

std::string comparison_table(const std::vector<Group>& groups, const std::vector<Group>& baselines) {
  const std::vector<FeatureColumn> features = feature_columns(groups);
  const std::string how_curved = how_curvature_was_measured(groups);
  const bool tested = any_has(groups, &Group::best_accuracy) || features.empty();
  HtmlTable table{{"Contender"}, {}};
  if (tested)
    append(table.header, {"Best test accuracy, %", "at epoch", "Last test accuracy, %", "Last test loss"});
  for (const FeatureColumn& column : features) append(table.header, {column.title});
  if (!how_curved.empty()) append(table.header, {"λ₁"});
  append(table.header, {"Final training loss", "Training time", "Seeds"});
  table.text_columns = {table.header.size() - 1};
  const std::vector<const Group*> ranked = ranking(groups);
  const auto add_row = [&](const std::string& label, const Group& group, const std::string& seeds) {
    const bool is_best = tested_alike(groups) && !ranked.empty() && ranked.front() == &group;
    const auto accuracy = [&](Statistic Group::*which) {
      const std::string text = percent(group.*which);
      return is_best && which == ranked_by(groups).accuracy ? "<b>" + text + "</b>" : text;
    };
    std::vector<std::string> row{label};
    if (tested)
      append(row, {accuracy(&Group::best_accuracy), best_epoch(group.best_epoch),
                   percent(group.last_accuracy), with_std(group.last_test_loss, 1, 4)});
    for (const FeatureColumn& column : features) append(row, {accuracy(column.accuracy)});
    if (!how_curved.empty())
      append(row, {group.lambda_1.count > 0 ? lambda_1_text(group.lambda_1, " ± ") : no_value});
    append(row, {with_std(group.last_train_loss, 1, 4), duration(group.seconds), escape_html(seeds)});
    table.rows.push_back(std::move(row));
  };
  for (std::size_t i = 0; i < groups.size(); ++i)
    add_row(html_label(i, groups[i].label), groups[i], describe_runs(groups[i]));
  for (const Group& group : baselines) add_row(escape_html(group.label), group, describe_runs(group));
  return table.str() + table_notes(groups);
}

std::string run_table(const std::vector<Group>& groups) {
  const std::vector<FeatureColumn> features = feature_columns(groups);
  const bool curved = !how_curvature_was_measured(groups).empty();
  const bool tests = features.empty() || any_tested(groups);
  HtmlTable table{{"Run", "Contender", "Seed", "Epochs done"}, {1}};
  if (tests) append(table.header, {"Best, %", "Last, %"});
  for (const FeatureColumn& column : features) table.header.emplace_back(column.short_title);
  if (curved) table.header.emplace_back("λ₁");
  table.header.emplace_back("State");
  table.text_columns.push_back(table.header.size() - 1);
  const auto accuracy = [](double value) {
    return std::isnan(value) ? no_value : fmt::format("{:.2f}", 100 * value);
  };
  const auto tested = [](const EpochRow* row) { return row == nullptr ? std::nan("") : row->test_accuracy; };
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (const RunResult& run : groups[i].runs) {
      const std::string state = !run.failure.empty() ? "failed: " + run.failure
                                : run.complete       ? "complete"
                                                     : "unfinished";
      std::vector<std::string> row{"<code>" + escape_html(run.path.string()) + "</code>",
                                   html_label(i, groups[i].label), std::to_string(run.seed()),
                                   run.epochs.empty() ? "0" : std::to_string(run.epochs.back().epoch)};
      if (tests) append(row, {accuracy(tested(run.best())), accuracy(tested(run.last()))});
      for (const FeatureColumn& column : features) row.push_back(accuracy(accuracy_of(run, column)));
      if (curved)
        row.push_back(std::isnan(run.lambda_1()) ? no_value : fmt::format("{:.4g}", run.lambda_1()));
      row.push_back(escape_html(state));
      table.rows.push_back(std::move(row));
    }
  }
  return table.str();
}

std::string comparison_csv(const std::vector<Group>& groups, const std::vector<Group>& baselines) {
  std::string csv =
      "contender,runs,complete,best_accuracy,best_accuracy_std,best_epoch,best_epoch_std,last_accuracy,"
      "last_accuracy_std,knn_accuracy,knn_accuracy_std,lambda_1,lambda_1_std,last_test_loss,"
      "last_test_loss_std,last_train_loss,last_train_loss_std,seconds,seconds_std,linear_accuracy,"
      "linear_accuracy_std,linear_as_official_accuracy,linear_as_official_accuracy_std,label\n";
  const auto add = [&](std::size_t contender, const Group& g) {
    csv += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", contender, g.runs.size(), g.complete(),
                       csv_cells(g.best_accuracy), csv_cells(g.best_epoch), csv_cells(g.last_accuracy),
                       csv_cells(g.knn_accuracy), csv_cells(g.lambda_1), csv_cells(g.last_test_loss),
                       csv_cells(g.last_train_loss), csv_cells(g.seconds), csv_cells(g.linear_accuracy),
                       csv_cells(g.linear_as_official_accuracy), csv_text(g.label));
  };
  for (std::size_t i = 0; i < groups.size(); ++i) add(i + 1, groups[i]);
  for (std::size_t i = 0; i < baselines.size(); ++i) add(groups.size() + i + 1, baselines[i]);
  return csv;
}

}  // namespace lamina::compare
