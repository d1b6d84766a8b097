#include "layers/resnet.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/ops/elementwise.h"
#include "layers/copy_state.h"
#include "layers/master_weights.h"
#include "layers/resnet_table.h"

namespace lamina {

namespace {

template <typename Block>
void add_blocks(Sequential& stage, BlockOptions options, int blocks) {
  for (int i = 0; i < blocks; ++i) {
    stage.add<Block>(options);
    options.in = options.channels * Block::expansion;
    options.stride = 1;
  }
}

void zero_init_residuals(const Module& module) {
  for (const auto& child : module.children()) {
    if (auto* block = dynamic_cast<ResidualBlock*>(child.get())) block->zero_init_residual();
    zero_init_residuals(*child);
  }
}

void copy_modes(const Module& from, Module& to) {
  to.train(from.training());
  for (std::size_t i = 0; i < from.children().size(); ++i) copy_modes(*from.children()[i], *to.children()[i]);
}

const ResNetSpec& spec_of(std::string_view model) {
  for (const ResNetSpec& spec : resnet_table()) {
    if (model == spec.name) return spec;
  }
  fail_usage("unknown model \"{}\"; expected one of {}", model, fmt::join(resnet_names(), ", "));
}

// The options with everything decided.
ResNetOptions resolved(const ResNetSpec& spec, ResNetOptions options) {
  if (!options.head) options.classes = 0;
  if ((options.head && options.classes < 1) || options.channels < 1) {
    fail_usage("{}: {} classes and {} image channels: need at least 1 of each", spec.name, options.classes,
               options.channels);
  }
  if (options.head && options.projector) {
    fail_usage("{}: a last layer and a projector: a net has one of them; set head = false for a projector",
               spec.name);
  }
  if (!options.stem) options.stem = spec.cifar ? Stem::cifar : Stem::imagenet;
  if (!options.shortcut) options.shortcut = spec.cifar ? Shortcut::A : Shortcut::B;
  if (!options.seed) options.seed = lamina::seed();
  if (spec.cifar && *options.stem == Stem::imagenet) {
    fail_usage(
        "{} has no imagenet stem (He et al. 2016, section 4.2); use the cifar stem, or resnet18, 34 or 50",
        spec.name);
  }
  return options;
}

}  // namespace

const std::vector<ResNetSpec>& resnet_table() {
  static const std::vector<ResNetSpec> table = {
      {"resnet8", true, false, {1, 1, 1}},      {"resnet14", true, false, {2, 2, 2}},
      {"resnet20", true, false, {3, 3, 3}},     {"resnet32", true, false, {5, 5, 5}},
      {"resnet44", true, false, {7, 7, 7}},     {"resnet56", true, false, {9, 9, 9}},
      {"resnet110", true, false, {18, 18, 18}}, {"resnet18", false, false, {2, 2, 2, 2}},
      {"resnet34", false, false, {3, 4, 6, 3}}, {"resnet50", false, true, {3, 4, 6, 3}},
  };
  return table;
}

std::vector<std::string> resnet_names() {
  std::vector<std::string> names;
  for (const ResNetSpec& spec : resnet_table()) names.push_back(spec.name);
  return names;
}

const char* name_of(Stem stem) { return stem == Stem::imagenet ? "imagenet" : "cifar"; }

Stem parse_stem(std::string_view text) {
  if (text == "imagenet") return Stem::imagenet;
  if (text == "cifar") return Stem::cifar;
  fail_usage("unknown stem \"{}\"; expected imagenet or cifar", text);
}

ResNet::ResNet(std::string_view model, const ResNetOptions& options) : model_(model) {
  options_ = resolved(spec_of(model), options);
  build();
  initialise(*this, options_.init, *options_.seed);
  if (options_.zero_init_residual) zero_init_residuals(*this);
}

void ResNet::build() {
  const ResNetSpec& spec = spec_of(model_);
  const TensorOptions tensor{.dtype = options_.dtype, .device = options_.device};
  const int width = spec.cifar ? 16 : 64;

  const bool imagenet = *options_.stem == Stem::imagenet;
  conv1_ = &add_child<Conv2d>(
      "conv1", options_.channels, width, imagenet ? 7 : 3,
      Conv2dLayerOptions{.stride = imagenet ? 2 : 1, .padding = imagenet ? 3 : 1, .tensor = tensor});
  bn1_ = &add_child<BatchNorm2d>("bn1", width, BatchNorm2dLayerOptions{.tensor = tensor});
  if (imagenet)
    maxpool_ = &add_child<MaxPool2d>("maxpool", Pool2dOptions{.size = 3, .stride = 2, .padding = 1});

  const int expansion = spec.bottleneck ? Bottleneck::expansion : BasicBlock::expansion;
  int in = width;
  for (std::size_t i = 0; i < spec.blocks.size(); ++i) {
    Sequential& stage = add_child<Sequential>(fmt::format("layer{}", i + 1));
    const BlockOptions block{.in = in,
                             .channels = width << i,
                             .stride = i == 0 ? 1 : 2,
                             .shortcut = *options_.shortcut,
                             .tensor = tensor};
    if (spec.bottleneck)
      add_blocks<Bottleneck>(stage, block, spec.blocks[i]);
    else
      add_blocks<BasicBlock>(stage, block, spec.blocks[i]);
    in = block.channels * expansion;
    stages_.push_back(&stage);
  }
  feature_size_ = in;
  avgpool_ = &add_child<GlobalAvgPool>("avgpool");
  if (options_.head) add_head();
  if (options_.projector) {
    options_.projector->tensor = tensor;
    projector_ = &add_child<Projector>("projector", feature_size_, *options_.projector);
  }
}

void ResNet::add_head() {
  fc_ =
      &add_child<Linear>("fc", feature_size_, options_.classes,
                         LinearLayerOptions{.tensor = {.dtype = options_.dtype, .device = options_.device}});
}

ResNet ResNet::clone() const {
  ResNet copy;
  copy.model_ = model_;
  copy.options_ = options_;
  copy.build();
  copy_state(*this, copy);
  copy_modes(*this, copy);
  for (const auto& param : state()) copy.parameter(param->name).set_frozen(param->frozen);
  return copy;
}

void ResNet::reset_head(int classes, std::uint64_t seed) {
  if (classes < 1) fail_usage("{}: a last layer of {} classes: need at least 1", model_, classes);
  if (fc_ != nullptr) remove_child("fc");
  if (projector_ != nullptr) remove_child("projector");
  projector_ = nullptr;
  options_.projector = {};
  options_.classes = classes;
  options_.head = true;
  add_head();
  fc_->train(training());
  initialise_part(*this, *fc_, options_.init, seed);
  // New memory for all: an optimizer made before notices that its own is no longer in use.
  for (const auto& param : parameters()) {
    param->value = param->value.detach().clone();
    if (param->trainable()) param->value.requires_grad_();
  }
}

// All but those of the head or projector, which compute in the dtype of the images.
ParamList ResNet::feature_parameters() const {
  ParamList list;
  for (const auto& child : children()) {
    if (child.get() == fc_ || child.get() == projector_) continue;
    const ParamList below = child->parameters();
    list.insert(list.end(), below.begin(), below.end());
  }
  return list;
}

Tensor ResNet::features(const Tensor& x) {
  const bool narrow = options_.activations == DType::bf16;
  std::optional<RoundedParameters> rounded;
  if (narrow) rounded.emplace(feature_parameters());
  const Tensor images = narrow ? cast(x, DType::bf16) : x;
  Tensor h = bn1_->normalise((*conv1_)(images), {.relu = true});
  if (maxpool_ != nullptr) h = (*maxpool_)(h);
  for (Sequential* stage : stages_) h = (*stage)(h);
  return cast((*avgpool_)(h), x.dtype());
}

Tensor ResNet::forward(const Tensor& x) {
  const Tensor h = features(x);
  if (projector_ != nullptr) return (*projector_)(h);
  return fc_ != nullptr ? (*fc_)(h) : h;
}

ResNet resnet(std::string_view model, const ResNetOptions& options) { return ResNet(model, options); }

}  // namespace lamina
