// Fully connected layer: y = x Wᵀ + b, x [N, ..., in] -> [N, ..., out].
#pragma once

#include "layers/module.h"

namespace lamina {

struct LinearLayerOptions {
  bool bias = true;
  TensorOptions tensor = {};  // of the parameters
};

// weight [out, in], bias [out]; NaN until initialise() or load_weights() sets them. With x in bf16 the
// product is of weights rounded to bf16; the parameters stay f32.
class Linear final : public Module {
 public:
  Linear(int in, int out, const LinearLayerOptions& options = {});
  std::string kind() const override;
  std::int64_t multiply_adds(const Shape& x, const Shape& y) const override;

 private:
  Tensor forward(const Tensor& x) override;

  std::shared_ptr<Param> weight_, bias_;
};

}  // namespace lamina
