// Whole files into memory: the one way in which they are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lamina {

// All bytes of the file. Throw Error with the path and the system's reason for what cannot be read: a missing
// file, a directory, a FIFO or a device, a disk that fails half-way; and for a file larger than the memory
// that there is.
std::string read_text(const std::filesystem::path& path);
std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path);

}  // namespace lamina
