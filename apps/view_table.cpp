#include "apps/view_table.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/view_recipes.h"

namespace lamina::app {

nlohmann::json views_json() {
  nlohmann::json list = nlohmann::json::array();
  for (const data::ViewRecipe& recipe : data::view_recipes()) {
    nlohmann::json views = nlohmann::json::array();
    for (const data::ViewPolicy& policy : recipe.views) views.push_back(data::describe(policy));
    list.push_back({{"name", recipe.name},
                    {"description", recipe.description},
                    {"views", views},
                    {"statistics", recipe.statistics},
                    {"source_size", recipe.source_size},
                    {"source", recipe.source}});
  }
  return list;
}

std::string view_table() {
  std::string table;
  for (const data::ViewRecipe& recipe : data::view_recipes()) table += view_text(recipe);
  return table;
}

std::string view_text(const data::ViewRecipe& recipe) {
  std::string text = fmt::format("{}\n    {}\n", recipe.name, recipe.description);
  for (std::size_t kind = 0; kind < recipe.views.size(); ++kind) {
    const std::string which = recipe.views.size() == 1 ? "views" : fmt::format("view {}", kind + 1);
    text += fmt::format("        {}: {}\n", which, data::describe(recipe.views[kind]));
  }
  return text + fmt::format("        {} pixels, normalised as {}\n        {}\n", recipe.source_size,
                            recipe.statistics, recipe.source);
}

}  // namespace lamina::app
