#include "layers/sequential.h"

namespace lamina {

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& child : children()) y = (*child)(y);
  return y;
}

}  // namespace lamina
