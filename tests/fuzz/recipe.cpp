#include "train/recipe.h"

#include "target.h"

namespace lamina::fuzz {

// "options" of a config.json: what is read and written reads the same, and can be compared with any other.
FUZZ_TARGET(recipe) {
  const nlohmann::json json = nlohmann::json::parse(input.begin(), input.end(), nullptr, false);
  if (json.is_discarded()) return;
  train::Recipe recipe;
  if (!accepts([&] { recipe = train::recipe_from_json(json, "config.json"); })) return;
  const nlohmann::json written = to_json(recipe);
  expect(to_json(train::recipe_from_json(written, "written")) == written, "a recipe written reads the same");
  expect(train::list_differences(written, written).empty(), "a recipe differs in nothing from itself");
  accepts([&] { train::check_recipe(recipe); });
}

}  // namespace lamina::fuzz
