// ResNets (He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016).
//
// resnet8, 14, 20, 32, 44, 56, 110: §4.2, for 32×32 images: 3×3 convolution to 16 channels, three stages of n
//   basic blocks with 16, 32, 64 channels (6n + 2 layers), global average pool, linear. Shortcut A by
//   default.
// resnet18, 34, 50: table 1, with torchvision's names (conv1, bn1, layer1.0.conv1, layer1.0.downsample.0,
// fc),
//   the stride of a bottleneck on its 3×3 convolution. Shortcut B by default.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/init.h"
#include "layers/linear.h"
#include "layers/pooling.h"
#include "layers/projector.h"
#include "layers/residual_block.h"
#include "layers/sequential.h"

namespace lamina {

enum class Stem {
  imagenet,  // 7×7 convolution with stride 2, 3×3 max pool with stride 2: for images of 224×224
  cifar,     // 3×3 convolution with stride 1, no pool: for images of 32×32 to 64×64
};
const char* name_of(Stem stem);          // "imagenet", "cifar"
Stem parse_stem(std::string_view text);  // throws UsageError

struct ResNetOptions {
  int classes = 10;  // of the last layer
  bool head = true;  // false: no last layer, "fc"; the output is the features
  // In place of a last layer, so with head = false: "projector", on the features. Its tensors are like the
  // net's, whatever its own options say.
  std::optional<ProjectorOptions> projector = {};
  int channels = 3;               // of the images
  std::optional<Stem> stem = {};  // unset: imagenet for resnet18/34/50, cifar (the only one) for others
  std::optional<Shortcut> shortcut = {};  // unset: B for resnet18/34/50, A for others
  std::optional<Init> init = {};          // unset: PyTorch's defaults, see initialise()
  bool zero_init_residual = false;        // last batch norm of each block starts at weight 0
  Device device = {};
  DType dtype = DType::f32;        // f64 for gradient checks
  DType activations = DType::f32;  // bf16 (CUDA): between the layers; parameters, statistics, features and
                                   // logits stay f32
  std::optional<std::uint64_t> seed = {};  // unset: lamina::seed()
};

// images [N, H, W, channels] -> logits [N, classes]; without a head features [N, feature_size()], or with a
// projector embeddings.
class ResNet final : public Module {
 public:
  // Throws UsageError for an unknown model (listing the known), fewer than 1 class or channel,
  // Stem::imagenet with a §4.2 model, or a projector beside a head.
  explicit ResNet(std::string_view model, const ResNetOptions& options = {});

  // Another net of the same options, values and modes of training, in memory of its own.
  ResNet clone() const;

  // A new last layer in place of the old one, of a projector or of none: with the values that a net of so
  // many classes and this seed starts with. Optimizers made before refuse their next step, as they lack it:
  // make a new one. Throws UsageError for fewer than 1 class.
  void reset_head(int classes, std::uint64_t seed = lamina::seed());

  std::string kind() const override { return "ResNet"; }
  const std::string& model() const { return model_; }  // "resnet20"
  // Stem, shortcut and seed are set; the classes are 0 without a head.
  const ResNetOptions& options() const { return options_; }
  int feature_size() const { return feature_size_; }  // width of what the last layer sees
  Tensor features(const Tensor& x);                   // [N, feature_size()]: all but the last layer

 private:
  ResNet() = default;
  void build();
  void add_head();
  ParamList feature_parameters() const;
  Tensor forward(const Tensor& x) override;

  std::string model_;
  ResNetOptions options_;
  int feature_size_ = 0;
  Conv2d* conv1_ = nullptr;
  BatchNorm2d* bn1_ = nullptr;
  MaxPool2d* maxpool_ = nullptr;  // null with Stem::cifar
  std::vector<Sequential*> stages_;
  GlobalAvgPool* avgpool_ = nullptr;
  Linear* fc_ = nullptr;            // null without a head
  Projector* projector_ = nullptr;  // null without one
};

ResNet resnet(std::string_view model, const ResNetOptions& options = {});
std::vector<std::string> resnet_names();

inline ResNet resnet8(const ResNetOptions& options = {}) { return ResNet("resnet8", options); }
inline ResNet resnet14(const ResNetOptions& options = {}) { return ResNet("resnet14", options); }
inline ResNet resnet20(const ResNetOptions& options = {}) { return ResNet("resnet20", options); }
inline ResNet resnet32(const ResNetOptions& options = {}) { return ResNet("resnet32", options); }
inline ResNet resnet44(const ResNetOptions& options = {}) { return ResNet("resnet44", options); }
inline ResNet resnet56(const ResNetOptions& options = {}) { return ResNet("resnet56", options); }
inline ResNet resnet110(const ResNetOptions& options = {}) { return ResNet("resnet110", options); }
inline ResNet resnet18(const ResNetOptions& options = {}) { return ResNet("resnet18", options); }
inline ResNet resnet34(const ResNetOptions& options = {}) { return ResNet("resnet34", options); }
inline ResNet resnet50(const ResNetOptions& options = {}) { return ResNet("resnet50", options); }

}  // namespace lamina
