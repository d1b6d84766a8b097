// What the kernels of batch normalisation read of a channel and of an element.
#pragma once

#include <cstdint>

#include "core/backend.h"
#include "core/cuda/pack.h"
#include "core/math/batch_norm.h"
#include "core/math/unary.h"

namespace lamina::cuda::batch_norm {

// What the channels' statistics and parameters make of x, before residual and ReLU.
struct Normalisation {
  Normalisation(const Tensor& means, const Tensor& inv_stds, const BatchNormParams& params)
      : mean(means.data<float>()),
        inv_std(inv_stds.data<float>()),
        weight(params.weight.data<float>()),
        bias(params.bias.data<float>()) {}

  LAMINA_HD float scale(std::int64_t c) const { return inv_std[c] * weight[c]; }

  const float *mean, *inv_std, *weight, *bias;  // [C]
};

// The same of `width` neighbouring channels, in registers.
template <int width>
struct Channels {
  LAMINA_HD Channels(const Normalisation& all, std::int64_t column) {
    const auto means = cuda::load<width>(all.mean, column), inv_stds = cuda::load<width>(all.inv_std, column);
    const auto weights = cuda::load<width>(all.weight, column), biases = cuda::load<width>(all.bias, column);
    for (int k = 0; k < width; ++k) {
      mean[k] = means.value[k];
      scale[k] = inv_stds.value[k] * weights.value[k];
      bias[k] = biases.value[k];
    }
  }
  LAMINA_HD float operator()(float x, int k) const { return math::normalise(x, mean[k], scale[k], bias[k]); }

  float mean[width], scale[width], bias[width];
};

enum class Mask { none, from_y, from_x };

template <int width>
struct MaskedPack {
  float passes[width];   // the derivative of the ReLU
  float grad[width];     // g, the gradient before it
  float centred[width];  // x - mean
};

template <typename T, int width>
struct MaskedGradient {
  // Without y its sign is found again, rounded as it was stored.
  LAMINA_HD MaskedPack<width> at(std::int64_t i, const Channels<width>& channel) const {
    const cuda::Pack<T, width> above = cuda::load<width>(grad, i), in = cuda::load<width>(x, i);
    const cuda::Pack<T, width> out = mask == Mask::from_y ? cuda::load<width>(y, i) : in;
    MaskedPack<width> g;
    for (int k = 0; k < width; ++k) {
      const auto value = static_cast<float>(in.value[k]);
      g.passes[k] = 1;
      if (mask == Mask::from_y) g.passes[k] = math::Relu{}.df(static_cast<float>(out.value[k]));
      if (mask == Mask::from_x) {
        const auto stored = static_cast<T>(math::Relu{}.f(channel(value, k)));
        g.passes[k] = math::Relu{}.df(static_cast<float>(stored));
      }
      g.grad[k] = static_cast<float>(above.value[k]) * g.passes[k];
      g.centred[k] = value - channel.mean[k];
    }
    return g;
  }

  Mask mask;
  const T *grad, *x, *y;
  Normalisation normalisation;
};

// Rows that a thread adds up where it takes several channels at once: with more, too few threads would be at
// work.
constexpr std::int64_t rows_of_packs = 16;

}  // namespace lamina::cuda::batch_norm
