#include "train/two_pass.h"

namespace lamina {

data::Loader loader_for(const Objective& objective, data::Loader loader) {
  objective.check_loader(loader);
  data::LoaderOptions options = loader.options();
  const bool in_parts = options.micro_batch > 0 && options.micro_batch < options.batch;
  if (!in_parts || dynamic_cast<const TwoPassObjective*>(&objective) == nullptr) return loader;
  options.passes = 2;
  return data::Loader(loader.split(), options);
}

}  // namespace lamina
