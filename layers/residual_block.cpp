#include "layers/residual_block.h"

#include "core/ops/pool.h"
#include "core/ops/shape_ops.h"
#include "layers/sequential.h"

namespace lamina {

namespace {

// Shortcut A. The padding lies on both sides, as in the widespread PyTorch ports.
class PadShortcut final : public Module {
 public:
  PadShortcut(int out, int stride) : out_(out), stride_(stride) {}
  std::string kind() const override { return fmt::format("PadShortcut -> {}", out_); }

 private:
  Tensor forward(const Tensor& x) override {
    // Windows of one pixel: every stride-th.
    const Tensor pixels = stride_ == 1 ? x : avg_pool2d(x, {.size = 1, .stride = stride_});
    const std::int64_t in = x.size(3);
    return embed(pixels, {.axis = 3, .start = (out_ - in) / 2, .count = in}, out_);
  }

  int out_, stride_;
};

Conv2dLayerOptions conv1x1(int stride, const TensorOptions& tensor) {
  return {.stride = stride, .tensor = tensor};
}

Conv2dLayerOptions conv3x3(int stride, const TensorOptions& tensor) {
  return {.stride = stride, .padding = 1, .tensor = tensor};
}

}  // namespace

const char* name_of(Shortcut shortcut) { return shortcut == Shortcut::A ? "A" : "B"; }

Shortcut parse_shortcut(std::string_view text) {
  if (text == "A" || text == "a") return Shortcut::A;
  if (text == "B" || text == "b") return Shortcut::B;
  fail_usage("unknown shortcut \"{}\"; expected A (padded identity) or B (1x1 convolution)", text);
}

void ResidualBlock::add_shortcut(const BlockOptions& options, int out) {
  if (options.stride == 1 && options.in == out) return;
  if (options.shortcut == Shortcut::A) {
    check(out >= options.in, "residual block: shortcut A cannot go from {} to {} channels; use shortcut B",
          options.in, out);
    downsample_ = &add_child<PadShortcut>("downsample", out, options.stride);
    return;
  }
  auto& downsample = add_child<Sequential>("downsample");
  downsample.add<Conv2d>(options.in, out, 1, conv1x1(options.stride, options.tensor));
  downsample.add<BatchNorm2d>(out, BatchNorm2dLayerOptions{.tensor = options.tensor});
  downsample_ = &downsample;
}

// The first convolution keeps x.
AfterBatchNorm ResidualBlock::after(const Tensor& x) {
  if (downsample_ == nullptr) return {.residual = x, .residual_is_kept = true, .relu = true};
  return {.residual = (*downsample_)(x), .relu = true};
}

BasicBlock::BasicBlock(const BlockOptions& o) {
  const BatchNorm2dLayerOptions norm{.tensor = o.tensor};
  conv1_ = &add_child<Conv2d>("conv1", o.in, o.channels, 3, conv3x3(o.stride, o.tensor));
  bn1_ = &add_child<BatchNorm2d>("bn1", o.channels, norm);
  conv2_ = &add_child<Conv2d>("conv2", o.channels, o.channels, 3, conv3x3(1, o.tensor));
  bn2_ = &add_child<BatchNorm2d>("bn2", o.channels, norm);
  add_shortcut(o, o.channels * expansion);
}

Tensor BasicBlock::forward(const Tensor& x) {
  Tensor h = bn1_->normalise((*conv1_)(x), {.relu = true});
  h = (*conv2_)(h);
  return bn2_->normalise(h, after(x));
}

Bottleneck::Bottleneck(const BlockOptions& o) {
  const BatchNorm2dLayerOptions norm{.tensor = o.tensor};
  const int out = o.channels * expansion;
  conv1_ = &add_child<Conv2d>("conv1", o.in, o.channels, 1, conv1x1(1, o.tensor));
  bn1_ = &add_child<BatchNorm2d>("bn1", o.channels, norm);
  conv2_ = &add_child<Conv2d>("conv2", o.channels, o.channels, 3, conv3x3(o.stride, o.tensor));
  bn2_ = &add_child<BatchNorm2d>("bn2", o.channels, norm);
  conv3_ = &add_child<Conv2d>("conv3", o.channels, out, 1, conv1x1(1, o.tensor));
  bn3_ = &add_child<BatchNorm2d>("bn3", out, norm);
  add_shortcut(o, out);
}

Tensor Bottleneck::forward(const Tensor& x) {
  Tensor h = bn1_->normalise((*conv1_)(x), {.relu = true});
  h = bn2_->normalise((*conv2_)(h), {.relu = true});
  h = (*conv3_)(h);
  return bn3_->normalise(h, after(x));
}

}  // namespace lamina
