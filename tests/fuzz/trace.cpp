#include "compare/report/maps.h"
#include "target.h"

namespace lamina::fuzz {

// trace.safetensors as reports read it: a map, or the reason why there is none; never an exception.
FUZZ_TARGET(trace) {
  compare::Group group;
  compare::RunResult& run = group.runs.emplace_back();
  run.path = empty_folder();
  run.complete = true;
  put(run.path / "trace.safetensors", text_of(input));
  for (const bool all_layers : {false, true}) {
    const compare::LayerMap map = compare::read_layer_map(group, all_layers);
    if (!accepts([&] { check(map.problem.empty(), "{}", map.problem); })) continue;
    for (std::size_t quantity = 0; quantity < map.values.size(); ++quantity)
      expect(!map.shows(quantity) ||
                 map.values[quantity].size() == map.layers.size() * static_cast<std::size_t>(map.columns),
             "a value for each layer and column");
    compare::colour_range({map}, 0);
  }
}

}  // namespace lamina::fuzz
