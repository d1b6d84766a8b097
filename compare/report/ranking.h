// By what the contenders of a report are told apart, and how their figures are written.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"

namespace lamina::compare {

struct RankedBy {
  Statistic Group::*accuracy;
  const char *of_one, *of_several;  // before the contender's name
};

// The test accuracy, or if no contender has one, the first that some have of the nearest neighbours' and the
// probes'.
const RankedBy& ranked_by(const std::vector<Group>& groups);

// Contenders with such an accuracy, the best first.
std::vector<const Group*> ranking(const std::vector<Group>& groups);

// Accuracies on other images do not compare.
bool tested_alike(const std::vector<Group>& groups);

// The value that all runs of a group have of an option; `no_value` if there is no such option.
std::string option_of(const Group& group, const std::string& name);

// "mean ± standard deviation", of one run the value alone, of none `no_value`.
std::string with_std(const Statistic& s, double scale, int digits);
std::string percent(const Statistic& s);  // of an accuracy in 0 … 1

}  // namespace lamina::compare
