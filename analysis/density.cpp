#include "analysis/density.h"

#include <algorithm>

#include "analysis/lanczos.h"
#include "analysis/vectors.h"
#include "core/base/error.h"

namespace lamina::analysis {

std::vector<DensityNode> spectral_density(const Operator& h, std::int64_t n, DType dtype,
                                          const DensityOptions& options) {
  if (options.steps < 1 || options.starts < 1)
    fail_usage("density: {} steps from {} starts; expected 1 or more of both", options.steps, options.starts);
  check_basis_fits("density", n, dtype, options.steps * options.starts, "Take fewer steps or starts");
  std::vector<Lanczos> runs;
  runs.reserve(static_cast<std::size_t>(options.starts));
  for (int i = 0; i < options.starts; ++i)
    runs.emplace_back(random_signs(n, dtype, options.seed, static_cast<std::uint32_t>(i)));
  for (int step = 1; step <= options.steps; ++step) {
    std::vector<Lanczos*> going;
    std::vector<Tensor> vectors;
    for (Lanczos& run : runs)
      if (!run.complete()) {
        going.push_back(&run);
        vectors.push_back(run.vector());
      }
    if (going.empty()) break;
    const std::vector<Tensor> products = h(vectors);
    for (std::size_t i = 0; i < going.size(); ++i) going[i]->advance(products[i]);
    if (options.progress) options.progress(step, options.steps);
  }
  std::vector<DensityNode> nodes;
  for (const Lanczos& run : runs) {
    const RitzPairs pairs = run.ritz();
    for (std::size_t i = 0; i < pairs.values.size(); ++i)
      nodes.push_back({pairs.values[i], pairs.weights[i] / options.starts});
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const DensityNode& a, const DensityNode& b) { return a.value < b.value; });
  return nodes;
}

}  // namespace lamina::analysis
