// Modules one after another, named "0", "1", … as in PyTorch.
//
//   Sequential net;
//   net.add<Conv2d>(3, 16, 3, Conv2dLayerOptions{.padding = 1});
//   net.add<BatchNorm2d>(16);
//   net.add<ReLU>();
//   net.add<GlobalAvgPool>();
//   net.add<Linear>(16, 10);
//   initialise(net);  // layers/init.h
#pragma once

#include "layers/module.h"

namespace lamina {

class Sequential final : public Module {
 public:
  template <typename M, typename... Args>
  M& add(Args&&... args) {
    return add_child<M>(std::to_string(children().size()), std::forward<Args>(args)...);
  }
  std::string kind() const override { return "Sequential"; }

 private:
  Tensor forward(const Tensor& x) override;
};

}  // namespace lamina
