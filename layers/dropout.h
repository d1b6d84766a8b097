// Dropout as a layer (Srivastava et al. 2014; core/ops/dropout.h).
#pragma once

#include <cstdint>
#include <optional>

#include "layers/module.h"

namespace lamina {

struct DropoutLayerOptions {
  Device device = {};                      // of what it will see
  std::optional<std::uint64_t> seed = {};  // of the masks; unset: lamina::seed()
};

// In training each element is 0 with probability p and else divided by 1 - p; in evaluation nothing happens.
// A mask is a pure function of the seed, the layer's path in the model and the number of masks before it,
// which the buffer num_masks counts (i32 []): a resumed run draws what it would have drawn. PyTorch's files
// lack that buffer, and it counts from 0 then.
class Dropout final : public Module {
 public:
  explicit Dropout(double p = 0.5, const DropoutLayerOptions& options = {});  // 0 <= p <= 1
  std::string kind() const override;

 private:
  Tensor forward(const Tensor& x) override;

  double p_;
  std::uint64_t seed_;
  std::shared_ptr<Param> num_masks_;
};

}  // namespace lamina
