// What the tests of training on a GPU train on.
#pragma once

#include "data/sets/synthetic.h"

namespace lamina::tests {

inline const data::Dataset& images() {
  static const data::Dataset data =
      data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 40, .test = 50});
  return data;
}

inline data::Split on_gpu(data::Split split) {
  split.images = split.images.to(Device::cuda());
  return split;
}

}  // namespace lamina::tests
