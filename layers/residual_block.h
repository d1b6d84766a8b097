// Residual blocks: y = relu(F(x) + shortcut(x)).
// He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016, eq. 1 and 2.
#pragma once

#include <string_view>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"

namespace lamina {

// What the shortcut does where the block changes the shape (§3.3, §4.1); elsewhere it is the identity.
enum class Shortcut {
  A,  // no parameters: every stride-th pixel, and new channels of zeros, half of them on either side
  B,  // 1×1 convolution with the block's stride, then batch norm
};
const char* name_of(Shortcut shortcut);          // "A", "B"
Shortcut parse_shortcut(std::string_view text);  // also "a", "b"; throws UsageError

struct BlockOptions {
  int in = 0;        // channels of x
  int channels = 0;  // width of the block
  int stride = 1;
  Shortcut shortcut = Shortcut::B;
  TensorOptions tensor = {};
};

// What the two blocks share: the shortcut and its place in torchvision's names ("downsample.0", ".1").
class ResidualBlock : public Module {
 public:
  // The last batch norm's weight becomes 0: the block starts as its shortcut.
  virtual void zero_init_residual() = 0;

 protected:
  void add_shortcut(const BlockOptions& options, int out);  // call last: names are in order of registration
  AfterBatchNorm after(const Tensor& x);  // the last one: the shortcut of the block's input x, and ReLU

 private:
  Module* downsample_ = nullptr;  // null: identity
};

// conv3×3 (stride) – bn – relu – conv3×3 – bn, + shortcut, relu. Outputs `channels`.
class BasicBlock final : public ResidualBlock {
 public:
  static constexpr int expansion = 1;
  explicit BasicBlock(const BlockOptions& options);
  std::string kind() const override { return "BasicBlock"; }
  void zero_init_residual() override { bn2_->zero_weight(); }

 private:
  Tensor forward(const Tensor& x) override;

  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  Conv2d* conv2_;
  BatchNorm2d* bn2_;
};

// conv1×1 – bn – relu – conv3×3 (stride) – bn – relu – conv1×1 – bn, + shortcut, relu. Outputs 4 * channels.
// The stride is on the 3×3 ("v1.5"), as in torchvision; the paper has it on the first 1×1.
class Bottleneck final : public ResidualBlock {
 public:
  static constexpr int expansion = 4;
  explicit Bottleneck(const BlockOptions& options);
  std::string kind() const override { return "Bottleneck"; }
  void zero_init_residual() override { bn3_->zero_weight(); }

 private:
  Tensor forward(const Tensor& x) override;

  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  Conv2d* conv2_;
  BatchNorm2d* bn2_;
  Conv2d* conv3_;
  BatchNorm2d* bn3_;
};

}  // namespace lamina
