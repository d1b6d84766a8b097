#include "layers/pooling.h"

#include "core/ops/pool.h"

namespace lamina {

std::string MaxPool2d::kind() const {
  return fmt::format("MaxPool2d {}x{} / {}", options_.size, options_.size, options_.stride);
}

Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(x, options_); }

Tensor GlobalAvgPool::forward(const Tensor& x) { return global_avg_pool(x); }

}  // namespace lamina
