// Where a user's programs keep files.
#pragma once

#include <filesystem>

namespace lamina {

// $XDG_CACHE_HOME/lamina, else ~/.cache/lamina; empty if neither variable is set. It need not exist.
std::filesystem::path cache_directory();

}  // namespace lamina
