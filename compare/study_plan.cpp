#include "compare/study_plan.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "compare/compared_options.h"
#include "compare/toml_file.h"
#include "core/base/error.h"
#include "core/base/note.h"
#include "core/base/option_name.h"
#include "optim/presets.h"
#include "train/setup.h"
#include "train/without_effect.h"

namespace lamina::compare {
namespace {

// Every combination of the values of a grid's axes.
std::vector<Settings> combinations(const Grid& grid) {
  std::vector<Settings> all{{}};
  for (const Axis& axis : grid) {
    std::vector<Settings> longer;
    for (const Settings& settings : all) {
      for (const auto& value : axis.values) {
        longer.push_back(settings);
        longer.back().push_back({axis.name, value});
      }
    }
    all = std::move(longer);
  }
  return all;
}

std::vector<Settings> combinations(const std::vector<Grid>& grids) {
  std::vector<Settings> all;
  for (const Grid& grid : grids) {
    for (Settings& settings : combinations(grid)) all.push_back(std::move(settings));
  }
  return all;
}

// The method first: it tells which options there are.
void apply_settings(train::Recipe& recipe, Settings settings) {
  std::stable_partition(settings.begin(), settings.end(),
                        [](const Setting& s) { return s.name == "method"; });
  for (const Setting& setting : settings) {
    if (setting.name.starts_with("set.")) {
      set_knob(recipe, short_name(setting.name), plain_text(setting.value));
    } else {
      set_option(recipe, setting.name, nlohmann::json(setting.value));
    }
  }
}

// One level after the other: what a later one sets replaces the earlier ones' option and knob alike.
Settings joined(const std::vector<Settings>& levels) {
  Settings all;
  for (const Settings& level : levels) {
    for (const Setting& later : level)
      std::erase_if(all, [&](const Setting& earlier) {
        return train::setting_key(earlier.name) == train::setting_key(later.name);
      });
    all.insert(all.end(), level.begin(), level.end());
  }
  return all;
}

// Text options say {seed} for the seed of their run.
void name_seed(Settings& settings) {
  const auto seed = std::find_if(settings.begin(), settings.end(),
                                 [](const Setting& setting) { return setting.name == "seed"; });
  const std::string number =
      seed == settings.end() ? std::to_string(train::Recipe().seed) : plain_text(seed->value);
  for (Setting& setting : settings) {
    if (!nlohmann::json(setting.value).is_string()) continue;
    std::string text = plain_text(setting.value);
    for (std::size_t at = 0; (at = text.find(seed_placeholder, at)) != std::string::npos; at += number.size())
      text.replace(at, seed_placeholder.size(), number);
    setting.value = text;
  }
}

// The seed comes last, since cells that differ in it belong together.
Cell make_cell(const Contender& contender, Settings point) {
  std::stable_partition(point.begin(), point.end(), [](const Setting& s) { return s.name != "seed"; });
  Cell cell{.name = file_name_part(contender.label),
            .contender = contender.label,
            .label = contender.label,
            .point = {},
            .recipe = {}};
  for (const Setting& setting : point) {
    const std::string name = short_name(setting.name), value = plain_text(setting.value);
    cell.name += fmt::format("_{}={}", name, file_name_part(value));
    if (name == "seed") continue;
    cell.label += fmt::format(", {} {}", name, value);
    cell.point.emplace_back(setting.name, value);
  }
  return cell;
}

// The overrides as settings: options by their names, knobs as "set.KNOB".
Settings settings_of(const train::Recipe& overrides, const std::set<std::string>& given) {
  const nlohmann::json values = train::all_options(overrides);
  Settings settings;
  for (const std::string& name : given)
    if (name != "set") settings.push_back({name, values[name]});
  for (const std::string& text : overrides.set)
    for (const auto& [knob, value] : parse_settings(text)) settings.push_back({"set." + knob, value});
  return settings;
}

// An override of what a grid varies would make all its cells the same.
void check_overrides(const Settings& point, const Settings& overrides) {
  for (const Setting& setting : point)
    for (const Setting& given : overrides)
      if (train::setting_key(setting.name) == train::setting_key(given.name))
        fail_usage("{} is in a grid of the study: leave {} out of the command line", setting.name,
                   option_name(given.name.starts_with("set.") ? "set" : given.name));
}

// `own`: the options given for this cell, not for all; those may do nothing in some.
void check_cell(const Cell& cell, const std::set<std::string>& own) {
  try {
    check_effects(train::resolve(cell.recipe), own);
  } catch (const UsageError& error) {
    fail_usage("run {}: {}", cell.name, error.what());
  }
}

// What [base] or the command line gives all runs may do nothing in some, but hardly in every one. No error: a
// study that is there goes on with it.
void note_without_effect(const std::vector<Cell>& cells, const std::set<std::string>& given) {
  for (const std::string& name : given) {
    std::string why;
    const bool counts = std::any_of(cells.begin(), cells.end(), [&](const Cell& cell) {
      why = train::without_effect(train::resolve(cell.recipe), {name});
      return why.empty();
    });
    if (!counts) note("in no run of the study: {}", why);
  }
}

std::set<std::string> names_of(const std::vector<Settings>& all) {
  std::set<std::string> names;
  for (const Settings& settings : all)
    for (const Setting& setting : settings) names.insert(setting.name);
  return names;
}

void check_distinct(const std::vector<Cell>& cells) {
  std::map<std::string, const Cell*> by_name, by_options;
  for (const Cell& cell : cells) {
    const auto [other, is_new] = by_options.emplace(to_json(cell.recipe).dump(), &cell);
    if (!is_new) fail_usage("runs {} and {} have the same options", other->second->name, cell.name);
    if (!by_name.emplace(cell.name, &cell).second) {
      fail_usage("two runs would be called {}; give their contenders labels that differ in letters or digits",
                 cell.name);
    }
  }
}

bool evaluates(const Study& study, const char* name) {
  return std::any_of(study.evaluations.begin(), study.evaluations.end(),
                     [&](const train::FrozenEvaluation& evaluation) { return evaluation.name == name; });
}

bool is_measured(Criterion criterion, const Study& study, const Cell& cell) {
  switch (criterion) {
    case Criterion::best_accuracy:
    case Criterion::last_accuracy:
      return !cell.recipe.method;
    case Criterion::linear_accuracy:
      return evaluates(study, "linear");
    case Criterion::linear_as_official_accuracy:
      return evaluates(study, "linear_as_official");
    case Criterion::knn_accuracy:
      break;
  }
  return evaluates(study, "knn") || (cell.recipe.method && cell.recipe.knn_every > 0);
}

}  // namespace

Criterion criterion_of(const Study& study, const std::vector<Cell>& cells) {
  const bool pretrains = std::any_of(cells.begin(), cells.end(),
                                     [](const Cell& cell) { return cell.recipe.method.has_value(); });
  const Criterion criterion =
      study.tuned_by.value_or(pretrains ? Criterion::knn_accuracy : Criterion::last_accuracy);
  for (const Cell& cell : cells) {
    if (is_measured(criterion, study, cell)) continue;
    fail_usage(
        "{}: values are chosen by the {}, which {} does not measure: that of the nearest neighbours is of "
        "pretraining, every {} epochs, or of what [evaluate] names, as those of linear probes are, the "
        "others "
        "of supervised training; choose another tuned_by",
        study.file.string(), describe(criterion), cell.name, option_name("knn_every"));
  }
  return criterion;
}

const char* describe(Criterion criterion) {
  switch (criterion) {
    case Criterion::best_accuracy:
      return "best accuracy";
    case Criterion::last_accuracy:
      return "last accuracy";
    case Criterion::linear_accuracy:
      return "accuracy of the linear probe";
    case Criterion::linear_as_official_accuracy:
      return "accuracy of the linear probe as official";
    case Criterion::knn_accuracy:
      break;
  }
  return "accuracy of the nearest neighbours";
}

std::string file_name_part(const std::string& text) {
  std::string part;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool keeps = byte >= 0x80 || std::isalnum(byte) != 0 || c == '.' || c == '_' || c == '-';
    if (keeps) {
      part += static_cast<char>(std::tolower(byte));
    } else if (!part.empty() && part.back() != '-') {
      part += '-';
    }
  }
  return part.erase(part.find_last_not_of('-') + 1);
}

std::string short_name(const std::string& setting) {
  return setting.starts_with("set.") ? setting.substr(4) : setting;
}

std::vector<Cell> plan_cells(const Study& study, const train::Recipe& overrides,
                             const std::set<std::string>& given) {
  const Settings forced = settings_of(overrides, given);
  std::vector<Cell> cells;
  std::vector<std::set<std::string>> own;
  for (const Settings& shared : combinations(study.grids)) {
    for (const Contender& contender : study.contenders) {
      for (Settings point : combinations(contender.grids)) {
        point.insert(point.end(), shared.begin(), shared.end());
        check_overrides(point, forced);
        Cell cell = make_cell(contender, point);
        Settings settings = joined({study.base, contender.settings, point, forced});
        name_seed(settings);
        apply_settings(cell.recipe, settings);
        train::make_paths_absolute(cell.recipe);
        cells.push_back(std::move(cell));
        own.push_back(names_of({contender.settings, point}));
      }
    }
  }
  check_distinct(cells);
  if (!study.tuned.empty()) criterion_of(study, cells);
  for (std::size_t i = 0; i < cells.size(); ++i) check_cell(cells[i], own[i]);
  note_without_effect(cells, names_of({study.base, forced}));
  return cells;
}

}  // namespace lamina::compare
