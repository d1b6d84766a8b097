// Runs a program to its end, with its output caught.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace lamina::faults {

using Arguments = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

struct Outcome {
  int status = 0;     // exit status, or 128 + the signal that killed it
  bool hung = false;  // killed after a minute
  std::string out, err;
};

// In `folder`, with these variables and PATH alone. The output goes through files beside the folder. Throws
// std::runtime_error if the program cannot be started.
Outcome run(const std::filesystem::path& program, const Arguments& arguments,
            const std::filesystem::path& folder, Environment environment);

}  // namespace lamina::faults
