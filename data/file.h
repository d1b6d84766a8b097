// Whole files into memory, and one loop body over many threads: for what reads data sets.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace lamina::data {

// The only way a whole file is read here: all of it, or an Error with its name and the system's reason.
std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path);

// Its lines that are not empty, without line ends and spaces before them. Throws as read_bytes() does.
std::vector<std::string> read_lines(const std::filesystem::path& path);

// body(0) … body(n - 1) over `threads` threads (0: as many as the machine has), each inside a SerialScope.
// If bodies throw, the exception of the lowest index is rethrown after all threads have stopped.
void for_each_index(std::int64_t n, int threads, const std::function<void(std::int64_t)>& body);

}  // namespace lamina::data
