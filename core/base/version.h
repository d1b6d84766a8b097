// What this program is.
#pragma once

#include <string>

namespace lamina {

std::string version();            // "0.1.0"
std::string build_description();  // compiler, build type

}  // namespace lamina
