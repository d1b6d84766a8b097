#include "core/base/nearest.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace lamina {
namespace {

// Levenshtein's edit distance.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  return nearest(word, known, 1).at(0);
}

std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& known,
                                 std::size_t most) {
  std::vector<std::pair<std::size_t, std::size_t>> places;  // distance and index
  for (std::size_t i = 0; i < known.size(); ++i) places.emplace_back(distance(word, known[i]), i);
  std::sort(places.begin(), places.end());
  places.resize(std::min(places.size(), most));
  std::vector<std::string> words;
  for (const auto& [_, index] : places) words.push_back(known[index]);
  return words;
}

}  // namespace lamina
