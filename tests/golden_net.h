// A small f64 net whose whole Hessian was computed once, element by element: conv – BN – ReLU – conv – BN –
// ReLU – mean – linear, 379 parameters. Its numbers are in the file layout of PyTorch.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/ops/ops.h"
#include "layers/layers.h"
#include "layers/weights.h"
#include "train/objective.h"

namespace lamina::tests {

constexpr TensorOptions f64{.dtype = DType::f64};

class GoldenNet : public Module {
 public:
  GoldenNet()
      : conv1_(&add_child<Conv2d>("conv1", 3, 4, 3, Conv2dLayerOptions{.padding = 1, .tensor = f64})),
        bn1_(&add_child<BatchNorm2d>("bn1", 4, BatchNorm2dLayerOptions{.tensor = f64})),
        conv2_(&add_child<Conv2d>("conv2", 4, 6, 3,
                                  Conv2dLayerOptions{.stride = 2, .padding = 1, .tensor = f64})),
        bn2_(&add_child<BatchNorm2d>("bn2", 6, BatchNorm2dLayerOptions{.tensor = f64})),
        fc_(&add_child<Linear>("fc", 6, 5, LinearLayerOptions{.tensor = f64})) {
    double l = 0;
    for (const auto& param : parameters()) {
      const bool scale = param->kind == ParamKind::norm && param->name.ends_with("weight");
      const bool shift = param->kind == ParamKind::norm && !scale;
      set(*param, [&](double i) {
        if (scale) return 1 + 0.1 * std::sin(1.7 * i + l);
        return shift ? 0.1 * std::sin(1.7 * i + l) : 0.4 * std::sin(1.7 * i + l + 1);
      });
      ++l;
    }
    set(parameter("bn1.running_mean"), [](double c) { return 0.05 * c; });
    set(parameter("bn1.running_var"), [](double c) { return 0.5 + 0.1 * c; });
    set(parameter("bn2.running_mean"), [](double c) { return 0.02 * c; });
    set(parameter("bn2.running_var"), [](double c) { return 0.4 + 0.05 * c; });
  }
  std::string kind() const override { return "GoldenNet"; }

  // values(i) at index i of the file layout.
  template <typename Values>
  static void set(Param& param, const Values& values) {
    std::vector<double> stored;
    for (std::int64_t i = 0; i < param.value.elements(); ++i)
      stored.push_back(values(static_cast<double>(i)));
    param.value.detach().copy_from(
        from_file_layout(param, Tensor::from(stored, to_file_layout(param).shape())));
  }

 private:
  Tensor forward(const Tensor& x) override {
    const Tensor a = relu((*bn1_)((*conv1_)(x)));
    const Tensor b = relu((*bn2_)((*conv2_)(a)));
    return (*fc_)(mean(b, {1, 2}));
  }

  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  Conv2d* conv2_;
  BatchNorm2d* bn2_;
  Linear* fc_;
};

inline double relative_difference(double a, double b) { return std::abs(a - b) / std::abs(b); }

// Eight images; labels 0 1 2 3 4 0 1 2. In parts of `micro_batch` samples.
inline std::vector<data::Part> golden_parts(std::int64_t micro_batch = 8) {
  std::vector<double> pixels(8 * 3 * 8 * 8);
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = std::sin(0.37 * static_cast<double>(i)) + 0.5 * std::cos(0.11 * static_cast<double>(i));
  const Tensor images = permute(Tensor::from(pixels, {8, 3, 8, 8}), {0, 2, 3, 1});
  const Tensor labels = Tensor::from({0, 1, 2, 3, 4, 0, 1, 2}, {8});
  std::vector<data::Part> parts;
  for (std::int64_t at = 0; at < 8; at += micro_batch) {
    const std::int64_t n = std::min<std::int64_t>(micro_batch, 8 - at);
    parts.push_back({.views = {images.rows(at, n).clone()},
                     .labels = labels.rows(at, n).clone(),
                     .batch_samples = 8,
                     .offset = at,
                     .completes_batch = at + n == 8});
  }
  return parts;
}

}  // namespace lamina::tests
