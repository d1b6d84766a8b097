#include "core/base/name_pattern.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace lamina {
namespace {

// Levenshtein's edit distance; a * takes in letters for nothing.
std::size_t distance_to_match(std::string_view name, std::string_view pattern) {
  std::vector<std::size_t> row(name.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (const char wanted : pattern) {
    std::size_t diagonal = row[0];
    if (wanted != '*') ++row[0];
    for (std::size_t j = 1; j < row.size(); ++j) {
      const std::size_t replaced = diagonal + (wanted == name[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] =
          wanted == '*' ? std::min(row[j], row[j - 1]) : std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

bool matches(std::string_view name, std::string_view pattern) {
  return distance_to_match(name, pattern) == 0;
}

std::vector<std::string> nearest_matches(std::string_view pattern, const std::vector<std::string>& names,
                                         std::size_t most) {
  const std::string below = std::string(pattern) + ".";
  const auto is_below = [&](const std::string& name) { return name.starts_with(below); };
  if (std::any_of(names.begin(), names.end(), is_below)) return {below + "*"};
  std::vector<std::pair<std::size_t, std::size_t>> places;  // distance and index
  for (std::size_t i = 0; i < names.size(); ++i) places.emplace_back(distance_to_match(names[i], pattern), i);
  std::sort(places.begin(), places.end());
  places.resize(std::min(places.size(), most));
  std::vector<std::string> nearest;
  for (const auto& [_, index] : places) nearest.push_back(names[index]);
  return nearest;
}

}  // namespace lamina
