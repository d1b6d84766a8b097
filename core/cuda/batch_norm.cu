// Batch normalisation over rows × channels (Ioffe & Szegedy 2015, algorithm 1), fused with residual and ReLU.
// Each direction is one pass that reduces over rows and one that writes. x, y, the residual and their
// gradients are f32 or bf16; statistics and parameters, and their gradients, are always f32.
#include "core/cuda/batch_norm.h"

#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/memory/scratch.h"

namespace lamina {
namespace {

using namespace cuda::batch_norm;
using cuda::Stream;

struct Statistics {
  Statistics(const BatchNormParams& params, Tensor& means, Tensor& inv_stds)
      : running_mean(params.running_mean.data<float>()),
        running_var(params.running_var.data<float>()),
        batches(params.batches_tracked.defined() ? params.batches_tracked.data<std::int32_t>() : nullptr),
        mean(means.data<float>()),
        inv_std(inv_stds.data<float>()) {}

  LAMINA_HD void write(std::int64_t c, const math::Moments& batch, double n, double momentum,
                       double eps) const {
    mean[c] = static_cast<float>(batch.mean);
    inv_std[c] = static_cast<float>(math::inv_std(batch.variance, eps));
    running_mean[c] = math::moved(running_mean[c], batch.mean, momentum);
    running_var[c] = math::moved(running_var[c], batch.variance * (n / (n - 1)), momentum);
    if (c == 0 && batches != nullptr) ++*batches;
  }

