// Parameters under bf16 activations: the master copy stays f32, for what an optimizer adds is often below
// bf16's last digit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "core/param.h"

namespace lamina {

// A parameter as a product with x wants it: rounded to bf16 where x is.
Tensor as_used_with(const Tensor& x, const Tensor& parameter);

// For one pass of a network: while alive, as_used_with() takes, on this thread, copies that were rounded
// together, which a GPU does by one kernel in place of one for each layer. Of a parameter that has been
// overwritten since, or is used with a history where it was rounded without, a new copy is made. Gradients of
// two uses of a copy would be added up in bf16, and one backward pass uses its history up.
class RoundedParameters {
 public:
  explicit RoundedParameters(const ParamList& parameters);  // normalisations use theirs in f32: passed over
  ~RoundedParameters();
  RoundedParameters(const RoundedParameters&) = delete;
  RoundedParameters& operator=(const RoundedParameters&) = delete;

  // Undefined if there is none that is good for it.
  Tensor copy_of(const Tensor& parameter) const;

 private:
  struct Copy {
    Tensor parameter;
    std::uint64_t version;  // of the parameter, when it was rounded
    Tensor rounded;
  };
  std::unordered_map<const std::byte*, Copy> copies_;  // by where the parameter lies
  const RoundedParameters* previous_;
};

}  // namespace lamina
