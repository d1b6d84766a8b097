#include "train/model_info.h"

#include "layers/resnet.h"

namespace lamina::train {

WeightInfo model_info(const Module& module) {
  const auto* net = dynamic_cast<const ResNet*>(&module);
  if (net == nullptr) return {};
  return {.model = net->model(),
          .stem = name_of(*net->options().stem),
          .shortcut = name_of(*net->options().shortcut),
          .classes = {},
          .mean = {},
          .std = {}};
}

}  // namespace lamina::train
