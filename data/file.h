// The lines of a file, and one loop body over many threads: for what reads data sets.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace lamina::data {

// The file's lines that are not empty, without line ends and spaces before them. Throws as read_text() does.
std::vector<std::string> read_lines(const std::filesystem::path& path);

// Calls start(), which starts a thread, up to `wanted` times: fewer where the system gives no more threads
// (limits of users, containers and memory), since whoever shares the work can go on with those there are.
// Returns how many were started.
std::int64_t start_threads(std::int64_t wanted, const std::function<void()>& start);

// body(0) … body(n - 1) over `threads` threads (0: all cores that the process may use; fewer where so many
// cannot be started), each inside a SerialScope. If bodies throw, the exception of the lowest index is
// rethrown after all threads have stopped.
void for_each_index(std::int64_t n, int threads, const std::function<void(std::int64_t)>& body);

}  // namespace lamina::data
