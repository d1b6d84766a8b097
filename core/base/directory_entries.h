// What is in a folder.
#pragma once

#include <filesystem>
#include <vector>

namespace lamina {

// The paths of its entries, by name; links are not followed. Throws Error with the folder and the system's
// reason for one that cannot be listed to its end.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

}  // namespace lamina
