#include "core/base/list_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace lamina {

std::string list_names(const std::vector<std::string>& names, std::size_t most) {
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), most));
  return fmt::format("{}{}", fmt::join(names.begin(), end, ", "), names.size() > most ? ", …" : "");
}

std::string list_names_of_all(const std::vector<std::string>& names, std::size_t most) {
  const std::string text = list_names(names, most);
  return names.size() > most ? fmt::format("{} ({} in all)", text, names.size()) : text;
}

}  // namespace lamina
