// Batch normalisation over rows × channels (Ioffe & Szegedy 2015, algorithm 1), fused with residual and ReLU.
// Each direction is one pass that reduces over rows and one that writes; both are limited by memory.
#include <algorithm>
#include <functional>
#include <vector>

#include "core/base/rounding.h"
#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"
#include "core/math/batch_norm.h"
#include "core/math/unary.h"
#include "core/memory/scratch.h"

namespace lamina {
namespace {

// Rows are cut into chunks of about this many elements: small beside the cache, large beside the 2C sums that
// each chunk leaves.
constexpr std::int64_t chunk_elements = 32768;

struct Rows {
  explicit Rows(const Tensor& x)
      : channels(x.shape().back()),
        count(channels > 0 ? x.elements() / channels : 0),
        chunk(std::max<std::int64_t>(1, chunk_elements / std::max<std::int64_t>(1, channels))) {}

  std::int64_t channels, count, chunk;
};

template <typename T>
T tree_sum(T a, T b, T c, T d, T e, T f, T g, T h) {
  return ((a + b) + (c + d)) + ((e + f) + (g + h));
}

// first[c] += value, second[c] += value * factor over the rows [begin, end), for value(i, c) and factor(i, c)
// of element i in channel c. Eight rows are summed as a tree in T, and their sum is added in f64: T's
// rounding does not grow with the number of rows, and the sums are loaded and stored once for eight rows.
template <typename Value, typename Factor>
void add_rows(const Value& value, const Factor& factor, std::int64_t begin, std::int64_t end,
              std::int64_t channels, double* first, double* second) {
  std::int64_t row = begin * channels;
  const std::int64_t stop = end * channels, n = channels;
  for (; row + 8 * n <= stop; row += 8 * n) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t i = row + c;
      const auto v0 = value(i, c), v1 = value(i + n, c), v2 = value(i + 2 * n, c), v3 = value(i + 3 * n, c),
                 v4 = value(i + 4 * n, c), v5 = value(i + 5 * n, c), v6 = value(i + 6 * n, c),
                 v7 = value(i + 7 * n, c);
      first[c] += static_cast<double>(tree_sum(v0, v1, v2, v3, v4, v5, v6, v7));
      second[c] += static_cast<double>(tree_sum(v0 * factor(i, c), v1 * factor(i + n, c),
                                                v2 * factor(i + 2 * n, c), v3 * factor(i + 3 * n, c),
                                                v4 * factor(i + 4 * n, c), v5 * factor(i + 5 * n, c),
                                                v6 * factor(i + 6 * n, c), v7 * factor(i + 7 * n, c)));
    }
  }
  for (; row < stop; row += n) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto v = value(row + c, c);
      first[c] += static_cast<double>(v);
      second[c] += static_cast<double>(v * factor(row + c, c));
    }
  }
}

// The sums of value and value * factor over all rows: [C] of the one, then [C] of the other. Chunks are added
// in order.
template <typename Value, typename Factor>
std::vector<double> sum_rows(const Rows& rows, const Value& value, const Factor& factor) {
  const std::int64_t width = 2 * rows.channels;
  const std::int64_t chunks = ceil_div(rows.count, rows.chunk);
  const Scratch<double> partial(cpu_backend().allocator(), chunks * width);
  cpu::parallel_for(rows.count, rows.chunk, [&](std::int64_t begin, std::int64_t end) {
    double* sums = partial.data() + begin / rows.chunk * width;
    std::fill_n(sums, width, 0.0);
    add_rows(value, factor, begin, end, rows.channels, sums, sums + rows.channels);
  });
  std::vector<double> total(static_cast<std::size_t>(width));
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    std::transform(total.begin(), total.end(), partial.data() + chunk * width, total.begin(), std::plus<>());
  }
  return total;
}

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

// body(i, c) for every element i, in channel c. The rows come last to first: the reducing pass before has
// left the last ones in the cache, and the op that follows will begin with the first.
template <typename Body>
void for_each_element(const Rows& rows, const Body& body) {
  cpu::parallel_for(rows.count, rows.chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = rows.count - end; row < rows.count - begin; ++row) {
      const std::int64_t first = row * rows.channels;
#pragma omp simd
      for (std::int64_t c = 0; c < rows.channels; ++c) body(first + c, c);
    }
  });
}

template <typename T>
std::vector<T> scale_of(const Tensor& weight, const Tensor& inv_std) {
  std::vector<T> scale(static_cast<std::size_t>(weight.elements()));
  std::transform(weight.data<T>(), weight.data<T>() + scale.size(), inv_std.data<T>(), scale.begin(),
                 [](T w, T s) { return s * w; });
  return scale;
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

enum class Mask { none, from_y, from_x };

// See math::BatchNormGradient.
template <typename T, Mask mask>
void gradients(const Tensor& grad, const Tensor& x, const Tensor& y, const BatchNormParams& params,
               const Tensor& mean, const Tensor& inv_std, bool training, Tensor& grad_x, Tensor& grad_weight,
               Tensor& grad_bias, Tensor& grad_residual) {
  const Rows rows(x);
  const std::vector<T> scales = scale_of<T>(params.weight, inv_std);
  const T *from = grad.data<T>(), *out = mask == Mask::from_y ? y.data<T>() : nullptr;
  const T *values = x.data<T>(), *means = mean.data<T>(), *scale = scales.data(),
          *shift = params.bias.data<T>();
  T* kept = grad_residual.defined() ? grad_residual.data<T>() : nullptr;
  const auto centred = [=](std::int64_t i, std::int64_t c) { return values[i] - means[c]; };
  const auto g = [=](std::int64_t i, std::int64_t c) {
    if constexpr (mask == Mask::from_y) return from[i] * math::Relu{}.df(out[i]);
    if constexpr (mask == Mask::from_x) {
      const T output = math::Relu{}.f(math::normalise(values[i], means[c], scale[c], shift[c]));
      return from[i] * math::Relu{}.df(output);
    }
    return from[i];
  };
  const auto keep_g = [=](std::int64_t i, std::int64_t c) { return kept[i] = g(i, c); };
  const std::vector<double> sums =
      kept != nullptr ? sum_rows(rows, keep_g, centred) : sum_rows(rows, g, centred);

  std::vector<T> offsets(scales.size()), slopes(scales.size());
  const double share = training ? 1 / static_cast<double>(rows.count) : 0;
  for (std::size_t c = 0; c < scales.size(); ++c) {
    const math::BatchNormGradient<T> gradient(sums[c], sums[scales.size() + c],
                                              static_cast<double>(inv_std.data<T>()[c]),
                                              static_cast<double>(scales[c]), share);
    grad_bias.data<T>()[c] = gradient.bias;
    grad_weight.data<T>()[c] = gradient.weight;
    offsets[c] = gradient.offset;
    slopes[c] = gradient.slope;
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
    const double unbiased = static_cast<double>(rows.count) / static_cast<double>(rows.count - 1);
    const std::vector<math::Moments> moments = batch_moments(rows, x.data<T>());
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

void CpuBackend::batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y,
                                 const BatchNormParams& params, const Tensor& mean, const Tensor& inv_std,
                                 const BatchNormOptions& options, Tensor& grad_x, Tensor& grad_weight,
                                 Tensor& grad_bias, Tensor& grad_residual) {
  visit_floating(x.dtype(), "batch_norm_grad", [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = gradients_kernel<T>(options.relu, y.defined());
    kernel(grad, x, y, params, mean, inv_std, options.training, grad_x, grad_weight, grad_bias,
           grad_residual);
  });
}

}  // namespace lamina
