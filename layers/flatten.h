// Joins all axes from `first_axis` on into one: [N, H, W, C] -> [N, H*W*C].
#pragma once

#include "layers/module.h"

namespace lamina {

// Images are [N, H, W, C] here and [N, C, H, W] in PyTorch: the columns of a Linear behind it are in another
// order there, so the weights of such a layer do not carry over.
class Flatten final : public Module {
 public:
  explicit Flatten(int first_axis = 1);  // at least 0
  std::string kind() const override { return "Flatten"; }

 private:
  Tensor forward(const Tensor& x) override;

  int first_axis_;
};

}  // namespace lamina
