// Texts show the sign of a NaN, which means nothing.
#pragma once

#include <cmath>
#include <limits>

namespace lamina {

// The value, or a NaN that is written "nan".
inline double unsigned_nan(double value) {
  return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
}

}  // namespace lamina
