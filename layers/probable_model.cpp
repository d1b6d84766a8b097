#include <map>

#include "layers/resnet_table.h"
#include "layers/weights.h"

namespace lamina {

namespace {

// Blocks per stage, from names like "layer2.3.conv1.weight"; empty unless the stages are 1, 2, … in full.
std::vector<int> count_blocks(const TensorFile& file) {
  std::vector<int> blocks;
  for (std::string stage = "layer1.";; stage = fmt::format("layer{}.", blocks.size() + 1)) {
    int count = 0;
    while (file.contains(fmt::format("{}{}.conv1.weight", stage, count))) ++count;
    if (count == 0) return blocks;
    blocks.push_back(count);
  }
}

bool has_downsample(const TensorFile& file) { return file.contains("layer2.0.downsample.0.weight"); }

}  // namespace

ProbableModel probable_model(const TensorFile& file) {
  const Tensor* stem = file.find("conv1.weight");
  const Tensor* head = file.find("fc.weight");
  if (stem == nullptr || stem->rank() != 4) return {};
  const std::vector<int> blocks = count_blocks(file);
  const bool bottleneck = file.contains("layer1.0.conv3.weight");
  for (const ResNetSpec& spec : resnet_table()) {
    if (spec.blocks != blocks || spec.bottleneck != bottleneck || spec.cifar != (stem->size(0) == 16))
      continue;
    return {.model = spec.name,
            .stem = stem->size(2) == 7 ? "imagenet" : "cifar",
            .shortcut = has_downsample(file) ? "B" : "A",
            .classes = head != nullptr && head->rank() == 2 ? static_cast<int>(head->size(0)) : 0};
  }
  return {};
}

std::string ProbableModel::str() const {
  if (model.empty()) return "no model known here";
  const std::string name = fmt::format("{} with the {} stem, shortcut {}", model, stem, shortcut);
  return classes > 0 ? fmt::format("{} and {} classes", name, classes) : name + " and no last layer";
}

}  // namespace lamina
