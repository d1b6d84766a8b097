#include "layers/pooling.h"

#include "core/ops/pool.h"

namespace lamina {

namespace {

std::string describe_pool(const char* name, const Pool2dOptions& o) {
  return fmt::format("{} {}x{} / {}", name, o.size, o.size, o.stride);
}

}  // namespace

std::string MaxPool2d::kind() const { return describe_pool("MaxPool2d", options_); }

Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, options_); }

std::string AvgPool2d::kind() const { return describe_pool("AvgPool2d", options_); }

Tensor AvgPool2d::forward(const Tensor& x) { return avg_pool2d(x, options_); }

Tensor GlobalAvgPool::forward(const Tensor& x) { return global_avg_pool(x); }

}  // namespace lamina
