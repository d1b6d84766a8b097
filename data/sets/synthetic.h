// Made-up images that can be learned: each class has a coarse random pattern, each image adds noise to it.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace lamina::data {

struct SyntheticOptions {
  int classes = 10;
  int height = 32, width = 32, channels = 3;
  std::int64_t train = 10000, test = 2000;
  std::uint64_t seed = 0;
};

// A pure function of the options. Image i has label i % classes.
Dataset synthetic(const SyntheticOptions& synthetic = {}, const OpenOptions& options = {});

}  // namespace lamina::data
