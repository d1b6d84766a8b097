// The arithmetic of batch normalisation in one channel (Ioffe & Szegedy 2015, algorithm 1), for host and
// device:
//   y = (x - mean) * scale + bias,  scale = inv_std * weight,  inv_std = 1 / sqrt(variance + eps)
#pragma once

#include <cmath>

#include "core/base/host_device.h"

namespace lamina::math {

// Forward and backward must round alike: the sign is the ReLU's mask.
template <typename T>
LAMINA_HD T normalise(T x, T mean, T scale, T bias) {
  return (x - mean) * scale + bias;
}

LAMINA_HD double inv_std(double variance, double eps) { return 1 / std::sqrt(variance + eps); }

struct Moments {
  double mean, variance;  // biased
};

// From the sums of d = x - shift and of d² over n values: E[d] and E[d²] - E[d]². With the shift near the
// mean nothing cancels, however large the mean is beside the deviation.
LAMINA_HD Moments moments(double shift, double sum, double sum_of_squares, double n) {
  const double mean = sum / n;
  const double variance = sum_of_squares / n - mean * mean;
  return {shift + mean, variance < 0 ? 0 : variance};
}

// running = (1 - momentum) running + momentum batch
template <typename T>
LAMINA_HD T moved(T running, double batch, double momentum) {
  return static_cast<T>((1 - momentum) * static_cast<double>(running) + momentum * batch);
}

// With g, the gradient before the ReLU, and x̂ = (x - mean) inv_std:
//   grad_bias = sum g, grad_weight = sum g x̂, grad_residual = g,
//   grad_x = weight inv_std (g - mean of g - x̂ mean of g x̂);  with constant statistics the means are absent.
template <typename T>
struct BatchNormGradient {
  T weight, bias;
  T offset, slope;  // grad_x = scale g - offset - slope (x - mean)

  // From the sums of g and of g (x - mean); share: 1 / rows, or 0 with constant statistics.
  LAMINA_HD BatchNormGradient(double sum, double sum_product, double inv_std, double scale, double share)
      : weight(static_cast<T>(sum_product * inv_std)),
        bias(static_cast<T>(sum)),
        offset(static_cast<T>(scale * sum * share)),
        slope(static_cast<T>(scale * inv_std * inv_std * sum_product * share)) {}
};

template <typename T>
LAMINA_HD T batch_norm_grad_x(T g, T centred, T scale, T offset, T slope) {
  return (scale * g - offset) - slope * centred;
}

}  // namespace lamina::math
