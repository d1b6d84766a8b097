#include "compare/compared_options.h"

#include <fmt/format.h>

#include "train/recipe.h"

namespace lamina::compare {
namespace {

using Json = nlohmann::json;

bool changes_results(const train::OptionInfo& info) {
  const std::string name = info.name;
  if (name == "data") return true;  // its directory may change, the data may not
  return !info.may_change && name != "seed" && name != "trace" && name != "noise_scale" &&
         name != "knn_every";
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

}  // namespace

const Json& option_defaults() {
  static const Json defaults = [] {
    Json options = train::default_options();
    options["objective"] = "classification";
    options["transform"] = false;
    return options;
  }();
  return defaults;
}

const Json& option_or_default(const Json& options, const std::string& name) {
  const auto found = options.find(name);
  return found == options.end() ? option_defaults().at(name) : *found;
}

const std::vector<std::string>& compared_options() {
  static const train::Recipe recipe;
  static const auto names =
      names_that_count([](const auto& visit) { train::visit_all_options(recipe, visit); });
  return names;
}

std::vector<std::string> compared_options_of(const Json& options) {
  const train::Recipe recipe = options.contains("method") ? train::pretraining_recipe() : train::Recipe();
  return names_that_count([&](const auto& visit) { train::visit_options(recipe, visit); });
}

std::string option_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text;
  for (const Json& element : value) text += (text.empty() ? "" : " ") + option_text(element);
  return text;
}

}  // namespace lamina::compare
