#include "compare/compared_options.h"

#include <fmt/format.h>

#include <cctype>

#include "compare/named_data.h"
#include "train/recipe.h"

namespace lamina::compare {
namespace {

bool changes_results(const train::OptionInfo& info) {
  const std::string name = info.name;
  if (name == "data") return true;  // its directory may change, the data may not
  return !info.may_change && name != "seed" && name != "trace" && name != "noise_scale" &&
         name != "knn_every" && !name.starts_with("sharpness_");
}

std::vector<std::string> names_that_count(const auto& visit_options_of) {
  std::vector<std::string> names;
  visit_options_of([&](const train::OptionInfo& info, const auto&) {
    if (changes_results(info)) names.emplace_back(info.name);
  });
  names.emplace_back("objective");
  names.emplace_back("transform");
  return names;
}

// Options of pretraining whose default stands for something that the run has chosen, and is to be named.
bool is_chosen_by_run(const std::string& name) {
  return name == "views" || name == "set_loss" || name == "projector" || name == "bn_batch";
}

// "runs/lars_seed={seed}" of "runs/lars_seed=1": runs that go on from the runs of their own seeds belong
// together.
nlohmann::json of_any_seed(std::string path, std::uint64_t seed) {
  const std::string own = fmt::format("seed={}", seed), any = fmt::format("seed={}", seed_placeholder);
  for (std::size_t at = 0; (at = path.find(own, at)) != std::string::npos; at += any.size()) {
    const std::size_t end = at + own.size();
    if (end == path.size() || std::isdigit(static_cast<unsigned char>(path[end])) == 0)
      path.replace(at, own.size(), any);
  }
  return path;
}

// What an option that was not given became: "resolved" names it, or the optimizer's knob.
std::string resolved_text(const RunResult& run, const std::string& name) {
  const nlohmann::json resolved = run.config.value("resolved", nlohmann::json::object());
  if (resolved.contains(name)) return as_text(resolved[name]);
  if (name == "set_loss" && resolved.contains("loss")) return settings_text(resolved["loss"]);
  const nlohmann::json knobs = resolved.value("knobs", nlohmann::json::object());
  if (knobs.contains(name)) return as_text(knobs[name]);
  return name == "momentum" && !knobs.empty() ? "" : "default";  // not every optimizer has one
}

}  // namespace

const nlohmann::json& option_defaults() {
  static const nlohmann::json defaults = [] {
    nlohmann::json options = train::default_options();
    options["objective"] = "classification";
    options["transform"] = false;
    return options;
  }();
  return defaults;
}

const nlohmann::json& option_of(const RunResult& run, const std::string& name) {
  const nlohmann::json& options = run.config.at("options");
  const auto found = options.find(name);
  return found == options.end() ? option_defaults().at(name) : *found;
}

const std::vector<std::string>& compared_options() {
  static const train::Recipe recipe;
  static const auto names =
      names_that_count([](const auto& visit) { train::visit_all_options(recipe, visit); });
  return names;
}

std::vector<std::string> compared_options_of(const RunResult& run) {
  const bool pretrained = run.config.at("options").contains("method");
  const train::Recipe recipe = pretrained ? train::pretraining_recipe() : train::Recipe();
  return names_that_count([&](const auto& visit) { train::visit_options(recipe, visit); });
}

nlohmann::json comparable_value(const RunResult& run, const std::string& name, const std::string& data) {
  if (name == "data") return data;
  const nlohmann::json& value = option_of(run, name);
  return name == "init_weights" && value.is_string() ? of_any_seed(value.get<std::string>(), run.seed())
                                                     : value;
}

std::string as_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string text;
  for (const nlohmann::json& element : value) text += (text.empty() ? "" : " ") + as_text(element);
  return text;
}

std::string settings_text(const nlohmann::json& settings) {
  std::string text;
  for (const auto& [name, value] : settings.items())
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, as_text(value));
  return text;
}

std::vector<DescribedOption> describe_options(const RunResult& run) {
  std::vector<DescribedOption> options;
  for (const std::string& name : compared_options_of(run)) {
    const nlohmann::json value =
        comparable_value(run, name, run.data.empty() ? name_data({run}).front() : run.data);
    const bool chosen = is_chosen_by_run(name);
    options.push_back({name, value.is_null() || chosen ? resolved_text(run, name) : as_text(value),
                       !chosen && value == option_defaults().at(name)});
  }
  return options;
}

}  // namespace lamina::compare
