// Batch normalisation over rows × channels (Ioffe & Szegedy 2015, algorithm 1), fused with residual and ReLU.
// Each direction reduces over rows, and then writes. x, y, the residual and their gradients are f32 or bf16;
// statistics and parameters, and their gradients, are always f32.
#include "core/cuda/batch_norm.h"

#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/cuda/sum_then_each.h"
#include "core/memory/scratch.h"

namespace lamina {
namespace {

using namespace cuda::batch_norm;
using cuda::Stream;

// What becomes of the sums over a channel of d = x - shift and of d², with the first row for a shift.
template <typename T>
struct Statistics {
  LAMINA_DEVICE void operator()(std::int64_t c, const cuda::Sums<2>& sums) const {
    const float mean_before = running_mean[c], var_before = running_var[c];
    const auto shift = static_cast<double>(static_cast<float>(x[c]));
    const math::Moments batch = math::moments(shift, sums.value[0], sums.value[1], n);
    mean[c] = static_cast<float>(batch.mean);
    inv_std[c] = static_cast<float>(math::inv_std(batch.variance, eps));
    running_mean[c] = math::moved(mean_before, batch.mean, momentum);
    running_var[c] = math::moved(var_before, batch.variance * (n / (n - 1)), momentum);
    if (c == 0 && batches != nullptr) ++*batches;
  }

  const T* x;
  double n, momentum, eps;
  float *mean, *inv_std, *running_mean, *running_var;  // [C]
  std::int32_t* batches;                               // nullptr: not counted
};

template <typename T>
Statistics<T> statistics_of(const Tensor& x, const BatchNormParams& params, const BatchNormOptions& options,
                            Tensor& mean, Tensor& inv_std) {
  return {
      .x = x.data<T>(),
      .n = static_cast<double>(x.elements() / mean.elements()),
      .momentum = options.momentum,
      .eps = options.eps,
      .mean = mean.data<float>(),
      .inv_std = inv_std.data<float>(),
      .running_mean = params.running_mean.data<float>(),
      .running_var = params.running_var.data<float>(),
      .batches = params.batches_tracked.defined() ? params.batches_tracked.data<std::int32_t>() : nullptr};
}

// The terms of those sums in `width` neighbouring channels.
template <typename T, int width>
struct Deviations {
  static constexpr int in_turn = packs_in_turn;

  LAMINA_DEVICE auto operator()(std::int64_t, std::int64_t column) const {
    const auto shift = cuda::widened(cuda::load<width>(x, column));
    return [*this, column, shift](std::int64_t row) {
      const cuda::Pack<T, width> loaded = cuda::load<width>(x, row * columns + column);
      return [loaded, &shift] {
        const auto in = cuda::widened(loaded);
        cuda::Sums<2 * width, float> terms;
        for (int k = 0; k < width; ++k) {
          const float d = in.value[k] - shift.value[k];
          terms.value[k] = d, terms.value[width + k] = d * d;
        }
        return terms;
      };
    };
  }

  const T* x;
  std::int64_t columns;
};

void inv_std_of(Stream stream, const Tensor& running_var, double eps, Tensor& inv_std) {
  const float* variance = running_var.data<float>();
  float* to = inv_std.data<float>();
  cuda::for_each(stream, inv_std.elements(), [=] LAMINA_DEVICE(std::int64_t c) {
    to[c] = static_cast<float>(math::inv_std(static_cast<double>(variance[c]), eps));
  });
}

// y = relu?((x - mean) * inv_std * weight + bias + residual?)
template <bool adds, bool relu, typename T, int width>
struct Normalise {
  static constexpr int in_turn = adds ? packs_of_many_in_turn : packs_in_turn;

  LAMINA_DEVICE auto operator()(std::int64_t column) const {
    const Channels<width> channel(normalisation, column);
    return [*this, channel](std::int64_t i) {
      const cuda::Pack<T, width> loaded = cuda::load<width>(x, i);
      const cuda::Pack<T, width> more = adds ? cuda::load<width>(residual, i) : loaded;
      return [loaded, more, i, to = y, &channel] {
        const auto in = cuda::widened(loaded), added = cuda::widened(more);
        cuda::Pack<float, width> out;
        for (int k = 0; k < width; ++k) {
          float value = channel(in.value[k], k);
          if (adds) value += added.value[k];
          out.value[k] = relu ? math::Relu{}.f(value) : value;
        }
        cuda::store(cuda::rounded<T>(out), to, i);
      };
    };
  }

