// Dropout (Srivastava et al. 2014).
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace lamina {

// x times a mask that is 0 with probability p and else 1 / (1 - p). The mask is a pure function of (seed,
// draw), the same on every device; draw, i32 [] on x's, counts on by one: so that a step captured for a GPU
// draws anew every time. 0 <= p <= 1.
Tensor dropout(const Tensor& x, double p, const Tensor& draw, std::uint64_t seed);
// With lamina::seed() and next_draw() (core/random.h). Not in captured work, which would repeat one mask.
Tensor dropout(const Tensor& x, double p);

}  // namespace lamina
