#include "compare/compared_options.h"

#include "compare/named_data.h"
#include "train/recipe.h"

namespace lamina::compare {
namespace {

bool changes_results(const train::OptionInfo& info) {
  const std::string name = info.name;
  if (name == "data") return true;  // its directory may change, the data may not
  return !info.may_change && name != "seed" && name != "trace" && name != "noise_scale";
}

// What an option that was not given became: "resolved" names it, or the optimizer's knob.
std::string resolved_text(const RunResult& run, const std::string& name) {
  const nlohmann::json resolved = run.config.value("resolved", nlohmann::json::object());
  if (resolved.contains(name)) return as_text(resolved[name]);
  const nlohmann::json knobs = resolved.value("knobs", nlohmann::json::object());
  if (knobs.contains(name)) return as_text(knobs[name]);
  return name == "momentum" && !knobs.empty() ? "" : "default";  // not every optimizer has one
}

}  // namespace

const nlohmann::json& default_options() {
  static const nlohmann::json defaults = [] {
    nlohmann::json options = to_json(train::Recipe{});
    options["objective"] = "classification";
    options["transform"] = false;
    return options;
  }();
  return defaults;
}

const nlohmann::json& option_of(const RunResult& run, const std::string& name) {
  const nlohmann::json& options = run.config.at("options");
  const auto found = options.find(name);
  return found == options.end() ? default_options().at(name) : *found;
}

const std::vector<std::string>& compared_options() {
  static const auto names = [] {
    std::vector<std::string> list;
    const train::Recipe options;
    visit_options(options, [&](const train::OptionInfo& info, const auto&) {
      if (changes_results(info)) list.emplace_back(info.name);
    });
    list.emplace_back("objective");
    list.emplace_back("transform");
    return list;
  }();
  return names;
}

nlohmann::json comparable_value(const RunResult& run, const std::string& name, const std::string& data) {
  return name == "data" ? nlohmann::json(data) : option_of(run, name);
}

std::string as_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string text;
  for (const nlohmann::json& element : value) text += (text.empty() ? "" : " ") + as_text(element);
  return text;
}

std::vector<DescribedOption> describe_options(const RunResult& run) {
  std::vector<DescribedOption> options;
  for (const std::string& name : compared_options()) {
    const nlohmann::json value =
        comparable_value(run, name, run.data.empty() ? name_data({run}).front() : run.data);
    options.push_back({name, value.is_null() ? resolved_text(run, name) : as_text(value),
                       value == default_options().at(name)});
  }
  return options;
}

}  // namespace lamina::compare
