#include "compare/on_one_line.h"

#include <algorithm>

#include "core/base/printable.h"

namespace lamina::compare {

std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t' || c == '\r'; }, ' ');
  return printable(text);
}

}  // namespace lamina::compare
