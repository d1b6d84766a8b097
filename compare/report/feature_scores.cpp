#include "compare/report/feature_scores.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "compare/compared_options.h"
#include "compare/report/html.h"

namespace lamina::compare {
namespace {

// "k 200, temperature 0.1, 45000 training images, batch statistics over 512 samples in training": the last of
// pretraining alone.
std::string how_neighbours_were_found(const RunResult& run) {
  const auto resolved = run.config.value("resolved", nlohmann::json::object());
  const nlohmann::json knn = run.evaluations.value("knn", resolved.value("knn", nlohmann::json()));
  if (std::isnan(run.knn_accuracy()) || !knn.is_object()) return "";
  const auto text = [](const nlohmann::json& in, const char* name) {
    return as_text(in.value(name, nlohmann::json("unknown")));
  };
  std::string way = fmt::format("k {}, temperature {}, {} training images", text(knn, "k"),
                                text(knn, "temperature"), text(knn, "bank"));
  if (resolved.contains("bn_batch"))
    way += fmt::format(", batch statistics over {} samples in training", text(resolved, "bn_batch"));
  return way + (run.evaluations.contains("knn") ? ", final weights" : ", after the last epoch measured");
}

std::string how_neighbours_were_found(const std::vector<Group>& groups) {
  std::set<std::string> ways;
  for (const Group& group : groups)
    for (const RunResult* run : group.averaged_runs())
      if (const std::string way = how_neighbours_were_found(*run); !way.empty()) ways.insert(way);
  return fmt::format(
      " kNN: the test images classified by their nearest training images, by cosine of the backbone’s "
      "features ({}{}).",
      ways.size() > 1 ? "in different ways: " : "", escape_html(fmt::format("{}", fmt::join(ways, "; "))));
}

// What probes depend on: "L2 0.001 and 0.0001, 64 features"; as official, each part of the protocol.
std::string how_probes_were_fitted(const std::vector<Group>& groups) {
  std::set<double> l2;
  std::set<std::string> official;
  int unfinished = 0;
  for (const Group& group : groups) {
    for (const RunResult& run : group.runs) {
      const nlohmann::json linear = run.evaluations.value("linear", nlohmann::json());
      if (linear.is_object() && linear.contains("l2") && linear["l2"].is_number())
        l2.insert(linear["l2"].get<double>());
      if (linear.is_object() && linear.value("converged", nlohmann::json(true)) == false) ++unfinished;
      const nlohmann::json by_sgd = run.evaluations.value("linear_as_official", nlohmann::json());
      if (by_sgd.is_object())
        official.insert(settings_text(by_sgd.value("as_official", nlohmann::json::object())));
    }
  }
  std::string text;
  if (!l2.empty())
    text += fmt::format(
        " Linear: logistic regression on the standardised features of the final weights, to its optimum{}, "
        "with L2 {}.",
        unfinished > 0 ? fmt::format(" but for {} that ended before it", unfinished) : "",
        fmt::join(l2, ", "));
  if (!official.empty())
    text +=
        fmt::format(" Linear as official: a last layer trained by SGD as the public TVLARS code does ({}).",
                    fmt::join(official, "; "));
  return escape_html(text);
}

}  // namespace

bool any_has(const std::vector<Group>& groups, Statistic Group::*score) {
  return std::any_of(groups.begin(), groups.end(),
                     [&](const Group& group) { return (group.*score).count > 0; });
}

// Of what was measured on features, those that some group has.
std::vector<FeatureColumn> feature_columns(const std::vector<Group>& groups) {
  std::vector<FeatureColumn> columns{
      {"kNN accuracy, %", "kNN, %", &Group::knn_accuracy},
      {"Linear probe, %", "Linear, %", &Group::linear_accuracy},
      {"Linear probe as official, %", "Linear as official, %", &Group::linear_as_official_accuracy}};
  std::erase_if(columns, [&](const FeatureColumn& column) { return !any_has(groups, column.accuracy); });
  return columns;
}

double accuracy_of(const RunResult& run, const FeatureColumn& column) {
  if (column.accuracy == &Group::knn_accuracy) return run.knn_accuracy();
  return run.evaluated_accuracy(column.accuracy == &Group::linear_accuracy ? "linear" : "linear_as_official");
}

std::string how_features_were_measured(const std::vector<Group>& groups) {
  return (any_has(groups, &Group::knn_accuracy) ? how_neighbours_were_found(groups) : "") +
         how_probes_were_fitted(groups);
}

}  // namespace lamina::compare
