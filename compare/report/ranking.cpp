#include "compare/report/ranking.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "compare/compared_options.h"
#include "compare/report/html.h"

namespace lamina::compare {

std::string with_std(const Statistic& s, double scale, int digits) {
  if (s.count == 0) return no_value;
  if (s.count == 1) return fmt::format("{:.{}f}", scale * s.mean, digits);
  return fmt::format("{:.{}f} ± {:.{}f}", scale * s.mean, digits, scale * s.std, digits);
}

std::string percent(const Statistic& s) { return with_std(s, 100, 2); }

std::string option_of(const Group& group, const std::string& name) {
  for (const DescribedOption& option : describe_options(group.representative())) {
    if (option.name == name) return option.value;
  }
  return no_value;
}

const RankedBy& ranked_by(const std::vector<Group>& groups) {
  static const std::array scores{
      RankedBy{&Group::best_accuracy, "Test accuracy of", "Most accurate is"},
      RankedBy{&Group::knn_accuracy, "Accuracy of the nearest neighbours by the features of",
               "Most accurate by nearest neighbours is"},
      RankedBy{&Group::linear_accuracy, "Accuracy of a linear probe on the features of",
               "Most accurate by a linear probe is"},
      RankedBy{&Group::linear_as_official_accuracy,
               "Accuracy of the official linear probe on the features of",
               "Most accurate by the official linear probe is"}};
  const auto found = std::find_if(scores.begin(), scores.end(),
                                  [&](const RankedBy& score) { return any_has(groups, score.accuracy); });
  return found == scores.end() ? scores.front() : *found;
}

std::vector<const Group*> ranking(const std::vector<Group>& groups) {
  Statistic Group::*const score = ranked_by(groups).accuracy;
  std::vector<const Group*> ranked;
  for (const Group& group : groups) {
    if ((group.*score).count > 0) ranked.push_back(&group);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](const Group* a, const Group* b) { return (a->*score).mean > (b->*score).mean; });
  return ranked;
}

bool tested_alike(const std::vector<Group>& groups) {
  return std::all_of(groups.begin(), groups.end(), [&](const Group& group) {
    return option_of(group, "data") == option_of(groups.front(), "data") &&
           option_of(group, "limit_test") == option_of(groups.front(), "limit_test");
  });
}

}  // namespace lamina::compare
