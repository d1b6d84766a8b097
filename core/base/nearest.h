// Which of the known words someone may have meant.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lamina {

// The one of `known` (at least one) that the fewest insertions, deletions and replacements of letters make of
// `word`.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

// The `most` nearest ones, or all if they are fewer: the nearest first, equals in their order.
std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& known,
                                 std::size_t most);

}  // namespace lamina
