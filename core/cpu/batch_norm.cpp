// Batch normalisation over rows × channels (Ioffe & Szegedy 2015, algorithm 1), fused with residual and ReLU.
// Each direction is one pass that reduces over rows and one that writes; both are limited by memory.
#include "core/cpu/batch_norm.h"

#include <algorithm>
#include <vector>

#include "core/cpu/cpu_backend.h"

namespace lamina {
namespace {

using namespace cpu::batch_norm;

// A value near the mean of each channel: the mean of 16 rows spread over the tensor, so that an odd row (the
// padding, say) cannot mislead.
template <typename T>
std::vector<T> rough_mean(const Rows& rows, const T* x) {
  const std::int64_t samples = std::min<std::int64_t>(16, rows.count);
  std::vector<T> mean(static_cast<std::size_t>(rows.channels));
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    double sum = 0;
    for (std::int64_t s = 0; s < samples; ++s) {
      sum += static_cast<double>(x[s * rows.count / samples * rows.channels + c]);
    }
    mean[static_cast<std::size_t>(c)] = static_cast<T>(sum / static_cast<double>(samples));
  }
  return mean;
}

template <typename T>
std::vector<math::Moments> batch_moments(const Rows& rows, const T* x) {
  const std::vector<T> shifts = rough_mean(rows, x);
  const T* shift = shifts.data();
  const auto d = [=](std::int64_t i, std::int64_t c) { return x[i] - shift[c]; };
  const std::vector<double> sums = sum_rows(rows, d, d);
  std::vector<math::Moments> moments(shifts.size());
  for (std::size_t c = 0; c < moments.size(); ++c) {
    moments[c] = math::moments(static_cast<double>(shift[c]), sums[c], sums[moments.size() + c],
                               static_cast<double>(rows.count));
  }
  return moments;
}

// From a rank's moments those of all ranks' values:
//   N = Σ n_r, mean = Σ n_r mean_r / N, variance = Σ n_r (variance_r + (mean_r - mean)²) / N.
// Returns N.
double combine(std::vector<math::Moments>& moments, const Rows& rows, const BatchNormOptions& options) {
  const auto n = static_cast<double>(rows.count);
  std::vector<double> sums;
  for (const math::Moments& m : moments) sums.push_back(n * m.mean);
  const Totals means = totals_of(std::move(sums), rows, options);
  std::vector<double> squares;
  for (std::size_t c = 0; c < moments.size(); ++c) {
    const double mean = means.sums[c] / means.rows, distance = moments[c].mean - mean;
    squares.push_back(n * (moments[c].variance + distance * distance));
    moments[c].mean = mean;
  }
  options.sum_over_ranks(squares);
  for (std::size_t c = 0; c < moments.size(); ++c) moments[c].variance = squares[c] / means.rows;
  return means.rows;
}

// y = relu?((x - mean) * scale + bias + residual?) with scale = inv_std * weight.
template <typename T, bool relu, bool has_residual>
void normalise(const Tensor& x, const BatchNormParams& params, const Tensor& residual, const Tensor& mean,
               const Tensor& inv_std, Tensor& y) {
  const std::vector<T> scales = scale_of<T>(params.weight, inv_std);
  const T *from = x.data<T>(), *means = mean.data<T>(), *scale = scales.data(),
          *shift = params.bias.data<T>();
  const T* added = has_residual ? residual.data<T>() : nullptr;
  T* to = y.data<T>();
  for_each_element(Rows(x), [=](std::int64_t i, std::int64_t c) {
    T value = math::normalise(from[i], means[c], scale[c], shift[c]);
    if constexpr (has_residual) value += added[i];
    to[i] = relu ? math::Relu{}.f(value) : value;
  });
}

template <typename T>
auto normalise_kernel(bool relu, bool has_residual) {
  if (relu) return has_residual ? normalise<T, true, true> : normalise<T, true, false>;
  return has_residual ? normalise<T, false, true> : normalise<T, false, false>;
}

// See math::BatchNormGradient.
template <typename T, Mask mask>
void gradients(const Tensor& grad, const Tensor& x, const Tensor& y, const BatchNormParams& params,
               const Tensor& mean, const Tensor& inv_std, const BatchNormOptions& options, Tensor& grad_x,
               Tensor& grad_weight, Tensor& grad_bias, Tensor& grad_residual) {
  const Rows rows(x);
  const std::vector<T> scales = scale_of<T>(params.weight, inv_std);
  const T *from = grad.data<T>(), *out = mask == Mask::from_y ? y.data<T>() : nullptr;
  const T *values = x.data<T>(), *means = mean.data<T>(), *scale = scales.data();
  const ReluMask<T, mask> passes{out, values, means, scale, params.bias.data<T>()};
  T* kept = grad_residual.defined() ? grad_residual.data<T>() : nullptr;
  const auto centred = [=](std::int64_t i, std::int64_t c) { return values[i] - means[c]; };
  const auto g = [=](std::int64_t i, std::int64_t c) { return from[i] * passes(i, c); };
  const auto keep_g = [=](std::int64_t i, std::int64_t c) { return kept[i] = g(i, c); };
  const std::vector<double> sums =
      kept != nullptr ? sum_rows(rows, keep_g, centred) : sum_rows(rows, g, centred);

  std::vector<T> offsets(scales.size()), slopes(scales.size());
  const Totals all = totals_of(sums, rows, options);
  const double share = options.training ? 1 / all.rows : 0;
  for (std::size_t c = 0; c < scales.size(); ++c) {
    const auto gradient_from = [&](const std::vector<double>& of) {
      return math::BatchNormGradient<T>(of[c], of[scales.size() + c],
                                        static_cast<double>(inv_std.data<T>()[c]),
                                        static_cast<double>(scales[c]), share);
    };
    const auto own = gradient_from(sums), whole = gradient_from(all.sums);
    grad_bias.data<T>()[c] = own.bias;
    grad_weight.data<T>()[c] = own.weight;
    offsets[c] = whole.offset;
    slopes[c] = whole.slope;
  }
  const auto write = [&](const auto& masked) {
    const T *offset = offsets.data(), *slope = slopes.data();
    T* to = grad_x.data<T>();
    for_each_element(rows, [=](std::int64_t i, std::int64_t c) {
      to[i] = math::batch_norm_grad_x(masked(i, c), centred(i, c), scale[c], offset[c], slope[c]);
    });
  };
  kept != nullptr ? write([=](std::int64_t i, std::int64_t) { return kept[i]; }) : write(g);
}

template <typename T>
auto gradients_kernel(bool relu, bool has_y) {
  if (!relu) return gradients<T, Mask::none>;
  return has_y ? gradients<T, Mask::from_y> : gradients<T, Mask::from_x>;
}

}  // namespace

