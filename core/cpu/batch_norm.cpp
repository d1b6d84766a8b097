// Batch normalisation over rows × channels (Ioffe & Szegedy 2015, algorithm 1), fused with residual and ReLU.
// Each direction is one pass that reduces over rows and one that writes; both are limited by memory.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"
#include "core/math/unary.h"

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

// Two sums per channel over all rows, in f64: body(begin, end, first, second) adds the rows [begin, end).
// The sums of the chunks are added in order.
template <typename Body>
std::vector<double> sum_pairs(const Rows& rows, const Body& body) {
  const std::int64_t width = 2 * rows.channels;
  const std::int64_t chunks = (rows.count + rows.chunk - 1) / rows.chunk;
  std::vector<double> partial(static_cast<std::size_t>(chunks * width));
  cpu::parallel_for(rows.count, rows.chunk, [&](std::int64_t begin, std::int64_t end) {
    double* first = partial.data() + begin / rows.chunk * width;
    body(begin, end, first, first + rows.channels);
  });
  std::vector<double> total(static_cast<std::size_t>(width));
  for (std::int64_t i = 0; i < chunks * width; ++i) {
    total[static_cast<std::size_t>(i % width)] += partial[static_cast<std::size_t>(i)];
  }
  return total;
}

// sum += d and sum_squares += d² for d = x - shift, four rows at a time: the sums are loaded and stored once
// for four terms.
template <typename T>
void add_moments(const T* x, std::int64_t rows, std::int64_t channels, const T* shift, double* sum,
                 double* sum_squares) {
  const auto d = [&](std::int64_t row, std::int64_t c) {
    return static_cast<double>(x[row * channels + c]) - static_cast<double>(shift[c]);
  };
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const double d0 = d(r, c), d1 = d(r + 1, c), d2 = d(r + 2, c), d3 = d(r + 3, c);
      sum[c] += (d0 + d1) + (d2 + d3);
      sum_squares[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
    }
  }
  for (; r < rows; ++r) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      sum[c] += d(r, c);
      sum_squares[c] += d(r, c) * d(r, c);
    }
  }
}

struct Moments {
  double mean, variance;  // biased
};

// Sums of x minus the first row: in f64 the variance survives a mean far larger than the deviation.
template <typename T>
std::vector<Moments> batch_moments(const Rows& rows, const T* x) {
  const std::vector<double> sums =
      sum_pairs(rows, [&](std::int64_t begin, std::int64_t end, double* sum, double* sum_squares) {
        add_moments(x + begin * rows.channels, end - begin, rows.channels, x, sum, sum_squares);
      });
  const auto n = static_cast<double>(rows.count);
  std::vector<Moments> moments(static_cast<std::size_t>(rows.channels));
  for (std::size_t c = 0; c < moments.size(); ++c) {
    const double mean = sums[c] / n;
    const double variance = sums[moments.size() + c] / n - mean * mean;
    moments[c] = {static_cast<double>(x[c]) + mean, variance < 0 ? 0 : variance};
  }
  return moments;
}

// y = relu?((x - mean) * scale + bias + residual?) with scale = inv_std * weight.
template <typename T, bool relu, bool has_residual>
void normalise_rows(const Rows& rows, const T* x, const T* mean, const T* scale, const T* bias,
                    const T* residual, T* y) {
  cpu::parallel_for(rows.count, rows.chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * rows.channels; i < end * rows.channels; i += rows.channels) {
#pragma omp simd
      for (std::int64_t c = 0; c < rows.channels; ++c) {
        T value = (x[i + c] - mean[c]) * scale[c] + bias[c];
        if constexpr (has_residual) value += residual[i + c];
        y[i + c] = relu ? math::Relu{}.f(value) : value;
      }
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

template <typename T>
void normalise(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual, bool relu,
               const Tensor& mean, const Tensor& inv_std, Tensor& y) {
  const std::vector<T> scale = scale_of<T>(weight, inv_std);
  const T* r = residual.defined() ? residual.data<T>() : nullptr;
  const auto kernel = relu ? (r ? normalise_rows<T, true, true> : normalise_rows<T, true, false>)
                           : (r ? normalise_rows<T, false, true> : normalise_rows<T, false, false>);
  kernel(Rows(x), x.data<T>(), mean.data<T>(), scale.data(), bias.data<T>(), r, y.data<T>());
}

// The gradient before the ReLU; the sign of y is the mask.
template <typename T, bool relu>
struct Gradient {
  const T* grad;
  const T* y;
  T operator()(std::int64_t i) const {
    if constexpr (relu) return grad[i] * math::Relu{}.df(y[i]);
    return grad[i];
  }
};

// sum += g and sum_product += g (x - mean), four rows at a time; g is also written to `residual` if wanted.
template <typename T, typename G, bool has_residual>
void add_gradients(const G& gradient, const T* x, const T* mean, std::int64_t begin, std::int64_t end,
                   std::int64_t channels, double* sum, double* sum_product, T* residual) {
  struct Term {
    double g, product;
  };
  const auto term = [&](std::int64_t row, std::int64_t c) {
    const std::int64_t i = row * channels + c;
    const T g = gradient(i);
    if constexpr (has_residual) residual[i] = g;
    return Term{static_cast<double>(g), static_cast<double>(g * (x[i] - mean[c]))};
  };
  std::int64_t r = begin;
  for (; r + 4 <= end; r += 4) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const Term t0 = term(r, c), t1 = term(r + 1, c), t2 = term(r + 2, c), t3 = term(r + 3, c);
      sum[c] += (t0.g + t1.g) + (t2.g + t3.g);
      sum_product[c] += (t0.product + t1.product) + (t2.product + t3.product);
    }
  }
  for (; r < end; ++r) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const Term t = term(r, c);
      sum[c] += t.g;
      sum_product[c] += t.product;
    }
  }
}

