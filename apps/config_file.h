// --config FILE: options written in a file, one "name = value" a line, in TOML; or a run's config.json, whose
// "options" they are then.
//
//   data = "cifar10"          # as --data cifar10
//   lr_scaling = "linear"     # '_' or '-'
//   trace = true
//   milestones = [10, 15]     # as --milestones 10,15
//   [set]                     # as --set trust_coefficient=0.02
//   trust_coefficient = 0.02
//
// The command line wins over files, and of several files the later one. What is given later replaces what was
// given before, lists as a whole; only [set], a table, is replaced knob by knob. lr, momentum, weight_decay
// and clip_norm are knobs, too: `lr` and `lr` in [set] replace each other.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lamina::app {

// The file's options as command-line arguments. Throws Error if it cannot be read, UsageError if it is not in
// the form above.
std::vector<std::string> read_config_file(const std::filesystem::path& path);

// Puts the options of every "--config FILE" behind the subcommand, but for those that are given later.
std::vector<std::string> insert_config_files(std::vector<std::string> arguments);

}  // namespace lamina::app
