#include "layers/flatten.h"

#include "core/base/error.h"
#include "core/ops/shape_ops.h"

namespace lamina {

Flatten::Flatten(int first_axis) : first_axis_(first_axis) {
  check(first_axis >= 0, "Flatten: first axis {}: expected 0 or more", first_axis);
}

Tensor Flatten::forward(const Tensor& x) { return flatten(x, first_axis_); }

}  // namespace lamina
