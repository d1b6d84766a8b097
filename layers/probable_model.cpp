#include <algorithm>
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

// Of bottleneck blocks: the width of the first one's 3×3 convolution, and how many of these each output sees.
struct Width {
  std::int64_t channels = 64, seen = 64;
};

Width width_of(const TensorFile& file) {
  const Tensor* conv = file.find("layer1.0.conv2.weight");
  if (conv == nullptr || conv->rank() != 4) return {};
  return {conv->size(0), conv->size(1)};
}

// torchvision's name of a ResNet of bottleneck blocks that is not among those of this library; else empty.
std::string name_elsewhere(const std::vector<int>& blocks, const Width& width) {
  static const std::map<std::vector<int>, std::string> depths{
      {{3, 4, 6, 3}, "50"}, {{3, 4, 23, 3}, "101"}, {{3, 8, 36, 3}, "152"}};
  const auto depth = depths.find(blocks);
  if (depth == depths.end()) return "";
  if (width.channels == width.seen && width.channels == 64)
    return depth->second == "50" ? "" : "resnet" + depth->second;
  if (width.channels == width.seen)
    return fmt::format("wide_resnet{}_{:g}", depth->second, static_cast<double>(width.channels) / 64);
  const std::int64_t groups = width.channels / std::max<std::int64_t>(width.seen, 1);
  return fmt::format("resnext{}_{}x{}d", depth->second, groups, width.seen);
}

}  // namespace

ProbableModel probable_model(const TensorFile& file) {
  const Tensor* stem = file.find("conv1.weight");
  const Tensor* head = file.find("fc.weight");
  if (stem == nullptr || stem->rank() != 4) return {};
  const std::vector<int> blocks = count_blocks(file);
  const bool bottleneck = file.contains("layer1.0.conv3.weight");
  const std::string elsewhere = bottleneck ? name_elsewhere(blocks, width_of(file)) : "";
  const int classes = head != nullptr && head->rank() == 2 ? static_cast<int>(head->size(0)) : 0;
  if (!elsewhere.empty())
    return {.model = {}, .stem = {}, .shortcut = {}, .classes = classes, .other = elsewhere};
  for (const ResNetSpec& spec : resnet_table()) {
    if (spec.blocks != blocks || spec.bottleneck != bottleneck || spec.cifar != (stem->size(0) == 16))
      continue;
    return {.model = spec.name,
            .stem = stem->size(2) == 7 ? "imagenet" : "cifar",
            .shortcut = has_downsample(file) ? "B" : "A",
            .classes = classes,
            .other = {}};
  }
  return {};
}

std::string ProbableModel::str() const {
  if (!other.empty()) return other + ", which is not among the models here";
  if (model.empty()) return "no model known here";
  const std::string name = fmt::format("{} with the {} stem, shortcut {}", model, stem, shortcut);
  return classes > 0 ? fmt::format("{} and {} classes", name, classes) : name + " and no last layer";
}

}  // namespace lamina
