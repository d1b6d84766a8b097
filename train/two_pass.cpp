#include "train/two_pass.h"

#include <utility>

namespace lamina::train {

data::Loader loader_for(const Objective& objective, data::Loader loader) {
  objective.check_loader(loader);
  data::LoaderOptions options = loader.options();
  const bool in_parts = options.micro_batch > 0 && options.micro_batch < options.batch;
  if (!in_parts || dynamic_cast<const TwoPassObjective*>(&objective) == nullptr) return loader;
  options.passes = 2;
  return data::Loader(loader.split(), options);
}

FirstPassBuffers::FirstPassBuffers(const Module& module) {
  for (const auto& param : module.state())
    if (param->kind == ParamKind::buffer) buffers_.push_back({param, param->value.clone()});
}

void FirstPassBuffers::swap() {
  for (Buffer& buffer : buffers_) {
    const Tensor value = buffer.param->value.clone();
    buffer.param->value.copy_from(buffer.other);
    buffer.other = value;
  }
}

}  // namespace lamina::train