// grad_x = scale g - slope (x - mean) - offset
template <typename T, typename G>
void write_gradients(const Rows& rows, const G& gradient, const T* x, const T* mean, const T* scale,
                     const T* slope, const T* offset, T* grad_x) {
  cpu::parallel_for(rows.count, rows.chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * rows.channels; i < end * rows.channels; i += rows.channels) {
#pragma omp simd
      for (std::int64_t c = 0; c < rows.channels; ++c) {
        grad_x[i + c] = (scale[c] * gradient(i + c) - offset[c]) - slope[c] * (x[i + c] - mean[c]);
      }
    }
  });
}

template <typename T, bool relu>
void batch_norm_grad_kernel(const Tensor& grad, const Tensor& x, const Tensor& y, const Tensor& weight,
                            const Tensor& mean, const Tensor& inv_std, bool training, Tensor& grad_x,
                            Tensor& grad_weight, Tensor& grad_bias, Tensor& grad_residual) {
  using Plain = Gradient<T, false>;
  using Masked = Gradient<T, relu>;
  const Rows rows(x);
  const Masked masked{grad.data<T>(), relu ? y.data<T>() : nullptr};
  const T *values = x.data<T>(), *means = mean.data<T>(), *inv_stds = inv_std.data<T>();
  T* residual = grad_residual.defined() ? grad_residual.data<T>() : nullptr;
  const auto add = residual != nullptr ? add_gradients<T, Masked, true> : add_gradients<T, Masked, false>;
  const std::vector<double> sums =
      sum_pairs(rows, [&](std::int64_t begin, std::int64_t end, double* sum, double* sum_product) {
        add(masked, values, means, begin, end, rows.channels, sum, sum_product, residual);
      });

  // In training, mean and variance depend on x: subtract the means of g and of g x̂, the latter times x̂.
  const std::vector<T> scale = scale_of<T>(weight, inv_std);
  std::vector<T> slope(scale.size()), offset(scale.size());
  const double share = training ? 1 / static_cast<double>(rows.count) : 0;
  for (std::size_t c = 0; c < scale.size(); ++c) {
    const double s = static_cast<double>(inv_stds[c]), sum = sums[c], sum_product = sums[scale.size() + c];
    grad_bias.data<T>()[c] = static_cast<T>(sum);
    grad_weight.data<T>()[c] = static_cast<T>(sum_product * s);
    offset[c] = static_cast<T>(static_cast<double>(scale[c]) * sum * share);
    slope[c] = static_cast<T>(static_cast<double>(scale[c]) * s * s * sum_product * share);
  }
  const auto write = [&](const auto& gradient) {
    write_gradients(rows, gradient, values, means, scale.data(), slope.data(), offset.data(),
                    grad_x.data<T>());
  };
  residual != nullptr ? write(Plain{residual, nullptr}) : write(masked);
}

}  // namespace

void CpuBackend::batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                            const BatchNormOptions& options, Tensor& running_mean, Tensor& running_var,
                            Tensor& y, Tensor& mean, Tensor& inv_std) {
  visit_floating(x.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    const Rows rows(x);
    const double unbiased = static_cast<double>(rows.count) / static_cast<double>(rows.count - 1);
    const std::vector<Moments> moments = batch_moments(rows, x.data<T>());
    const auto move = [&](T& running, double batch) {
      running =
          static_cast<T>((1 - options.momentum) * static_cast<double>(running) + options.momentum * batch);
    };
    for (std::size_t c = 0; c < moments.size(); ++c) {
      mean.data<T>()[c] = static_cast<T>(moments[c].mean);
      inv_std.data<T>()[c] = static_cast<T>(1 / std::sqrt(moments[c].variance + options.eps));
      move(running_mean.data<T>()[c], moments[c].mean);
      move(running_var.data<T>()[c], moments[c].variance * unbiased);
    }
    normalise<T>(x, weight, bias, residual, options.relu, mean, inv_std, y);
  });
}

void CpuBackend::batch_norm_inference(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                      const Tensor& residual, const BatchNormOptions& options,
                                      const Tensor& running_mean, const Tensor& running_var, Tensor& y,
                                      Tensor& mean, Tensor& inv_std) {
  visit_floating(x.dtype(), "batch_norm_inference", [&](auto zero) {
    using T = decltype(zero);
    copy(running_mean, mean);
    std::transform(running_var.data<T>(), running_var.data<T>() + running_var.elements(), inv_std.data<T>(),
                   [&](T v) { return static_cast<T>(1 / std::sqrt(static_cast<double>(v) + options.eps)); });
    normalise<T>(x, weight, bias, residual, options.relu, mean, inv_std, y);
  });
}

void CpuBackend::batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y, const Tensor& weight,
                                 const Tensor& mean, const Tensor& inv_std, const BatchNormOptions& options,
                                 Tensor& grad_x, Tensor& grad_weight, Tensor& grad_bias,
                                 Tensor& grad_residual) {
  visit_floating(x.dtype(), "batch_norm_grad", [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = options.relu ? batch_norm_grad_kernel<T, true> : batch_norm_grad_kernel<T, false>;
    kernel(grad, x, y, weight, mean, inv_std, options.training, grad_x, grad_weight, grad_bias,
           grad_residual);
  });
}

}  // namespace lamina
