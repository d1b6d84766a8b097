// Lists of names in messages, which a model of many layers would make long.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lamina {

// "a, b, c", or "a, b, …" where there are more than `most`.
std::string list_names(const std::vector<std::string>& names, std::size_t most = 8);
// The same with their number where some are left out: "a, b, … (20 in all)".
std::string list_names_of_all(const std::vector<std::string>& names, std::size_t most);

}  // namespace lamina
