#include "analysis/recipe_curvature.h"

#include "analysis/curvature.h"

namespace lamina::analysis {

std::unique_ptr<Observer> curvature_of(const train::Setup& setup) {
  const train::Recipe& recipe = setup.recipe.recipe;
  if (recipe.sharpness_every == 0) return nullptr;
  const FixedSamples samples{.samples = recipe.sharpness_limit, .workers = recipe.workers};
  return std::make_unique<Curvature>(
      fixed_samples(*setup.objective, setup.data.train, setup.recipe.loader.recipe, samples, setup.device),
      CurvatureOptions{.every = recipe.sharpness_every,
                       .batch_norm = parse_batch_norm_mode(recipe.sharpness_bn),
                       .layers = recipe.sharpness_layers ? std::optional(LayerOptions{}) : std::nullopt});
}

}  // namespace lamina::analysis
