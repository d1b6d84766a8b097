// What other_flags.cpp, compiled for an older CPU than all the rest, makes of the engine's header.
#pragma once

#include <memory>

#include "optim/optimizer.h"

namespace lamina::tests {

double sum_squares_with_other_flags(const float* x, std::int64_t n);
// w <- w - lr g
std::unique_ptr<Optimizer> plain_descent_with_other_flags(const ParamList& params, double lr);

}  // namespace lamina::tests
