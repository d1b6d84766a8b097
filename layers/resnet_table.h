// The depths of the ResNets: for building one and for recognising one from a weight file.
#pragma once

#include <string>
#include <vector>

namespace lamina {

struct ResNetSpec {
  std::string name;
  bool cifar = false;       // §4.2: 16 channels at the start, three stages; else table 1: 64, four stages
  bool bottleneck = false;  // else basic blocks
  std::vector<int> blocks;  // per stage
};
const std::vector<ResNetSpec>& resnet_table();

}  // namespace lamina
