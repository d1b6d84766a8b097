// Batch normalisation over rows × channels (Ioffe & Szegedy 2015, algorithm 1), fused with residual and ReLU.
// Each direction is one pass that reduces over rows and one that writes. x, y, the residual and their
// gradients are f32 or bf16; statistics and parameters, and their gradients, are always f32.
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/math/batch_norm.h"
#include "core/math/unary.h"
#include "core/scratch.h"

namespace lamina {
namespace {

using cuda::Stream;

// What the channels' statistics and parameters make of x, before residual and ReLU.
struct Normalisation {
  Normalisation(const Tensor& means, const Tensor& inv_stds, const Tensor& weights, const Tensor& biases)
      : mean(means.data<float>()),
        inv_std(inv_stds.data<float>()),
        weight(weights.data<float>()),
        bias(biases.data<float>()) {}

  LAMINA_HD float scale(std::int64_t c) const { return inv_std[c] * weight[c]; }
  LAMINA_HD float operator()(float x, std::int64_t c) const {
    return math::normalise(x, mean[c], scale(c), bias[c]);
  }

  const float *mean, *inv_std, *weight, *bias;  // [C]
};

// A value near the mean of each channel: the mean of 16 rows spread over the tensor, as in
// core/cpu/batch_norm.cpp.
template <typename T>
void rough_mean(Stream stream, const Tensor& x, std::int64_t channels, float* mean) {
  const std::int64_t rows = x.elements() / channels, samples = rows < 16 ? rows : 16;
  const T* from = x.data<T>();
  cuda::for_each(stream, channels, [=] LAMINA_DEVICE(std::int64_t c) {
    double sum = 0;
    for (std::int64_t s = 0; s < samples; ++s)
      sum += static_cast<double>(static_cast<float>(from[s * rows / samples * channels + c]));
    mean[c] = static_cast<float>(sum / static_cast<double>(samples));
  });
}

struct Statistics {
  Statistics(const RunningStatistics& running, Tensor& means, Tensor& inv_stds)
      : running_mean(running.mean.data<float>()),
        running_var(running.var.data<float>()),
        batches(running.batches.defined() ? running.batches.data<std::int32_t>() : nullptr),
        mean(means.data<float>()),
        inv_std(inv_stds.data<float>()) {}

  float *running_mean, *running_var;  // [C]
  std::int32_t* batches;              // nullptr: not counted
  float *mean, *inv_std;              // [C]
};

template <typename T>
void batch_statistics(Stream stream, Allocator& allocator, const Tensor& x, const BatchNormOptions& o,
                      std::int64_t channels, const Statistics& to) {
  if (channels == 0) return;
  const Scratch<float> shifts(allocator, channels);
  const float* shift = shifts.data();
  rough_mean<T>(stream, x, channels, shifts.data());
  const std::int64_t count = x.elements() / channels;
  const auto n = static_cast<double>(count);
  const double momentum = o.momentum, eps = o.eps;
  const T* from = x.data<T>();
  cuda::sum_middle<2>(
      stream, allocator, {1, count, channels},
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t row, std::int64_t c) {
        const float d = static_cast<float>(from[row * channels + c]) - shift[c];
        return cuda::Sums<2, float>{{d, d * d}};
      },
      [=] LAMINA_DEVICE(std::int64_t c, const cuda::Sums<2>& sums) {
        const math::Moments batch =
            math::moments(static_cast<double>(shift[c]), sums.value[0], sums.value[1], n);
        to.mean[c] = static_cast<float>(batch.mean);
        to.inv_std[c] = static_cast<float>(math::inv_std(batch.variance, eps));
        to.running_mean[c] = math::moved(to.running_mean[c], batch.mean, momentum);
        to.running_var[c] = math::moved(to.running_var[c], batch.variance * (n / (n - 1)), momentum);
        if (c == 0 && to.batches != nullptr) ++*to.batches;
      });
}

void inv_std_of(Stream stream, const Tensor& running_var, double eps, Tensor& inv_std) {
  const float* variance = running_var.data<float>();
  float* to = inv_std.data<float>();
  cuda::for_each(stream, inv_std.elements(), [=] LAMINA_DEVICE(std::int64_t c) {
    to[c] = static_cast<float>(math::inv_std(static_cast<double>(variance[c]), eps));
  });
}

// y = relu?((x - mean) * inv_std * weight + bias + residual?)
template <typename T>
void normalise(Stream stream, const Tensor& x, const Normalisation& normalised, std::int64_t channels,
               const Tensor& residual, bool relu, Tensor& y) {
  const T *from = x.data<T>(), *added = residual.defined() ? residual.data<T>() : nullptr;
  T* to = y.data<T>();
  cuda::for_each(stream, y.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    float value = normalised(static_cast<float>(from[i]), i % channels);
    if (added != nullptr) value += static_cast<float>(added[i]);
    to[i] = static_cast<T>(relu ? math::Relu{}.f(value) : value);
  });
}

enum class Mask { none, from_y, from_x };

