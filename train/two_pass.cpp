#include "train/two_pass.h"

namespace lamina {

data::Loader loader_for(const Objective& objective, data::Loader loader,
                        const std::optional<SamOptions>& sharpness_aware) {
  data::LoaderOptions options = loader.options();
  if (sharpness_aware) check_sharpness_aware(*sharpness_aware, options, objective.needs_whole_batch());
  const bool perturbed = perturbs(sharpness_aware), by_part = perturbed && sharpness_aware->m > 0;
  if (by_part) options.micro_batch = sharpness_aware->m;
  const bool in_parts = options.micro_batch > 0 && options.micro_batch < options.batch;
  if (perturbed)  // a share that is one part has its gradients added up between two backward passes
    options.passes = in_parts && !by_part ? 2 : 1;
  else if ((in_parts || options.share.of > 1) && dynamic_cast<const TwoPassObjective*>(&objective) != nullptr)
    options.passes = 2;
  loader = data::Loader(loader.split(), options);
  objective.check_loader(loader);
  return loader;
}

}  // namespace lamina
