// --config FILE.toml: options written in a file, one "name = value" a line.
//
//   data = "cifar10"          # as --data cifar10
//   lr_scaling = "linear"     # '_' or '-'
//   trace = true
//   [set]                     # as --set trust_coefficient=0.02
//   trust_coefficient = 0.02
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lamina::app {

// The file's options as command-line arguments. Throws Error if it cannot be read, UsageError if it is not in
// the form above.
std::vector<std::string> read_config_file(const std::filesystem::path& path);

// Puts the options of "--config FILE" behind the subcommand and before all other options, which so win.
std::vector<std::string> insert_config_file(std::vector<std::string> arguments);

}  // namespace lamina::app
