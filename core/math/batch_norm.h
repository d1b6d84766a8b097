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

// The second derivative in closed form. With c = x - mean, k the share as above, and u, p, q, t the gradients
// with respect to grad_x, grad_weight, grad_bias and grad_residual, that of the sum of u grad_x, p
// grad_weight, q grad_bias and t grad_residual is
//   with respect to g:       scale u + mixed c + g_constant + t, to be masked by the ReLU
//   with respect to x:       mixed g + x_of_u u + x_of_c c + x_constant
//   with respect to weight:  inv_std (sum u g - k sum u sum g - k sum u x̂ sum g x̂).
template <typename T>
struct BatchNormSecondGradient {
  T weight;
  T scale, mixed, g_constant;
  T x_of_u, x_of_c, x_constant;

  struct Channel {
    double weight, inv_std;
    double g, g_x_hat;        // Σg, Σg x̂: grad_bias and grad_weight
    double u, u_centred, ug;  // Σu, Σu c, Σu g
    double p, q;
  };

  static LAMINA_HD BatchNormSecondGradient of(const Channel& c, double share) {
    const double s = c.inv_std, ws = c.weight * s, u_x_hat = c.u_centred * s;
    const double z = c.ug - share * (c.u * c.g + u_x_hat * c.g_x_hat);
    const double of_x_hat = c.p - ws * share * u_x_hat;  // what g is multiplied by in the gradient of x̂
    const double sum = c.p * c.g - ws * share * (u_x_hat * c.g + c.g_x_hat * c.u);    // of that gradient
    const double sum_x_hat = c.p * c.g_x_hat - 2 * ws * share * u_x_hat * c.g_x_hat;  // of it times x̂
    return {.weight = static_cast<T>(s * z),
            .scale = static_cast<T>(ws),
            .mixed = static_cast<T>(s * of_x_hat),
            .g_constant = static_cast<T>(c.q - ws * share * c.u),
            .x_of_u = static_cast<T>(-ws * s * share * c.g_x_hat),
            .x_of_c = static_cast<T>(-s * s * share * (sum_x_hat + ws * z)),
            .x_constant = static_cast<T>(-s * share * sum)};
  }

  LAMINA_HD T of_g(T u, T centred) const { return (scale * u + mixed * centred) + g_constant; }
  LAMINA_HD T of_x(T g, T u, T centred) const {
    return (mixed * g + x_of_u * u) + (x_of_c * centred + x_constant);
  }
};

template <typename T>
LAMINA_HD T batch_norm_grad_x(T g, T centred, T scale, T offset, T slope) {
  return (scale * g - offset) - slope * centred;
}

}  // namespace lamina::math
