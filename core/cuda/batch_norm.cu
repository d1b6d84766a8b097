// Batch normalisation over rows × channels (Ioffe & Szegedy 2015, algorithm 1), fused with residual and ReLU.
// Each direction is one pass that reduces over rows and one that writes. x, y, the residual and their
// gradients are f32 or bf16; statistics and parameters, and their gradients, are always f32.
#include "core/cuda/batch_norm.h"

#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/cuda/sums.h"
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

template <typename T, int width>
void batch_statistics(Stream stream, Allocator& allocator, std::int64_t rows, std::int64_t columns,
                      const Statistics<T>& to) {
  const T* from = to.x;
  cuda::sum_middle<2, width, packs_in_turn>(
      stream, allocator, {1, rows, columns},
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t column) {
        const auto shift = cuda::widened(cuda::load<width>(from, column));
        return [=](std::int64_t row) {
          const cuda::Pack<T, width> loaded = cuda::load<width>(from, row * columns + column);
          return [=, &shift] {
            const auto in = cuda::widened(loaded);
            cuda::Sums<2 * width, float> terms;
            for (int k = 0; k < width; ++k) {
              const float d = in.value[k] - shift.value[k];
              terms.value[k] = d, terms.value[width + k] = d * d;
            }
            return terms;
          };
        };
      },
      to);
}

void inv_std_of(Stream stream, const Tensor& running_var, double eps, Tensor& inv_std) {
  const float* variance = running_var.data<float>();
  float* to = inv_std.data<float>();
  cuda::for_each(stream, inv_std.elements(), [=] LAMINA_DEVICE(std::int64_t c) {
    to[c] = static_cast<float>(math::inv_std(static_cast<double>(variance[c]), eps));
  });
}

// y = relu?((x - mean) * inv_std * weight + bias + residual?)
template <bool adds, bool relu, typename T, int width>
void normalise(Stream stream, const T* x, const T* residual, const Normalisation& normalisation,
               std::int64_t rows, std::int64_t columns, T* y) {
  constexpr int turn = adds ? packs_of_many_in_turn : packs_in_turn;
  cuda::for_each_column<turn>(stream, rows, columns, [=] LAMINA_DEVICE(std::int64_t column) {
    const Channels<width> channel(normalisation, column);
    return [=](std::int64_t i) {
      const cuda::Pack<T, width> loaded = cuda::load<width>(x, i);
      const cuda::Pack<T, width> more = adds ? cuda::load<width>(residual, i) : loaded;
      return [=, &channel] {
        const auto in = cuda::widened(loaded), added = cuda::widened(more);
        cuda::Pack<float, width> out;
        for (int k = 0; k < width; ++k) {
          float value = channel(in.value[k], k);
          if (adds) value += added.value[k];
          out.value[k] = relu ? math::Relu{}.f(value) : value;
        }
        cuda::store(cuda::rounded<T>(out), y, i);
      };
    };
  });
}

template <typename T>
void normalise(Stream stream, const Tensor& x, const Normalisation& n, std::int64_t channels,
               const Tensor& residual, bool relu, Tensor& y) {
  if (channels == 0) return;
  const T *from = x.data<T>(), *added = residual.defined() ? residual.data<T>() : nullptr;
  T* to = y.data<T>();
  const auto compute = [&](auto width) {
    const std::int64_t rows = x.elements() / channels, columns = channels / width();
    cuda::visit_flags(added != nullptr, relu, [&](auto adds, auto rectifies) {
      normalise<adds(), rectifies(), T, decltype(width)::value>(stream, from, added, n, rows, columns, to);
    });
  };
  cuda::visit_width<T>(channels, {from, added, to, n.mean, n.inv_std, n.weight, n.bias}, compute);
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

// All the coefficients; g goes to `kept` if that is wanted.
template <bool keeps, typename T, int width, Mask mask>
void reduce_gradients(Stream stream, Allocator& allocator, const MaskedGradient<T, width, mask>& g,
                      std::int64_t rows, std::int64_t columns, T* kept, const Coefficients& to) {
  constexpr int turn = keeps && mask == Mask::from_x ? packs_of_many_in_turn : packs_in_turn;
  cuda::sum_middle<2, width, turn>(
      stream, allocator, {1, rows, columns},
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t column) {
        const Channels<width> channel(g.normalisation, column);
        return [=](std::int64_t row) {
          const std::int64_t i = row * columns + column;
          const auto loaded = g.load(i);
          return [=, &channel] {
            const MaskedPack<width> masked = g.masked(loaded, channel);
            cuda::Sums<2 * width, float> terms;
            cuda::Pack<float, width> stored;
            for (int k = 0; k < width; ++k) {
              stored.value[k] = masked.grad[k];
              terms.value[k] = masked.grad[k];
              terms.value[width + k] = masked.grad[k] * masked.centred[k];
            }
            if (keeps) cuda::store(cuda::rounded<T>(stored), kept, i);
            return terms;
          };
        };
      },
      to);
}

template <typename T, int width, Mask mask>
void write_grad_x(Stream stream, const MaskedGradient<T, width, mask>& g, const Coefficients& coefficients,
                  std::int64_t rows, std::int64_t columns, T* grad_x) {
  const float *offsets = coefficients.offset, *slopes = coefficients.slope;
  cuda::for_each_column<packs_of_many_in_turn>(stream, rows, columns, [=] LAMINA_DEVICE(std::int64_t column) {
    const Channels<width> channel(g.normalisation, column);
    const auto offset = cuda::load<width>(offsets, column), slope = cuda::load<width>(slopes, column);
    return [=](std::int64_t i) {
      const auto loaded = g.load(i);
      return [=, &channel, &offset, &slope] {
        const MaskedPack<width> masked = g.masked(loaded, channel);
        cuda::Pack<float, width> out;
        for (int k = 0; k < width; ++k)
          out.value[k] = math::batch_norm_grad_x(masked.grad[k], masked.centred[k], channel.scale[k],
                                                 offset.value[k], slope.value[k]);
        cuda::store(cuda::rounded<T>(out), grad_x, i);
      };
    };
  });
}

template <typename T, int width, Mask mask>
void batch_norm_gradients(Stream stream, Allocator& allocator, const MaskedGradient<T, width, mask>& g,
                          std::int64_t rows, std::int64_t columns, T* kept, const Coefficients& coefficients,
                          T* grad_x) {
  if (kept == nullptr) {
    reduce_gradients<false>(stream, allocator, g, rows, columns, kept, coefficients);
    write_grad_x(stream, g, coefficients, rows, columns, grad_x);
  } else {
    reduce_gradients<true>(stream, allocator, g, rows, columns, kept, coefficients);
    const MaskedGradient<T, width, Mask::none> masked{kept, g.x, nullptr, g.normalisation};
    write_grad_x(stream, masked, coefficients, rows, columns, grad_x);
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
    cuda::visit_width<T>(channels, {x.raw()}, [&](auto width) {
      batch_statistics<T, width()>(stream(), allocator(), x.elements() / channels, channels / width(),
                                   statistics);
    });
    normalise<T>(stream(), x, {mean, inv_std, params}, channels, residual, options.relu, y);
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
