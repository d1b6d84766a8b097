// Which parameters decay, which get a layer-wise ratio, and at what share of the learning rate the others
// move. This is the one place that decides it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "optim/arena.h"

namespace lamina {

enum class AppliesTo {
  none,
  weights,  // weights of convolution and linear layers
  all,      // biases and normalisation parameters as well
  decayed,  // those whose weight decay is not zero; for `adapt` only
};

struct Groups {
  AppliesTo decay = AppliesTo::weights;
  AppliesTo adapt = AppliesTo::weights;  // read by layer-wise rules only
  double excluded_lr_scale = 1;  // of the learning rate, for parameters that a layer-wise rule does not adapt
};

// What the groups mean for one segment.
struct LayerSettings {
  double weight_decay = 0;
  double lr_scale = 1;
  bool adapts = false;
};

std::vector<LayerSettings> settings_for(std::span<const Segment> segments, const Groups& groups,
                                        double weight_decay, bool layerwise);

// A table for the start of a run: per kind the number of tensors and elements, weight decay, whether the
// ratio applies, and the learning-rate scale.
std::string group_table(std::span<const Segment> segments, std::span<const LayerSettings> settings);

}  // namespace lamina
