// A study: runs of training to be compared, as a file describes them. docs/studies.md has the format.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/frozen_options.h"

namespace lamina::compare {

// An option of `lamina train`, or with a method of `lamina pretrain`, by its name in config.json, or
// "set.KNOB" for a knob of the optimizer.
struct Setting {
  std::string name;
  nlohmann::ordered_json value;
};
using Settings = std::vector<Setting>;

// An option that takes several values, one after the other.
struct Axis {
  std::string name;
  std::vector<nlohmann::ordered_json> values;  // at least one
};
// Every combination of its axes' values, the first axis the slowest. Without axes: one combination, of
// nothing.
using Grid = std::vector<Axis>;

struct Contender {
  std::string label;
  Settings settings;
  std::vector<Grid> grids;  // one after the other
};

enum class Criterion {
  best_accuracy,
  last_accuracy,
  knn_accuracy,
  linear_accuracy,
  linear_as_official_accuracy
};

struct Study {
  std::filesystem::path file;
  std::string text;                 // of the file
  std::string title, introduction;  // of the report
  Settings base;                    // of all runs
  std::vector<Grid> grids;          // each for all contenders
  std::vector<Contender> contenders;
  std::vector<std::string> tuned;          // the table has only the best value of these, for each contender
  std::optional<Criterion> tuned_by = {};  // by default last_accuracy, or knn_accuracy of pretraining
  std::vector<train::FrozenEvaluation> evaluations = {};  // of every finished run
  bool baseline = false;                                  // and of the random weights that they start from
};

// Throws Error if the file cannot be read; UsageError naming the place of what is wrong in it: no TOML, keys
// and options that do not exist (with the nearest that does), values of the wrong type, empty lists.
Study read_study(const std::filesystem::path& file);

}  // namespace lamina::compare
