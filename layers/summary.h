// A table of a model's layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers/module.h"

namespace lamina {

struct LayerSummary {
  std::string name;                // "layer1.0.conv1"
  std::string kind;                // "Conv2d 16 -> 16, 3x3"
  Shape output;                    // of one pass with the given input
  std::int64_t parameters = 0;     // trainable elements
  std::int64_t multiply_adds = 0;  // per image
};

struct ModelSummary {
  std::vector<LayerSummary> layers;  // those without children, in order of execution
  std::int64_t parameters = 0;
  std::int64_t multiply_adds = 0;  // per image

  std::string str() const;  // the table, ends with the totals
};

// Runs the model once on zeros of shape `input` ([N, H, W, C], on the model's device and in its dtype), in
// evaluation mode and without gradients; nothing in the model changes.
ModelSummary summary(Module& module, const Shape& input);

}  // namespace lamina
