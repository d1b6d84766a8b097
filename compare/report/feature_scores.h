// What a report says of features: accuracies of nearest neighbours and linear probes.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"

namespace lamina::compare {

bool any_has(const std::vector<Group>& groups, Statistic Group::*score);

struct FeatureColumn {
  const char *title, *short_title;
  Statistic Group::*accuracy;
};
// Those that some group has.
std::vector<FeatureColumn> feature_columns(const std::vector<Group>& groups);
double accuracy_of(const RunResult& run, const FeatureColumn& column);

// All that the accuracies depend on, as HTML; empty where there are none.
std::string how_features_were_measured(const std::vector<Group>& groups);

}  // namespace lamina::compare
