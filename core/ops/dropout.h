// Dropout (Srivastava et al. 2014).
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace lamina {

// x times a mask that is 0 with probability p and else 1 / (1 - p). The mask is a pure function of (seed,
// draw), the same on every device; draw, i32 [] on x's, counts on by one: so that a step captured for a GPU
// draws anew every time. 0 <= p <= 1.
Tensor dropout(const Tensor& x, double p, const Tensor& draw, std::uint64_t seed);
// With lamina::seed() and next_draw() (core/random.h), which no checkpoint holds: a model that is to be
// resumed uses the layer (layers/dropout.h). Error in captured work, into which the number cannot be
// uploaded.
Tensor dropout(const Tensor& x, double p);

}  // namespace lamina
