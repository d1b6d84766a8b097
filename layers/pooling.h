// Pooling layers, without parameters (core/ops/pool.h).
#pragma once

#include "core/backend.h"
#include "layers/module.h"

namespace lamina {

class MaxPool2d final : public Module {  // [N, H, W, C] -> [N, H', W', C]
 public:
  explicit MaxPool2d(const Pool2dOptions& options = {}) : options_(options) {}
  std::string kind() const override;

 private:
  Tensor forward(const Tensor& x) override;

  Pool2dOptions options_;
};

class AvgPool2d final : public Module {  // [N, H, W, C] -> [N, H', W', C]; padding counts as zeros
 public:
  explicit AvgPool2d(const Pool2dOptions& options = {}) : options_(options) {}
  std::string kind() const override;

 private:
  Tensor forward(const Tensor& x) override;

  Pool2dOptions options_;
};

class GlobalAvgPool final : public Module {  // [N, H, W, C] -> [N, C]
 public:
  std::string kind() const override { return "GlobalAvgPool"; }

 private:
  Tensor forward(const Tensor& x) override;
};

}  // namespace lamina