  float *running_mean, *running_var;  // [C]
  std::int32_t* batches;              // nullptr: not counted
  float *mean, *inv_std;              // [C]
};

// Sums of d = x - shift and of d², with the first row for a shift.
template <typename T, int width>
void batch_statistics(Stream stream, Allocator& allocator, const Tensor& x, const BatchNormOptions& o,
                      std::int64_t channels, const Statistics& to) {
  if (channels == 0) return;
  const std::int64_t count = x.elements() / channels, columns = channels / width;
  const auto n = static_cast<double>(count);
  const double momentum = o.momentum, eps = o.eps;
  const T* from = x.data<T>();
  cuda::sum_middle<2 * width>(
      stream, allocator, {1, count, columns, rows_of_packs},
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t column) {
        const cuda::Pack<T, width> shift = cuda::load<width>(from, column);
        return [=](std::int64_t row) {
          const cuda::Pack<T, width> in = cuda::load<width>(from, row * columns + column);
          cuda::Sums<2 * width, float> terms;
          for (int k = 0; k < width; ++k) {
            const float d = static_cast<float>(in.value[k]) - static_cast<float>(shift.value[k]);
            terms.value[k] = d, terms.value[width + k] = d * d;
          }
          return terms;
        };
      },
      [=] LAMINA_DEVICE(std::int64_t column, const cuda::Sums<2 * width>& sums) {
        for (int k = 0; k < width; ++k) {
          const std::int64_t c = column * width + k;
          const auto shift = static_cast<double>(static_cast<float>(from[c]));
          to.write(c, math::moments(shift, sums.value[k], sums.value[width + k], n), n, momentum, eps);
        }
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
template <typename T, int width>
void normalise(Stream stream, const Tensor& x, const Normalisation& normalisation, std::int64_t channels,
               const Tensor& residual, bool relu, Tensor& y) {
  const T *from = x.data<T>(), *added = residual.defined() ? residual.data<T>() : nullptr;
  T* to = y.data<T>();
  cuda::for_each_column(
      stream, y.elements() / channels, channels / width, [=] LAMINA_DEVICE(std::int64_t column) {
        const Channels<width> channel(normalisation, column);
        return [=](std::int64_t i) {
          const cuda::Pack<T, width> in = cuda::load<width>(from, i);
          const cuda::Pack<T, width> more = added != nullptr ? cuda::load<width>(added, i) : in;
          cuda::Pack<T, width> out;
          for (int k = 0; k < width; ++k) {
            float value = channel(static_cast<float>(in.value[k]), k);
            if (added != nullptr) value += static_cast<float>(more.value[k]);
            out.value[k] = static_cast<T>(relu ? math::Relu{}.f(value) : value);
          }
          cuda::store(out, to, i);
        };
      });
}

template <typename T>
void normalise(Stream stream, const Tensor& x, const Normalisation& n, std::int64_t channels,
               const Tensor& residual, bool relu, Tensor& y) {
  if (channels == 0) return;
  const void* added = residual.defined() ? residual.raw() : nullptr;
  cuda::visit_width<T>(channels, {x.raw(), added, y.raw(), n.mean, n.inv_std, n.weight, n.bias},
                       [&](auto width) { normalise<T, width()>(stream, x, n, channels, residual, relu, y); });
}

// What the two passes over the gradient share: the first writes it, the second reads it. [C] each.
struct Coefficients {
  float *grad_weight, *grad_bias, *offset, *slope;
};

// All the coefficients; g goes to `kept` unless that is null.
template <typename T, int width>
void reduce_gradients(Stream stream, Allocator& allocator, const MaskedGradient<T, width>& g,
                      const cuda::SumPlan& plan, bool training, T* kept, const Coefficients& to) {
  const std::int64_t columns = plan.inner;
  const double share = training ? 1 / static_cast<double>(plan.middle) : 0;
  cuda::sum_middle<2 * width>(
      stream, allocator, plan,
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t column) {
        const Channels<width> channel(g.normalisation, column);
        return [=](std::int64_t row) {
          const std::int64_t i = row * columns + column;
          const MaskedPack<width> masked = g.at(i, channel);
          cuda::Sums<2 * width, float> terms;
          cuda::Pack<T, width> stored;
          for (int k = 0; k < width; ++k) {
            stored.value[k] = static_cast<T>(masked.grad[k]);
            terms.value[k] = masked.grad[k];
            terms.value[width + k] = masked.grad[k] * masked.centred[k];
          }
          if (kept != nullptr) cuda::store(stored, kept, i);
          return terms;
        };
      },
      [=] LAMINA_DEVICE(std::int64_t column, const cuda::Sums<2 * width>& sums) {
        for (int k = 0; k < width; ++k) {
          const std::int64_t c = column * width + k;
          const math::BatchNormGradient<float> gradient(sums.value[k], sums.value[width + k],
                                                        static_cast<double>(g.normalisation.inv_std[c]),
                                                        static_cast<double>(g.normalisation.scale(c)), share);
          to.grad_weight[c] = gradient.weight;
          to.grad_bias[c] = gradient.bias;
          to.offset[c] = gradient.offset;
          to.slope[c] = gradient.slope;
        }
      });
}

template <typename T, int width>
void write_grad_x(Stream stream, const MaskedGradient<T, width>& g, const T* kept,
                  const Coefficients& coefficients, std::int64_t columns, Tensor& grad_x) {
  T* to = grad_x.data<T>();
  const float *offsets = coefficients.offset, *slopes = coefficients.slope;
  const std::int64_t rows = grad_x.elements() / width / columns;
  cuda::for_each_column(stream, rows, columns, [=] LAMINA_DEVICE(std::int64_t column) {
    const Channels<width> channel(g.normalisation, column);
    const auto offset = cuda::load<width>(offsets, column), slope = cuda::load<width>(slopes, column);
    return [=](std::int64_t i) {
      MaskedPack<width> masked;
      if (kept == nullptr) {
        masked = g.at(i, channel);
      } else {
        const cuda::Pack<T, width> in = cuda::load<width>(g.x, i), grad = cuda::load<width>(kept, i);
        for (int k = 0; k < width; ++k) {
          masked.grad[k] = static_cast<float>(grad.value[k]);
          masked.centred[k] = static_cast<float>(in.value[k]) - channel.mean[k];
        }
      }
      cuda::Pack<T, width> out;
      for (int k = 0; k < width; ++k)
        out.value[k] = static_cast<T>(math::batch_norm_grad_x(
            masked.grad[k], masked.centred[k], channel.scale[k], offset.value[k], slope.value[k]));
      cuda::store(out, to, i);
    };
  });
}

}  // namespace

void CudaBackend::batch_norm(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                             const BatchNormOptions& options, Tensor& y, Tensor& mean, Tensor& inv_std) {
  const std::int64_t channels = mean.elements();
  cuda::visit_floating(x.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    cuda::visit_width<T>(channels, {x.raw()}, [&](auto width) {
      batch_statistics<T, width()>(stream(), allocator(), x, options, channels, {params, mean, inv_std});
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
  const Scratch<float> scratch(allocator(), 2 * channels);
  float* offset = scratch.data();
  const Mask mask = !options.relu ? Mask::none : y.defined() ? Mask::from_y : Mask::from_x;
  cuda::visit_floating(x.dtype(), "batch_norm_grad", [&](auto zero) {
    using T = decltype(zero);
    const Normalisation n(mean, inv_std, params);
    const T* masks = mask == Mask::from_y ? y.data<T>() : nullptr;
    T* kept = grad_residual.defined() ? grad_residual.data<T>() : nullptr;
    const Coefficients coefficients{grad_weight.data<float>(), grad_bias.data<float>(), offset,
                                    offset + channels};
    const auto compute = [&](auto width) {
      const std::int64_t columns = channels / width();
      const MaskedGradient<T, width()> g{mask, grad.data<T>(), x.data<T>(), masks, n};
      const cuda::SumPlan plan(1, x.elements() / channels, columns, rows_of_packs);
      reduce_gradients(stream(), allocator(), g, plan, options.training, kept, coefficients);
      write_grad_x(stream(), g, kept, coefficients, columns, grad_x);
    };
    cuda::visit_width<T>(
        channels, {grad.raw(), x.raw(), masks, kept, grad_x.raw(), n.mean, n.inv_std, n.weight, n.bias},
        compute);
  });
}

}  // namespace lamina
