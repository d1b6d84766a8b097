// Columns that a text takes up on a terminal: its code points, of UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lamina {

std::size_t columns_of(std::string_view text);

// As many of them as there are, but no more than `most`; no character in part.
std::string first_columns(std::string_view text, std::size_t most);

}  // namespace lamina
