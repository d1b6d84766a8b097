// What the kernels of batch normalisation read of a channel and of an element.
#pragma once

#include <cstdint>
#include <type_traits>

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

// Which derivative the ReLU has: none of it, that of its sign in y, or of the sign that x gives again.
enum class Mask { none, from_y, from_x };

// f(std::integral_constant<Mask, mask>{}).
template <typename F>
void visit_mask(bool relu, const Tensor& y, F&& f) {
  if (!relu) return f(std::integral_constant<Mask, Mask::none>{});
  if (y.defined()) return f(std::integral_constant<Mask, Mask::from_y>{});
  f(std::integral_constant<Mask, Mask::from_x>{});
}

template <int width>
struct MaskedPack {
  float passes[width];   // the derivative of the ReLU
  float grad[width];     // g, the gradient before it
  float centred[width];  // x - mean
};

template <typename T, int width, Mask mask>
struct MaskedGradient {
  struct Loaded {
    cuda::Pack<T, width> grad, x, y;
  };
  LAMINA_HD Loaded load(std::int64_t i) const {
    const cuda::Pack<T, width> above = cuda::load<width>(grad, i), in = cuda::load<width>(x, i);
    if constexpr (mask == Mask::from_y) return {above, in, cuda::load<width>(y, i)};
    return {above, in, in};
  }

  // Without y its sign is found again, rounded as it was stored.
  static LAMINA_HD MaskedPack<width> masked(const Loaded& loaded, const Channels<width>& channel) {
    const auto above = cuda::widened(loaded.grad), in = cuda::widened(loaded.x);
    cuda::Pack<float, width> out;
    if constexpr (mask == Mask::from_y) out = cuda::widened(loaded.y);
    if constexpr (mask == Mask::from_x) {
      for (int k = 0; k < width; ++k) out.value[k] = math::Relu{}.f(channel(in.value[k], k));
      out = cuda::widened(cuda::rounded<T>(out));
    }
    MaskedPack<width> g;
    for (int k = 0; k < width; ++k) {
      g.passes[k] = mask == Mask::none ? 1 : math::Relu{}.df(out.value[k]);
      g.grad[k] = mask == Mask::none ? above.value[k] : above.value[k] * g.passes[k];
      g.centred[k] = in.value[k] - channel.mean[k];
    }
    return g;
  }

  const T *grad, *x, *y;  // y: from_y alone
  Normalisation normalisation;
};

// How many packs of each tensor a thread reads before it computes: as many as registers allow.
constexpr int packs_in_turn = 4, packs_of_many_in_turn = 2;

}  // namespace lamina::cuda::batch_norm
