// How much memory the machine has and leaves to this program, and what this program took.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace lamina {

std::size_t physical_memory();  // bytes

std::size_t peak_resident_memory();  // bytes of this process that were in memory at once, so far

// Bytes that can be written without another program, or this one, being killed for it: what the system calls
// available, and no more than the control groups that this program is in allow it (containers and batch
// systems set such limits; versions 1 and 2), and ulimit -d and -v. `root`: where proc and sys are.
std::size_t available_memory(const std::filesystem::path& root = "/");

// For messages about memory that could not be had: "1.5 GiB of memory are available, ulimit -v allows 2.0
// GiB".
std::string describe_available_memory();

}  // namespace lamina