  const T *x, *residual;  // nullptr: none
  T* y;
  Normalisation normalisation;
};

// f(columns, normalise): the packs of a row, and the Normalise for them.
template <typename T, typename F>
void visit_normalise(const Tensor& x, const Normalisation& n, std::int64_t channels, const Tensor& residual,
                     bool relu, Tensor& y, const F& f) {
  const T *from = x.data<T>(), *added = residual.defined() ? residual.data<T>() : nullptr;
  T* to = y.data<T>();
  cuda::visit_width<T>(channels, {from, added, to, n.mean, n.inv_std, n.weight, n.bias}, [&](auto width) {
    cuda::visit_flags(added != nullptr, relu, [&](auto adds, auto rectifies) {
      f(channels / width(), width, Normalise<adds(), rectifies(), T, width()>{from, added, to, n});
    });
  });
}

template <typename T>
void normalise(Stream stream, const Tensor& x, const Normalisation& n, std::int64_t channels,
               const Tensor& residual, bool relu, Tensor& y) {
  if (channels == 0) return;
  visit_normalise<T>(x, n, channels, residual, relu, y,
                     [&](std::int64_t columns, auto, const auto& normalise) {
                       constexpr int turn = std::remove_cvref_t<decltype(normalise)>::in_turn;
                       cuda::for_each_column<turn>(stream, x.elements() / channels, columns, normalise);
                     });
}

// What the two passes over the gradient share: the first writes it, the second reads it. [C] each.
struct Coefficients {
  LAMINA_DEVICE void operator()(std::int64_t c, const cuda::Sums<2>& sums) const {
    const math::BatchNormGradient<float> gradient(sums.value[0], sums.value[1],
                                                  static_cast<double>(normalisation.inv_std[c]),
                                                  static_cast<double>(normalisation.scale(c)), share);
    grad_weight[c] = gradient.weight;
    grad_bias[c] = gradient.bias;
    offset[c] = gradient.offset;
    slope[c] = gradient.slope;
  }

  Normalisation normalisation;
  double share;  // 1 / rows, or 0 with constant statistics
  float *grad_weight, *grad_bias, *offset, *slope;
};

// The terms of the sums over g and over g (x - mean); g goes to `kept` if that is wanted.
template <bool keeps, typename T, int width, Mask mask>
struct GradientTerms {
  static constexpr int in_turn = keeps && mask == Mask::from_x ? packs_of_many_in_turn : packs_in_turn;

  LAMINA_DEVICE auto operator()(std::int64_t, std::int64_t column) const {
    const Channels<width> channel(g.normalisation, column);
    return [*this, column, channel](std::int64_t row) {
      const std::int64_t i = row * columns + column;
      const auto loaded = g.load(i);
      return [loaded, i, to = kept, &channel] {
        const MaskedPack<width> masked = MaskedGradient<T, width, mask>::masked(loaded, channel);
        cuda::Sums<2 * width, float> terms;
        cuda::Pack<float, width> stored;
        for (int k = 0; k < width; ++k) {
          stored.value[k] = masked.grad[k];
          terms.value[k] = masked.grad[k];
          terms.value[width + k] = masked.grad[k] * masked.centred[k];
        }
        if (keeps) cuda::store(cuda::rounded<T>(stored), to, i);
        return terms;
      };
    };
  }

  MaskedGradient<T, width, mask> g;
  std::int64_t columns;
  T* kept;
};

template <typename T, int width, Mask mask>
struct GradX {
  static constexpr int in_turn = packs_of_many_in_turn;

  LAMINA_DEVICE auto operator()(std::int64_t column) const {
    const Channels<width> channel(g.normalisation, column);
    const auto offset = cuda::load<width>(offsets, column), slope = cuda::load<width>(slopes, column);
    return [*this, channel, offset, slope](std::int64_t i) {
      const auto loaded = g.load(i);
      return [loaded, i, to = grad_x, &channel, &offset, &slope] {
        const MaskedPack<width> masked = MaskedGradient<T, width, mask>::masked(loaded, channel);
        cuda::Pack<float, width> out;
        for (int k = 0; k < width; ++k)
          out.value[k] = math::batch_norm_grad_x(masked.grad[k], masked.centred[k], channel.scale[k],
                                                 offset.value[k], slope.value[k]);
        cuda::store(cuda::rounded<T>(out), to, i);
      };
    };
  }

