#include "compare/study.h"

#include <algorithm>
#include <set>

#include "compare/toml_file.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/whole_file.h"
#include "train/recipe.h"

namespace lamina::compare {
namespace {

using Json = nlohmann::ordered_json;

// A table of the file and what messages call it: "small.toml: [base] ".
struct Section {
  Json table;
  std::string place;
};

[[noreturn]] void fail_unknown(const Section& section, const std::string& key, const char* what,
                               const std::vector<std::string>& known) {
  fail_usage("{}{}: no such {}; did you mean {}?", section.place, key, what, nearest(key, known));
}

void check_keys(const Section& section, const std::vector<std::string>& known) {
  for (const auto& [key, value] : section.table.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) fail_unknown(section, key, "key", known);
  }
}

std::string text(const Section& section, const char* key, std::string otherwise) {
  if (!section.table.contains(key)) return otherwise;
  const Json& value = section.table[key];
  if (!value.is_string()) fail_usage("{}{}: {}; expected text", section.place, key, value.dump());
  return value.get<std::string>();
}

Section subsection(const Section& section, const char* key, const std::string& place) {
  if (!section.table.contains(key)) return {Json::object(), place};
  if (!section.table[key].is_object()) fail_usage("{}{}: expected a table", section.place, key);
  return {section.table[key], place};
}

// One table, or several under the same heading.
std::vector<Section> subsections(const Section& section, const char* key, const std::string& place) {
  if (!section.table.contains(key)) return {};
  std::vector<Section> all;
  const Json& tables = section.table[key];
  for (const Json& table : tables.is_array() ? tables : Json::array({tables})) {
    if (!table.is_object()) fail_usage("{}{}: expected a table", section.place, key);
    all.push_back({table, place});
  }
  return all;
}

// One that has the option, if there is such an option: whether the run is of that kind shows when it is
// planned.
train::Recipe of_its_kind(const std::string& option) {
  return to_json(train::Recipe()).contains(option) ? train::Recipe() : train::pretraining_recipe();
}

// Whether there is such an option, and whether it takes this value. Knobs are the optimizer's to know.
void check_setting(const std::string& place, const Setting& setting) {
  if (setting.name.starts_with("set.")) {
    if (setting.value.is_structured()) {
      fail_usage("{}{}: {}; expected one value", place, setting.name, setting.value.dump());
    }
    return;
  }
  if (setting.name == "set") fail_usage("{}set: expected a table, such as set.momentum = 0.9", place);
  try {
    train::Recipe scratch = of_its_kind(setting.name);
    set_option(scratch, setting.name, nlohmann::json(setting.value));
  } catch (const UsageError& error) {
    fail_usage("{}{}", place, error.what());
  }
}

// The table [set] as settings of its own: {set: {lambda: 1}} is {set.lambda: 1}.
Settings flattened(const Section& section) {
  Settings settings;
  for (const auto& [name, value] : section.table.items()) {
    if (name != "set" || !value.is_object()) {
      settings.push_back({name, value});
      continue;
    }
    for (const auto& [knob, setting] : value.items()) settings.push_back({"set." + knob, setting});
  }
  return settings;
}

Settings read_settings(const Section& section) {
  Settings settings = flattened(section);
  for (const Setting& setting : settings) check_setting(section.place, setting);
  std::set<std::string> keys;
  for (const Setting& setting : settings)
    if (!keys.insert(train::setting_key(setting.name)).second)
      fail_usage("{}{}: the same option is given by another name already; leave one out", section.place,
                 setting.name);
  return settings;
}

bool varies(const Grid& grid, const std::string& name) {
  return std::any_of(grid.begin(), grid.end(), [&](const Axis& axis) {
    return train::setting_key(axis.name) == train::setting_key(name);
  });
}

bool varies(const std::vector<Grid>& grids, const std::string& name) {
  return std::any_of(grids.begin(), grids.end(), [&](const Grid& grid) { return varies(grid, name); });
}

Grid read_grid(const Section& section) {
  Grid grid;
  for (const auto& [name, value] : flattened(section)) {
    Axis axis{name, value.is_array() ? value.get<std::vector<Json>>() : std::vector<Json>{value}};
    if (axis.values.empty())
      fail_usage("{}{}: an empty list; expected at least one value", section.place, name);
    if (varies(grid, name))
      fail_usage("{}{}: the grid varies the same option as another name already; leave one out",
                 section.place, name);
    for (const Json& one : axis.values) check_setting(section.place, {name, one});
    grid.push_back(std::move(axis));
  }
  return grid;
}

std::vector<Grid> read_grids(const Section& section, const std::string& place) {
  std::vector<Grid> grids;
  for (const Section& grid : subsections(section, "grid", place)) grids.push_back(read_grid(grid));
  if (grids.empty()) grids.emplace_back();
  return grids;
}

Contender read_contender(Section section, const std::string& file) {
  Contender contender;
  contender.label = text(section, "label", "");
  if (contender.label.empty()) fail_usage("{}label: missing; expected a name for the table", section.place);
  contender.grids =
      read_grids(section, fmt::format("{}: [contender.grid] of \"{}\" ", file, contender.label));
  section.place = fmt::format("{}: [[contender]] \"{}\" ", file, contender.label);
  section.table.erase("label");
  section.table.erase("grid");
  contender.settings = read_settings(section);
  return contender;
}

std::vector<std::string> axis_names(const Study& study) {
  std::vector<std::string> names;
  const auto add = [&](const std::vector<Grid>& grids) {
    for (const Grid& grid : grids) {
      for (const Axis& axis : grid) names.push_back(axis.name);
    }
  };
  add(study.grids);
  for (const Contender& contender : study.contenders) add(contender.grids);
  return names;
}

// One name or a list of them, each of an option that some grid varies.
std::vector<std::string> read_tuned(const Section& section, const Study& study) {
  if (!section.table.contains("tuned")) return {};
  const Json& value = section.table["tuned"];
  std::vector<std::string> tuned;
  for (const Json& name : value.is_array() ? value : Json::array({value})) {
    if (!name.is_string()) fail_usage("{}tuned: {}; expected options' names", section.place, value.dump());
    tuned.push_back(name);
    const std::vector<std::string> names = axis_names(study);
    if (std::find(names.begin(), names.end(), tuned.back()) != names.end()) continue;
    if (names.empty()) fail_usage("{}tuned: {}, but there is no grid", section.place, tuned.back());
    fail_usage("{}tuned: {} is in no grid; did you mean {}?", section.place, tuned.back(),
               nearest(tuned.back(), names));
  }
  return tuned;
}

std::optional<Criterion> read_criterion(const Section& section) {
  if (!section.table.contains("tuned_by")) return {};
  const std::string name = text(section, "tuned_by", "");
  if (name == "best_accuracy") return Criterion::best_accuracy;
  if (name == "last_accuracy") return Criterion::last_accuracy;
  if (name == "knn_accuracy") return Criterion::knn_accuracy;
  if (name == "linear_accuracy") return Criterion::linear_accuracy;
  if (name == "linear_as_official_accuracy") return Criterion::linear_as_official_accuracy;
  fail_usage(
      "{}tuned_by: \"{}\"; expected \"last_accuracy\", \"best_accuracy\", \"knn_accuracy\", "
      "\"linear_accuracy\" or \"linear_as_official_accuracy\"",
      section.place, name);
}

bool read_switch(const Section& section, const std::string& key) {
  const Json value = section.table.value(key, Json(false));
  if (!value.is_boolean()) fail_usage("{}{}: {}; expected true or false", section.place, key, value.dump());
  return value.get<bool>();
}

// true: as it is by default; a table: with other options.
std::vector<train::FrozenEvaluation> read_evaluations(const Section& section) {
  std::vector<std::string> known{"baseline"};
  std::vector<train::FrozenEvaluation> evaluations;
  for (train::FrozenEvaluation evaluation : train::frozen_evaluations()) {
    known.push_back(evaluation.name);
    const Json value = section.table.value(evaluation.name, Json(false));
    if (value == Json(false)) continue;
    const std::string place = section.place + evaluation.name;
    if (!value.is_object() && value != Json(true))
      fail_usage("{}: {}; expected true, false or a table of its options", place, value.dump());
    const Json options = value.is_object() ? value : Json::object();
    for (const auto& [option, setting] : options.items()) {
      try {
        set_option(evaluation, option, nlohmann::json(setting));
      } catch (const UsageError& error) {
        fail_usage("{}.{}", place, error.what());
      }
    }
    evaluations.push_back(std::move(evaluation));
  }
  check_keys(section, known);
  return evaluations;
}

void read_evaluation(const Section& section, Study& study) {
  study.evaluations = read_evaluations(section);
  study.baseline = read_switch(section, "baseline");
  if (study.baseline && study.evaluations.empty())
    fail_usage("{}baseline: nothing is evaluated; add knn, linear or linear_as_official", section.place);
}

// What a contender fixes, no grid for all can vary.
void check_fixed(const Study& study) {
  for (const Contender& contender : study.contenders) {
    const auto refuse = [&](const std::string& name) {
      if (!varies(study.grids, name)) return;
      fail_usage("{}: {} is in [grid], and the contender \"{}\" gives it too; leave it out of one of them",
                 study.file.string(), name, contender.label);
    };
    for (const Setting& setting : contender.settings) refuse(setting.name);
    for (const Grid& grid : contender.grids) {
      for (const Axis& axis : grid) refuse(axis.name);
    }
  }
}

}  // namespace

Study read_study(const std::filesystem::path& path) {
  const std::string file = path.string();
  const std::string contents = read_text(path);
  const Section root{parse_toml(contents, file), file + ": "};
  check_keys(root, {"title", "introduction", "base", "grid", "contender", "tuned", "tuned_by", "evaluate"});
  Study study{.file = path,
              .text = contents,
              .title = text(root, "title", path.stem().string()),
              .introduction = text(root, "introduction", ""),
              .base = read_settings(subsection(root, "base", file + ": [base] ")),
              .grids = read_grids(root, file + ": [grid] "),
              .contenders = {},
              .tuned = {}};
  for (const Section& section : subsections(root, "contender", file + ": [[contender]] ")) {
    study.contenders.push_back(read_contender(section, file));
  }
  if (study.contenders.empty()) study.contenders.push_back({study.title, {}, {Grid{}}});
  check_fixed(study);
  study.tuned = read_tuned(root, study);
  study.tuned_by = read_criterion(root);
  read_evaluation(subsection(root, "evaluate", file + ": [evaluate] "), study);
  return study;
}

}  // namespace lamina::compare
