// The kernels of core/backend.h as `lamina bench ops` calls them: on random values, at given shapes.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/backend.h"

namespace lamina::app {

// One kernel at one shape.
struct KernelCall {
  std::string name;        // as in core/backend.h: "conv2d_grad_weight"
  std::string shape;       // for people: "64x32x32x16 -> 32, 3x3 / 2"
  nlohmann::json details;  // the same for programs
  double flop = 0;         // of the direct algorithm; 0 where memory is the limit
  double bytes = 0;        // that must move at least once; 0 where arithmetic is the limit
  std::function<std::function<void()>()> prepare = {};  // makes the tensors, returns the call
};
using KernelCalls = std::vector<KernelCall>;

// What batch_norm is fused with.
struct Fused {
  bool relu = false, residual = false;
};

// All that a layer calls, forward and backward. Images are NHWC, weights [out, kh, kw, in].
struct ConvShapes {
  Shape x, weight, y;
  Conv2dOptions options;
};
// Of images no gradient is needed; that of a block's input is added to the shortcut's.
enum class GradInput { none, stored, added };
KernelCalls conv_kernels(const ConvShapes& shapes, GradInput grad_input, Device device);
KernelCalls batch_norm_kernels(const Shape& x, Fused fused, Device device);
KernelCalls max_pool_kernels(const Shape& x, const Shape& y, const Pool2dOptions& options, Device device);
KernelCalls average_pool_kernels(const Shape& x, Device device);
KernelCalls linear_kernels(const Shape& x, const Shape& weight, Device device);
KernelCalls cross_entropy_kernels(std::int64_t batch, int classes, Device device);
KernelCall crop_kernel(const Shape& batch, Device device);        // standard augmentation of a batch
KernelCall accumulate_kernel(const Shape& shape, Device device);  // b += a

}  // namespace lamina::app