  MaskedGradient<T, width, mask> g;
  const float *offsets, *slopes;
  T* grad_x;
};

template <typename T, int width, Mask mask>
void batch_norm_gradients(Stream stream, Allocator& allocator, const MaskedGradient<T, width, mask>& g,
                          std::int64_t rows, std::int64_t columns, T* kept, const Coefficients& coefficients,
                          T* grad_x) {
  // x and grad, or what was kept of it; y where its mask was not kept.
  const int tensors = mask == Mask::from_y && kept == nullptr ? 3 : 2;
  const cuda::Rows of{.rows = rows,
                      .columns = columns,
                      .bytes_again = tensors * rows * columns * width * std::int64_t{sizeof(T)}};
  const float *offsets = coefficients.offset, *slopes = coefficients.slope;
  if (kept == nullptr) {
    const GradientTerms<false, T, width, mask> terms{g, columns, kept};
    const GradX<T, width, mask> write{g, offsets, slopes, grad_x};
    cuda::sum_then_each<2, width>(stream, allocator, of, terms, coefficients, write);
  } else {
    const GradientTerms<true, T, width, mask> terms{g, columns, kept};
    const GradX<T, width, Mask::none> write{{kept, g.x, nullptr, g.normalisation}, offsets, slopes, grad_x};
    cuda::sum_then_each<2, width>(stream, allocator, of, terms, coefficients, write);
  }
}

}  // namespace

void CudaBackend::batch_norm(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                             const BatchNormOptions& options, Tensor& y, Tensor& mean, Tensor& inv_std) {
  const std::int64_t channels = mean.elements();
  cuda::visit_floating(x.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    if (channels == 0) return;
    const auto statistics = statistics_of<T>(x, params, options, mean, inv_std);
    const auto compute = [&](std::int64_t columns, auto width, const auto& normalise) {
      const Deviations<T, width()> deviations{statistics.x, columns};
      const cuda::Rows of{.rows = x.elements() / channels,
                          .columns = columns,
                          .bytes_again = static_cast<std::int64_t>(x.bytes())};
      cuda::sum_then_each<2, width()>(stream(), allocator(), of, deviations, statistics, normalise);
    };
    visit_normalise<T>(x, {mean, inv_std, params}, channels, residual, options.relu, y, compute);
  });
}

void CudaBackend::batch_norm_inference(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                                       const BatchNormOptions& options, Tensor& y, Tensor& mean,
                                       Tensor& inv_std) {
  const std::int64_t channels = mean.elements();
  cuda::visit_floating(x.dtype(), "batch_norm_inference", [&](auto zero) {
    copy(params.running_mean, mean);
    inv_std_of(stream(), params.running_var, options.eps, inv_std);
    normalise<decltype(zero)>(stream(), x, {mean, inv_std, params}, channels, residual, options.relu, y);
  });
}

void CudaBackend::batch_norm_again(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                                   const BatchNormOptions& options, const Tensor& mean, const Tensor& inv_std,
                                   Tensor& y) {
  cuda::visit_floating(x.dtype(), "batch_norm_again", [&](auto zero) {
    normalise<decltype(zero)>(stream(), x, {mean, inv_std, params}, mean.elements(), residual, options.relu,
                              y);
  });
}

void CudaBackend::batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y,
                                  const BatchNormParams& params, const Tensor& mean, const Tensor& inv_std,
                                  const BatchNormOptions& options, Tensor& grad_x, Tensor& grad_weight,
                                  Tensor& grad_bias, Tensor& grad_residual) {
  const std::int64_t channels = mean.elements();
  if (channels == 0) return;
  cuda::visit_floating(x.dtype(), "batch_norm_grad", [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t rows = x.elements() / channels;
    const Scratch<float> scratch(allocator(), 2 * channels);
    const Normalisation n(mean, inv_std, params);
    const Coefficients coefficients{.normalisation = n,
                                    .share = options.training ? 1 / static_cast<double>(rows) : 0,
                                    .grad_weight = grad_weight.data<float>(),
                                    .grad_bias = grad_bias.data<float>(),
                                    .offset = scratch.data(),
                                    .slope = scratch.data() + channels};
    const T *from = grad.data<T>(), *in = x.data<T>();
    T *kept = grad_residual.defined() ? grad_residual.data<T>() : nullptr, *to = grad_x.data<T>();
    visit_mask(options.relu, y, [&](auto mask) {
      const T* out = mask() == Mask::from_y ? y.data<T>() : nullptr;
      const auto compute = [&](auto width) {
        const MaskedGradient<T, width(), decltype(mask)::value> g{from, in, out, n};
        batch_norm_gradients(stream(), allocator(), g, rows, channels / width(), kept, coefficients, to);
      };
      cuda::visit_width<T>(channels, {from, in, out, kept, to, n.mean, n.inv_std, n.weight, n.bias}, compute);
    });
  });
}

}  // namespace lamina
