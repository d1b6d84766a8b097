#include "compare/report/summary.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "compare/compared_options.h"
#include "compare/report/curvature.h"
#include "compare/report/feature_scores.h"
#include "compare/report/folder.h"
#include "compare/report/html.h"
#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/option_name.h"
#include "core/base/table.h"

namespace lamina::compare {
namespace {

std::string with_std(const Statistic& s, double scale, int digits) {
  if (s.count == 0) return no_value;
  if (s.count == 1) return fmt::format("{:.{}f}", scale * s.mean, digits);
  return fmt::format("{:.{}f} ± {:.{}f}", scale * s.mean, digits, scale * s.std, digits);
}

std::string percent(const Statistic& s) { return with_std(s, 100, 2); }

// "1 seed", "3 seeds", "2 to 3 seeds"
std::string count_seeds(const std::vector<Group>& groups) {
  std::size_t least = groups.front().runs.size(), most = least;
  for (const Group& group : groups) {
    least = std::min(least, group.runs.size());
    most = std::max(most, group.runs.size());
  }
  const std::string count = least == most ? std::to_string(most) : fmt::format("{} to {}", least, most);
  return count + (most == 1 ? " seed" : " seeds");
}

std::string option_of(const Group& group, const std::string& name) {
  for (const DescribedOption& option : describe_options(group.representative())) {
    if (option.name == name) return option.value;
  }
  return no_value;
}

// The values that the groups have of an option: "batch 256", or "batch 256, 512 and 1024".
std::string values_of(const std::vector<Group>& groups, const std::string& name) {
  std::vector<std::string> values;
  for (const Group& group : groups) {
    const std::string value = option_of(group, name);
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += i + 1 == values.size() ? " and " : ", ";
    text += values[i];
  }
  return escape_html(text);
}

std::string training_images(const std::vector<Group>& groups) {
  std::set<std::int64_t> counts;
  for (const Group& group : groups) {
    const auto resolved = group.representative().config.value("resolved", nlohmann::json::object());
    const auto images = resolved.find("train_images");
    if (images == resolved.end()) continue;
    if (const auto count = whole_number<std::int64_t>(*images)) counts.insert(*count);
  }
  return counts.size() == 1 ? fmt::format(" ({} training images)", format_count(*counts.begin())) : "";
}

// Where not all left the images as they are: ", --image-size 64 and 96".
std::string image_sizes(const std::vector<Group>& groups) {
  const std::string sizes = values_of(groups, "image_size");
  return sizes == "0" ? "" : fmt::format(", {} {}", option_name("image_size"), sizes);
}

std::string what_was_compared(const std::vector<Group>& groups) {
  const std::size_t runs =
      std::accumulate(groups.begin(), groups.end(), std::size_t{0},
                      [](std::size_t sum, const Group& group) { return sum + group.runs.size(); });
  const std::string epochs = values_of(groups, "epochs");
  return fmt::format("{}: {} on {}{}{}, batch {}, {} epoch{}, {}{}.",
                     groups.size() == 1 ? "One contender" : fmt::format("{} contenders", groups.size()),
                     values_of(groups, "model"), values_of(groups, "data"), training_images(groups),
                     image_sizes(groups), values_of(groups, "batch"), epochs, epochs == "1" ? "" : "s",
                     count_seeds(groups),
                     groups.size() == 1 ? "" : fmt::format(" each; {} runs in all", runs));
}

// What contenders are told apart by: the test accuracy, or if none has one, that of the nearest neighbours.
Statistic Group::*score_of(const std::vector<Group>& groups) {
  const bool pretrained = !any_has(groups, &Group::best_accuracy) && any_has(groups, &Group::knn_accuracy);
  return pretrained ? &Group::knn_accuracy : &Group::best_accuracy;
}

// Contenders with such an accuracy, the best first.
std::vector<const Group*> ranking(const std::vector<Group>& groups) {
  Statistic Group::*const score = score_of(groups);
  std::vector<const Group*> ranked;
  for (const Group& group : groups) {
    if ((group.*score).count > 0) ranked.push_back(&group);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](const Group* a, const Group* b) { return (a->*score).mean > (b->*score).mean; });
  return ranked;
}

// How far a difference between two means can be trusted: against the standard error of the difference.
std::string caution(const Statistic& first, const Statistic& second) {
  if (first.count < 2 || second.count < 2) {
    return "With a single seed the spread is unknown: such a difference may be chance.";
  }
  const double difference = first.mean - second.mean;
  const auto variance_of_mean = [](const Statistic& s) {
    return s.std * s.std / static_cast<double>(s.count);
  };
  const double error = std::sqrt(variance_of_mean(first) + variance_of_mean(second));
  if (difference <= std::max(first.std, second.std)) {
    return "That is no more than a standard deviation over the seeds: these runs do not tell the two apart.";
  }
  if (difference <= 2 * error) {
    return "That is less than two standard errors of the difference: more seeds could turn it around.";
  }
  return fmt::format("That is {:.1f} standard errors of the difference.", difference / error);
}

// Accuracies on other images do not compare.
bool tested_alike(const std::vector<Group>& groups) {
  return std::all_of(groups.begin(), groups.end(), [&](const Group& group) {
    return option_of(group, "data") == option_of(groups.front(), "data") &&
           option_of(group, "limit_test") == option_of(groups.front(), "limit_test");
  });
}

std::string what_it_came_to(const std::vector<Group>& groups) {
  if (!tested_alike(groups)) {
    return " They were tested on different images, so their accuracies do not compare.";
  }
  const std::vector<const Group*> ranked = ranking(groups);
  if (ranked.empty()) return " No complete run has a test accuracy to compare.";
  Statistic Group::*const score = score_of(groups);
  const Group& best = *ranked.front();
  const bool by_neighbours = score == &Group::knn_accuracy;
  const char* alone =
      by_neighbours ? "Accuracy of the nearest neighbours by the features of" : "Test accuracy of";
  const char* first = by_neighbours ? "Most accurate by nearest neighbours is" : "Most accurate is";
  std::string text = fmt::format(
      " {} <b>{}</b>: {} %{}", groups.size() == 1 ? alone : first, escape_html(best.label),
      percent(best.*score), (best.*score).count > 1 ? " (mean ± standard deviation over the seeds)" : "");
  if (ranked.size() == 1) return text + ".";
  const Group& second = *ranked[1];
  return text + fmt::format(", {:.2f} points above {} ({} %). {}",
                            100 * ((best.*score).mean - (second.*score).mean), escape_html(second.label),
                            percent(second.*score), caution(best.*score, second.*score));
}

// Of the best, by what contenders are ranked by. Several baselines, of other models say, are left to the
// table.
std::string what_training_added(const std::vector<Group>& groups, const std::vector<Group>& baselines) {
  Statistic Group::*const score = score_of(groups);
  const std::vector<const Group*> ranked = ranking(groups);
  if (ranked.empty() || !tested_alike(groups) || baselines.size() != 1 ||
      (baselines.front().*score).count == 0)
    return "";
  const Group& baseline = baselines.front();
  const double added = 100 * ((ranked.front()->*score).mean - (baseline.*score).mean);
  return fmt::format(" The best is {:.2f} points {} {} ({} %).", std::abs(added),
                     added < 0 ? "below" : "above", escape_html(baseline.label), percent(baseline.*score));
}

std::string what_is_missing(const std::vector<Group>& groups) {
  std::size_t missing = 0;
  for (const Group& group : groups) missing += group.runs.size() - group.complete();
  if (missing == 0) return "";
  return fmt::format(" <b>{} run{} not complete</b> and left out of the averages.", missing,
                     missing == 1 ? " is" : "s are");
}

std::string repeated_seeds(const std::vector<Group>& groups) {
  std::string text;
  for (const Group& group : groups) {
    std::map<std::uint64_t, int> seeds;
    for (const RunResult& run : group.runs) ++seeds[run.seed()];
    for (const auto& [seed, count] : seeds) {
      if (count > 1) {
        text += fmt::format(" {} has {} runs of seed {}: they count as many, but are the same run.",
                            escape_html(group.label), count, seed);
      }
    }
  }
  return text;
}

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

std::string curvature(const Statistic& s) {
  if (s.count == 0) return no_value;
  return s.count == 1 ? fmt::format("{:.4g}", s.mean) : fmt::format("{:.4g} ± {:.2g}", s.mean, s.std);
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

std::string summary_paragraph(const std::vector<Group>& groups, const std::vector<Group>& baselines) {
  return "<p class=\"lead\">" + what_was_compared(groups) + what_it_came_to(groups) +
         what_training_added(groups, baselines) + what_is_missing(groups) + repeated_seeds(groups) + "</p>\n";
}

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
      return is_best && which == score_of(groups) ? "<b>" + text + "</b>" : text;
    };
    std::vector<std::string> row{label};
    if (tested)
      append(row, {accuracy(&Group::best_accuracy), best_epoch(group.best_epoch),
                   percent(group.last_accuracy), with_std(group.last_test_loss, 1, 4)});
    for (const FeatureColumn& column : features) append(row, {accuracy(column.accuracy)});
    if (!how_curved.empty()) append(row, {curvature(group.lambda_1)});
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
      "last_test_loss_std,last_train_loss,last_train_loss_std,seconds,seconds_std,linear_accuracy,linear_"
      "accuracy_std,linear_as_official_"
      "accuracy,"
      "linear_as_official_accuracy_std,label\n";
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
