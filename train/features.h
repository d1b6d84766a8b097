// What a frozen network makes of images: the representation that kNN and linear probes measure.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/tensor.h"
#include "data/dataset.h"
#include "layers/module.h"
#include "layers/resnet.h"

namespace lamina {

struct Features {
  Tensor values;                          // [N, D] f32, on the CPU, in the split's order
  std::vector<std::int32_t> labels = {};  // [N], from 0

  std::int64_t size() const { return values.defined() ? values.size(0) : 0; }
  std::int64_t width() const { return values.size(1); }
  int classes() const;  // the largest label and 1
};

struct FeatureOptions {
  std::int64_t batch = 256;  // images at once; changes the features by rounding at most
  int workers = 2;
  std::function<void()> on_batch = {};  // after each; what it throws is thrown on
};

// Of every image of the split once, without augmentation and normalised with the split's mean and std, which
// are to be those that the network was trained with: in evaluation mode, after which every module is in the
// mode it was in. Of a ResNet they are what its last layer or projector sees, [N, feature_size()]; of another
// module its output, which has to be [N, D].
// Throws Error if a parameter or buffer has changed, naming it: features of a network that moves are not
// those of one network.
Features features_of(Module& backbone, const data::Split& split, const FeatureOptions& options = {});
Features features_of(ResNet& backbone, const data::Split& split, const FeatureOptions& options = {});

// Throws Error unless there are features, all of them finite, and as many labels, none below 0: what cannot
// be measured is refused. `source`: which ones, for the message.
void check_features(const Features& features, const std::string& source);

}  // namespace lamina
