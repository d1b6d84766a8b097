#include "layers/flatten.h"

#include "core/base/error.h"
#include "core/ops/shape_ops.h"

namespace lamina {

Flatten::Flatten(int first_axis) : first_axis_(first_axis) {
  check(first_axis >= 0, "Flatten: first axis {}: expected 0 or more", first_axis);
}

Tensor Flatten::forward(const Tensor& x) {
  check(x.rank() > first_axis_, "Flatten: x {} has no axis {}", x.str(), first_axis_);
  Shape shape(x.shape().begin(), x.shape().begin() + first_axis_);
  shape.append(x.shape().elements(first_axis_, x.rank()));
  return reshape(x, shape);
}

}  // namespace lamina