void CpuBackend::batch_norm(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                            const BatchNormOptions& options, Tensor& y, Tensor& mean, Tensor& inv_std) {
  visit_floating(x.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    const Rows rows(x);
    std::vector<math::Moments> moments = batch_moments(rows, x.data<T>());
    const double count =
        options.sum_over_ranks ? combine(moments, rows, options) : static_cast<double>(rows.count);
    check(count >= 2, "batch_norm: all ranks have {} value per channel; a variance needs at least 2", count);
    const double unbiased = count / (count - 1);
    const auto move = [&](T& moving, double batch) { moving = math::moved(moving, batch, options.momentum); };
    for (std::size_t c = 0; c < moments.size(); ++c) {
      mean.data<T>()[c] = static_cast<T>(moments[c].mean);
      inv_std.data<T>()[c] = static_cast<T>(math::inv_std(moments[c].variance, options.eps));
      move(params.running_mean.data<T>()[c], moments[c].mean);
      move(params.running_var.data<T>()[c], moments[c].variance * unbiased);
    }
    if (params.batches_tracked.defined()) ++*params.batches_tracked.data<std::int32_t>();
    const auto kernel = normalise_kernel<T>(options.relu, residual.defined());
    kernel(x, params, residual, mean, inv_std, y);
  });
}

void CpuBackend::batch_norm_inference(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                                      const BatchNormOptions& options, Tensor& y, Tensor& mean,
                                      Tensor& inv_std) {
  visit_floating(x.dtype(), "batch_norm_inference", [&](auto zero) {
    using T = decltype(zero);
    copy(params.running_mean, mean);
    const T* variance = params.running_var.data<T>();
    std::transform(variance, variance + inv_std.elements(), inv_std.data<T>(),
                   [&](T v) { return static_cast<T>(math::inv_std(static_cast<double>(v), options.eps)); });
    const auto kernel = normalise_kernel<T>(options.relu, residual.defined());
    kernel(x, params, residual, mean, inv_std, y);
  });
}

void CpuBackend::batch_norm_again(const Tensor& x, const BatchNormParams& params, const Tensor& residual,
                                  const BatchNormOptions& options, const Tensor& mean, const Tensor& inv_std,
                                  Tensor& y) {
  visit_floating(x.dtype(), "batch_norm_again", [&](auto zero) {
    const auto kernel = normalise_kernel<decltype(zero)>(options.relu, residual.defined());
    kernel(x, params, residual, mean, inv_std, y);
  });
}

void CpuBackend::batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y,
                                 const BatchNormParams& params, const Tensor& mean, const Tensor& inv_std,
                                 const BatchNormOptions& options, Tensor& grad_x, Tensor& grad_weight,
                                 Tensor& grad_bias, Tensor& grad_residual) {
  visit_floating(x.dtype(), "batch_norm_grad", [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = gradients_kernel<T>(options.relu, y.defined());
    kernel(grad, x, y, params, mean, inv_std, options, grad_x, grad_weight, grad_bias, grad_residual);
  });
}

}  // namespace lamina