// g, the gradient before the ReLU. Without y its sign is found again, rounded as it was stored.
template <typename T>
struct MaskedGradient {
  LAMINA_HD float operator()(std::int64_t i, std::int64_t c) const {
    const auto g = static_cast<float>(grad[i]);
    if (mask == Mask::none) return g;
    if (mask == Mask::from_y) return g * math::Relu{}.df(static_cast<float>(y[i]));
    const float output = math::Relu{}.f(normalised(static_cast<float>(x[i]), c));
    return g * math::Relu{}.df(static_cast<float>(static_cast<T>(output)));
  }

  Mask mask;
  const T *grad, *x, *y;
  Normalisation normalised;
};

// grad_bias and grad_weight, and offset and slope [C] of grad_x; g goes to `kept` unless that is null.
template <typename T>
void reduce_gradients(Stream stream, Allocator& allocator, const MaskedGradient<T>& g,
                      const cuda::SumPlan& plan, bool training, T* kept, float* grad_weight, float* grad_bias,
                      float* offset, float* slope) {
  const std::int64_t channels = plan.inner;
  const double share = training ? 1 / static_cast<double>(plan.middle) : 0;
  cuda::sum_middle<2>(
      stream, allocator, plan,
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t row, std::int64_t c) {
        const std::int64_t i = row * channels + c;
        const float value = g(i, c);
        if (kept != nullptr) kept[i] = static_cast<T>(value);
        return cuda::Sums<2, float>{{value, value * (static_cast<float>(g.x[i]) - g.normalised.mean[c])}};
      },
      [=] LAMINA_DEVICE(std::int64_t c, const cuda::Sums<2>& sums) {
        const math::BatchNormGradient<float> gradient(sums.value[0], sums.value[1],
                                                      static_cast<double>(g.normalised.inv_std[c]),
                                                      static_cast<double>(g.normalised.scale(c)), share);
        grad_weight[c] = gradient.weight;
        grad_bias[c] = gradient.bias;
        offset[c] = gradient.offset;
        slope[c] = gradient.slope;
      });
}

template <typename T>
void write_grad_x(Stream stream, const MaskedGradient<T>& g, const T* kept, const float* offset,
                  const float* slope, std::int64_t channels, Tensor& grad_x) {
  T* to = grad_x.data<T>();
  cuda::for_each(stream, grad_x.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t c = i % channels;
    const float value = kept != nullptr ? static_cast<float>(kept[i]) : g(i, c);
    const float centred = static_cast<float>(g.x[i]) - g.normalised.mean[c];
    to[i] =
        static_cast<T>(math::batch_norm_grad_x(value, centred, g.normalised.scale(c), offset[c], slope[c]));
  });
}

}  // namespace

void CudaBackend::batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const Tensor& residual, const BatchNormOptions& options,
                             const RunningStatistics& running, Tensor& y, Tensor& mean, Tensor& inv_std) {
  const std::int64_t channels = weight.elements();
  cuda::visit_floating(x.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    batch_statistics<T>(stream(), allocator(), x, options, channels, {running, mean, inv_std});
    normalise<T>(stream(), x, {mean, inv_std, weight, bias}, channels, residual, options.relu, y);
  });
}

void CudaBackend::batch_norm_inference(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                       const Tensor& residual, const BatchNormOptions& options,
                                       const Tensor& running_mean, const Tensor& running_var, Tensor& y,
                                       Tensor& mean, Tensor& inv_std) {
  const std::int64_t channels = weight.elements();
  cuda::visit_floating(x.dtype(), "batch_norm_inference", [&](auto zero) {
    copy(running_mean, mean);
    inv_std_of(stream(), running_var, options.eps, inv_std);
    normalise<decltype(zero)>(stream(), x, {mean, inv_std, weight, bias}, channels, residual, options.relu,
                              y);
  });
}

void CudaBackend::batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y, const Tensor& weight,
                                  const Tensor& bias, const Tensor& mean, const Tensor& inv_std,
                                  const BatchNormOptions& options, Tensor& grad_x, Tensor& grad_weight,
                                  Tensor& grad_bias, Tensor& grad_residual) {
  const std::int64_t channels = weight.elements();
  if (channels == 0) return;
  const cuda::SumPlan plan(1, x.elements() / channels, channels);
  const Scratch<float> coefficients(allocator(), 2 * channels);
  float *offset = coefficients.data(), *slope = offset + channels;
  const Mask mask = !options.relu ? Mask::none : y.defined() ? Mask::from_y : Mask::from_x;
  cuda::visit_floating(x.dtype(), "batch_norm_grad", [&](auto zero) {
    using T = decltype(zero);
    const MaskedGradient<T> g{mask,
                              grad.data<T>(),
                              x.data<T>(),
                              mask == Mask::from_y ? y.data<T>() : nullptr,
                              {mean, inv_std, weight, bias}};
    T* kept = grad_residual.defined() ? grad_residual.data<T>() : nullptr;
    reduce_gradients(stream(), allocator(), g, plan, options.training, kept, grad_weight.data<float>(),
                     grad_bias.data<float>(), offset, slope);
    write_grad_x(stream(), g, kept, offset, slope, channels, grad_x);
  });
}

}  // namespace lamina
