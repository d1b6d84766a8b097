// The options that several commands have, on the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "apps/command.h"
#include "train/load_model.h"
#include "train/recipe.h"

namespace lamina::app {

// "--micro-batch" for "micro_batch".
std::string flag_of(std::string_view name);
// The same for what messages of the libraries name: a run's directory is --out here.
std::string name_in_messages(std::string_view name);

void add_options(const Command& command, train::Recipe& recipe);      // of a recipe of its kind
void add_all_options(const Command& command, train::Recipe& recipe);  // of both kinds
// The names, as in config.json, of the options that the command line gave.
std::set<std::string> given_options(const Command& command);
// "lamina train" or "lamina pretrain", which a run of the recipe is made by.
std::string command_name(const train::Recipe& recipe);
// As one word for a shell, which would take a * or a space for its own.
std::string quoted(const std::string& word);
// The command that repeats a run: every option whose value is not the default.
std::string command_line(const train::Recipe& recipe);

void add_options(const Command& command, train::DeviceOptions& options);  // all but --precision
void add_precision(const Command& command, train::DeviceOptions& options);

// How the images of a folder are read: as in training where they are not given.
void add_image_options(const Command& command, std::optional<int>& image_size, bool& skip_damaged,
                       std::optional<std::int64_t>& max_pixels);

// guesses_statistics: whether ImageNet's mean and deviation stand in for what a file does not say.
void add_options(const Command& command, train::ModelOptions& options, bool guesses_statistics = true);

}  // namespace lamina::app
