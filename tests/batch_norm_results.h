// Batch normalisation on a GPU, emulated or not, of numbers whose sums tell in which order they were added.
#pragma once

#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "bf16_tensors.h"

namespace lamina::tests {

// Until the end of a test no kernel's blocks wait for one another: several launches instead of one.
class SeparateLaunches {
 public:
  explicit SeparateLaunches(const std::string& word = "separate") {
    ::setenv("LAMINA_GPU_LAUNCHES", word.c_str(), 1);
  }
  ~SeparateLaunches() { ::unsetenv("LAMINA_GPU_LAUNCHES"); }
  SeparateLaunches(const SeparateLaunches&) = delete;
  SeparateLaunches& operator=(const SeparateLaunches&) = delete;
};

// bf16 numbers in f32 on the CPU, from 2^-30 to 2^30 in magnitude. Every second half of the rows is the first
// with other signs, but for its own order: the sum of a channel is what rounding has left, and another order
// leaves something else. The first row is 0, batch normalisation's shift.
inline Tensor draw_cancelling(const Shape& shape, std::uint64_t seed) {
  const std::int64_t channels = shape.back(), rows = shape.elements() / channels, half = (rows - 1) / 2;
  Draw draw(seed);
  Tensor x = Tensor::zeros(shape);
  float* to = x.data<float>();
  for (std::int64_t row = 0; row < half; ++row)
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto mantissa = static_cast<float>(draw.below(256) - 128);
      const float value = std::ldexp(mantissa, draw.below(61) - 37);
      to[(1 + row) * channels + c] = value;
      to[(2 * half - row) * channels + c] = -value;
    }
  return x;
}

inline BatchNormParams batch_norm_params(const Tensor& x) {
  const Shape channels{x.shape().back()};
  return {draw_exact(channels, 101, 0.5).to(x.device()), draw_exact(channels, 102).to(x.device()),
          draw_exact(channels, 103).to(x.device()), draw_exact(channels, 104, 0.5, 2).to(x.device())};
}

struct BatchNormCase {
  Shape shape;
  DType dtype;
  bool relu, with_residual;
};

// All that the forward pass, the backward pass and, in f32, the second derivative give: their bytes.
inline std::vector<std::vector<std::byte>> batch_norm_results(const BatchNormCase& row) {
  const auto draw = [&](std::uint64_t seed) {
    const Tensor drawn = draw_cancelling(row.shape, seed);
    return row.dtype == DType::bf16 ? to_bf16(drawn) : drawn.to(Device::cuda());
  };
  const Shape channels{row.shape.back()};
  const auto of_channels = [&] { return on_gpu(channels); };
  const BatchNormOptions options{.relu = row.relu};
  const Tensor x = draw(1), residual = row.with_residual ? draw(2) : Tensor();
  BatchNormParams params = batch_norm_params(x);
  params.batches_tracked = Tensor::zeros({}, {DType::i32, x.device()});
  Tensor y = Tensor::empty_like(x), mean = of_channels(), inv_std = of_channels();
  gpu().batch_norm(x, params, residual, options, y, mean, inv_std);

  const Tensor grad = draw(3), mask = row.relu && row.with_residual ? y : Tensor();
  Tensor grad_x = Tensor::empty_like(x), grad_weight = of_channels(), grad_bias = of_channels();
  Tensor grad_residual = row.with_residual ? Tensor::empty_like(x) : Tensor();
  gpu().batch_norm_grad(grad, x, mask, params, mean, inv_std, options, grad_x, grad_weight, grad_bias,
                        grad_residual);
  Tensors all{y,      mean,        inv_std,  params.running_mean, params.running_var, params.batches_tracked,
              grad_x, grad_weight, grad_bias};
  if (row.with_residual) all.push_back(grad_residual);
  if (row.dtype == DType::f32) {
    const BatchNormSecond second{
        .grad = grad,
        .x = x,
        .y = mask,
        .params = params,
        .mean = mean,
        .inv_std = inv_std,
        .grad_weight = grad_weight,
        .grad_bias = grad_bias,
        .to = {draw(4), params.weight, params.bias, row.with_residual ? draw(5) : Tensor()}};
    all.insert(all.end(), {Tensor::empty_like(x), Tensor::empty_like(x), of_channels()});
    gpu().batch_norm_second_grad(second, options, all[all.size() - 3], all[all.size() - 2], all.back());
  }
  for (const Tensor& t : all)
    if (t.dtype() != DType::i32)
      check(gpu().all_finite(t), "batch norm of {} is not finite", row.shape.str());
  return bytes_of(all);
}

}  // namespace lamina::tests
