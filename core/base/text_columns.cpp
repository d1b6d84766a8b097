#include "core/base/text_columns.h"

#include <algorithm>

namespace lamina {
namespace {

bool starts_column(char byte) { return (byte & 0xC0) != 0x80; }  // the others continue a character

}  // namespace

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_column));
}

std::string first_columns(std::string_view text, std::size_t most) {
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end)
    if (starts_column(text[end]) && seen++ == most) break;
  return std::string(text.substr(0, end));
}

}  // namespace lamina
