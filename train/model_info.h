// What a module says of itself in weight files.
#pragma once

#include "layers/module.h"
#include "layers/weights.h"

namespace lamina::train {

// Model, stem and shortcut of a ResNet; nothing of other modules.
WeightInfo model_info(const Module& module);

}  // namespace lamina::train
