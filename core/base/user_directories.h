// Where a user's programs keep files.
#pragma once

#include <filesystem>
#include <string>

namespace lamina {

// $XDG_CACHE_HOME/lamina, else ~/.cache/lamina; empty if neither variable is set. It need not exist.
std::filesystem::path cache_directory();

// "~" or "~/…" with $HOME in place of the tilde, which a shell leaves alone inside a word, as in
// "folder:~/images". Anything else as it is. Throws UsageError if HOME is not set.
std::string expand_home(const std::string& path);

}  // namespace lamina
