#include "compare/report/curvature_map.h"
#include "target.h"

namespace lamina::fuzz {

// curvature.safetensors as reports read it: a map, or the reason why there is none; never an exception.
FUZZ_TARGET(curvature) {
  compare::Group group;
  compare::RunResult& run = group.runs.emplace_back();
  run.path = empty_folder();
  run.complete = true;
  put(run.path / "curvature.safetensors", text_of(input));
  for (const bool all_layers : {false, true}) {
    const compare::LayerMap map = compare::read_curvature_map(group, all_layers);
    if (!accepts([&] { check(map.problem.empty(), "{}", map.problem); })) continue;
    const std::size_t cells = map.layers.size() * map.epochs.size();
    for (const std::size_t trace : {0, 1})
      expect(map.values[trace].size() == cells, "a trace for each layer and epoch");
    for (const std::size_t eigenvalue : {2, 3})
      expect(map.values[eigenvalue].size() == (map.shows(2) ? cells : 0), "all eigenvalues, or none");
    compare::colour_range({map}, 0);
  }
}

}  // namespace lamina::fuzz
