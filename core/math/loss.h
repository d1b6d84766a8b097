// Cross-entropy against smoothed labels (Szegedy et al. 2016, section 7), for host and device.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace lamina::math {

// target[c] = (1 - smoothing) * [c == label] + smoothing / C
struct Target {
  LAMINA_HD Target(double smoothing, std::int64_t classes)
      : other(smoothing / static_cast<double>(classes)), own(1 - smoothing + other) {}

  double other, own;
};

// -sum target * log softmax. Of the distances log sum exp(z) - z[c], `own` is the label's and `all` their sum
// over the classes, which counts with smoothing alone: a logit of -inf (a masked class) must not make
// 0 * inf.
LAMINA_HD double cross_entropy(double smoothing, std::int64_t classes, double own, double all) {
  const double loss = (1 - smoothing) * own;
  return smoothing == 0 ? loss : loss + smoothing / static_cast<double>(classes) * all;
}

}  // namespace lamina::math
