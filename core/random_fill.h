// Many random numbers at a time: a block of Philox makes two normal numbers or four uniform ones, and the
// CPU's threads share the work.
#pragma once

#include <span>

#include "core/random.h"

namespace lamina {

// values[i] = random.normal(i). At most 2^30 values: each takes two draws.
void fill_normal(const Random& random, std::span<double> values);
// values[i] = random.uniform(i).
void fill_uniform(const Random& random, std::span<double> values);

}  // namespace lamina
