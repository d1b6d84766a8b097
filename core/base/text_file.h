// A whole file as text.
#pragma once

#include <filesystem>
#include <string>

namespace lamina {

// All bytes of the file. Throws Error with the path and the system's reason for what cannot be read: a
// missing file, a directory, a disk that fails half-way.
std::string read_text(const std::filesystem::path& path);

}  // namespace lamina
