#include "compare/study.h"

#include <set>

#include "compare/study_plan.h"
#include "target.h"

namespace lamina::fuzz {

// A study's file: what is planned has names of its own, which are no paths, and recipes that read back.
FUZZ_TARGET(study) {
  const std::filesystem::path path = put(empty_folder() / "study.toml", text_of(input));
  std::vector<compare::Cell> cells;
  if (!accepts([&] {
        const compare::Study read = compare::read_study(path);
        std::size_t runs = 1;  // a grid of thousands takes long to plan, and shows no more
        for (const compare::Grid& grid : read.grids)
          for (const compare::Axis& axis : grid) runs *= axis.values.size();
        if (runs <= 100) cells = compare::plan_cells(read);
      }))
    return;
  std::set<std::string> names;
  for (const compare::Cell& cell : cells) {
    expect(names.insert(cell.name).second, "every run has a directory of its own");
    expect(!cell.name.empty() && cell.name.find('/') == std::string::npos && cell.name != "..",
           "in the study's");
    const nlohmann::json json = to_json(cell.recipe);
    expect(to_json(train::recipe_from_json(json, "recipe")) == json, "a recipe reads back as it is");
  }
}

}  // namespace lamina::fuzz
