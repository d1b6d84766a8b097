// Text of people's for tables, legends and scripts.
#pragma once

#include <string>

namespace lamina::compare {

// Line ends and tabs become spaces; control characters and bytes that are not UTF-8 are written as \xNN.
std::string on_one_line(std::string text);

}  // namespace lamina::compare
