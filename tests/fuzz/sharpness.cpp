#include <cmath>

#include "compare/sharpness_file.h"
#include "target.h"

namespace lamina::fuzz {

// sharpness.json as reports read it: an eigenvalue at least, each with its residual, and weights that are
// weights.
FUZZ_TARGET(sharpness) {
  const std::filesystem::path path = put(empty_folder() / "sharpness.json", text_of(input));
  compare::SharpnessFile found;
  if (!accepts([&] { found = compare::read_sharpness(path); })) return;
  expect(!found.eigenvalues.empty() && found.eigenvalues.size() == found.residuals.size(),
         "a residual for each eigenvalue");
  for (const auto& [value, weight] : found.density)
    expect(std::isfinite(value) && weight >= 0, "density is of finite values");
}

}  // namespace lamina::fuzz
