// Activations as layers, for Sequential (core/ops/elementwise.h). Any shape.
#pragma once

#include "layers/module.h"

namespace lamina {

class ReLU final : public Module {  // max(x, 0)
 public:
  std::string kind() const override { return "ReLU"; }

 private:
  Tensor forward(const Tensor& x) override;
};

class GELU final : public Module {  // x * Phi(x), exact
 public:
  std::string kind() const override { return "GELU"; }

 private:
  Tensor forward(const Tensor& x) override;
};

class SiLU final : public Module {  // x * sigmoid(x)
 public:
  std::string kind() const override { return "SiLU"; }

 private:
  Tensor forward(const Tensor& x) override;
};

class Sigmoid final : public Module {
 public:
  std::string kind() const override { return "Sigmoid"; }

 private:
  Tensor forward(const Tensor& x) override;
};

class Tanh final : public Module {
 public:
  std::string kind() const override { return "Tanh"; }

 private:
  Tensor forward(const Tensor& x) override;
};

}  // namespace lamina
