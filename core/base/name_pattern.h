// Patterns of names: "layer4.*", "*.bias". A * stands for any characters, or for none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {

bool matches(std::string_view name, std::string_view pattern);

// The `most` names that the fewest insertions, deletions and replacements of letters make match, the nearest
// first; all of them if they are fewer. Of a pattern that names a whole part, like "layer1", the pattern of
// what is in it: "layer1.*".
std::vector<std::string> nearest_matches(std::string_view pattern, const std::vector<std::string>& names,
                                         std::size_t most);

}  // namespace lamina
