#include "compare/study_baseline.h"

#include <algorithm>
#include <set>

#include "compare/toml_file.h"
#include "core/base/error.h"
#include "train/recipe.h"

namespace lamina::compare {
namespace {

nlohmann::json options_of_baseline(const Cell& cell) {
  const nlohmann::json all = train::all_options(cell.recipe);
  nlohmann::json options = nlohmann::json::object();
  for (const std::string& name : baseline_options()) options[name] = all.at(name);
  return options;
}

// What tells the baselines of a study apart beside the model.
std::vector<std::string> differing_options(const std::vector<Baseline>& baselines) {
  std::vector<std::string> names;
  for (const std::string& name : baseline_options()) {
    const bool differs = std::any_of(baselines.begin(), baselines.end(), [&](const Baseline& baseline) {
      return baseline.options[name] != baselines.front().options[name];
    });
    if (differs) names.push_back(name);
  }
  return names;
}

void set_names(Baseline& baseline, const std::vector<std::string>& differing) {
  const nlohmann::json& options = baseline.options;
  baseline.name = options["model"].get<std::string>();
  baseline.label = "random weights";
  for (const std::string& name : differing) {
    const std::string value = plain_text(options[name]);
    if (name != "seed") baseline.label += fmt::format(", {} {}", name, value);
    if (name != "seed" && name != "model")
      baseline.name += fmt::format("_{}={}", name, file_name_part(value));
  }
  baseline.name += fmt::format("_seed={}", options["seed"].dump());
}

}  // namespace

const std::vector<std::string>& baseline_options() {
  static const std::vector<std::string> names{
      "data",         "model",       "stem",       "shortcut", "init",      "normalise", "image_size",
      "skip_damaged", "limit_train", "limit_test", "valid",    "precision", "seed"};
  return names;
}

std::vector<Baseline> plan_baselines(const std::vector<Cell>& cells) {
  std::vector<Baseline> baselines;
  for (const Cell& cell : cells) {
    nlohmann::json options = options_of_baseline(cell);
    const bool is_known = std::any_of(baselines.begin(), baselines.end(),
                                      [&](const Baseline& other) { return other.options == options; });
    if (!is_known) baselines.push_back({.name = {}, .label = {}, .options = options, .cell = &cell});
  }
  const std::vector<std::string> differing = differing_options(baselines);
  std::set<std::string> names;
  for (Baseline& baseline : baselines) {
    set_names(baseline, differing);
    const std::string name = baseline.name;
    for (int n = 2; !names.insert(baseline.name).second; ++n) baseline.name = fmt::format("{}_{}", name, n);
  }
  return baselines;
}

const Baseline& baseline_of(const Cell& cell, const std::vector<Baseline>& baselines) {
  const nlohmann::json options = options_of_baseline(cell);
  const auto found = std::find_if(baselines.begin(), baselines.end(),
                                  [&](const Baseline& baseline) { return baseline.options == options; });
  check(found != baselines.end(), "baseline of {}: none was planned", cell.name);
  return *found;
}

}  // namespace lamina::compare
